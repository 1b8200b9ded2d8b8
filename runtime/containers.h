// Vec and Str: the growable array and string of the runtime core, on malloc alone. The core is
// linked into plain C programs, so nothing here may need the C++ library at link time (no operator
// new, no exceptions). Both are move-only; copies are asked for with clone(). Running out of memory
// does not return: memory.h says where it leads.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace gradc::rt {

/// Grows `memory` to `bytes` (realloc); does not return when there is none (memory.h).
void* grow_memory(void* memory, size_t bytes);
void release_memory(void* memory);

/// A view of consecutive elements.
template <class T>
struct Span {
  T* items = nullptr;
  size_t count = 0;

  Span() = default;
  Span(T* first, size_t n) : items(first), count(n) {}
  T* data() const { return items; }
  size_t size() const { return count; }
  bool empty() const { return count == 0; }
  T& operator[](size_t i) const { return items[i]; }
  T* begin() const { return items; }
  T* end() const { return items + count; }
};

template <class T>
class Vec {
 public:
  Vec() = default;
  explicit Vec(size_t count) { resize(count); }
  Vec(Vec&& other) noexcept { swap(other); }
  Vec& operator=(Vec&& other) noexcept {
    if (this != &other) {
      destroy();
      swap(other);
    }
    return *this;
  }
  Vec(const Vec&) = delete;
  Vec& operator=(const Vec&) = delete;
  ~Vec() { destroy(); }

  T* data() { return items_; }
  const T* data() const { return items_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return items_[i]; }
  const T& operator[](size_t i) const { return items_[i]; }
  T& back() { return items_[size_ - 1]; }
  const T& back() const { return items_[size_ - 1]; }
  T* begin() { return items_; }
  T* end() { return items_ + size_; }
  const T* begin() const { return items_; }
  const T* end() const { return items_ + size_; }
  Span<const T> span() const { return {items_, size_}; }

  void reserve(size_t count) {
    if (count <= capacity_) return;
    if constexpr (std::is_trivially_copyable_v<T>) {
      items_ = static_cast<T*>(grow_memory(items_, count * sizeof(T)));
    } else {
      T* fresh = static_cast<T*>(grow_memory(nullptr, count * sizeof(T)));
      for (size_t i = 0; i < size_; ++i) {
        construct(fresh + i, std::move(items_[i]));
        items_[i].~T();
      }
      release_memory(items_);
      items_ = fresh;
    }
    capacity_ = count;
  }
  /// New elements are value-initialised (zeros for numbers).
  void resize(size_t count) {
    reserve(count);
    if constexpr (std::is_trivially_copyable_v<T> && std::is_trivially_default_constructible_v<T>) {
      if (count > size_) memset(static_cast<void*>(items_ + size_), 0, (count - size_) * sizeof(T));
    } else {
      for (size_t i = size_; i < count; ++i)
        construct(items_ + i);
      for (size_t i = count; i < size_; ++i)
        items_[i].~T();
    }
    size_ = count;
  }
  /// For callers that have filled the reserved memory themselves.
  void set_size_within_capacity(size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    size_ = count;
  }
  T& push(T value) {
    if (size_ == capacity_) reserve(capacity_ < 8 ? 8 : capacity_ * 2);
    construct(items_ + size_, std::move(value));
    return items_[size_++];
  }
  void append(const T* first, size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (size_ + count > capacity_) {
      reserve(size_ + count > capacity_ * 2 ? size_ + count : capacity_ * 2);
    }
    if (count > 0) memcpy(static_cast<void*>(items_ + size_), first, count * sizeof(T));
    size_ += count;
  }
  void clear() { resize(0); }
  Vec clone() const {
    Vec copy;
    if constexpr (std::is_trivially_copyable_v<T>) {
      copy.append(items_, size_);
    } else {
      copy.reserve(size_);
      for (const T& item : *this)
        copy.push(item.clone());
    }
    return copy;
  }
  void swap(Vec& other) noexcept {
    std::swap(items_, other.items_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  template <class... Args>
  static void construct(T* at, Args&&... args) {
    ::new (static_cast<void*>(at)) T(std::forward<Args>(args)...);
  }
  void destroy() {
    if constexpr (!std::is_trivially_destructible_v<T>) {
      for (size_t i = 0; i < size_; ++i)
        items_[i].~T();
    }
    release_memory(items_);
    items_ = nullptr;
    size_ = capacity_ = 0;
  }

  T* items_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

/// Bytes with a terminating zero; may hold zeros inside.
class Str {
 public:
  Str() = default;
  Str(const char* text) { append(text); }  // NOLINT(google-explicit-constructor)
  Str(const char* text, size_t length) { append(text, length); }
  Str(Str&&) noexcept = default;
  Str& operator=(Str&&) noexcept = default;

  const char* c_str() const { return bytes_.empty() ? "" : bytes_.data(); }
  size_t size() const { return bytes_.empty() ? 0 : bytes_.size() - 1; }
  bool empty() const { return size() == 0; }
  char operator[](size_t i) const { return bytes_[i]; }
  Str clone() const { return {c_str(), size()}; }

  void append(const char* text) { append(text, strlen(text)); }
  void append(const Str& text) { append(text.c_str(), text.size()); }
  void append(const char* text, size_t length);
  void push(char c) { append(&c, 1); }
  /// Appends printf-formatted text; numbers are written as in the locale "C", whatever the
  /// process's is.
  void appendf(const char* format, ...) __attribute__((format(printf, 2, 3)));
  void append_formatted(const char* format, va_list arguments);
  void clear() { bytes_.clear(); }

  bool operator==(const Str& other) const {
    return size() == other.size() && memcmp(c_str(), other.c_str(), size()) == 0;
  }
  /// Byte order.
  bool operator<(const Str& other) const {
    const size_t common = size() < other.size() ? size() : other.size();
    const int order = memcmp(c_str(), other.c_str(), common);
    return order != 0 ? order < 0 : size() < other.size();
  }
  bool operator==(const char* text) const {
    return size() == strlen(text) && memcmp(c_str(), text, size()) == 0;
  }
  bool starts_with(const char* prefix) const;
  bool ends_with(const char* suffix) const;
  Str part(size_t first, size_t length) const { return {c_str() + first, length}; }

 private:
  Vec<char> bytes_;
};

/// printf into a Str, without the process's locale.
Str format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

}  // namespace gradc::rt
