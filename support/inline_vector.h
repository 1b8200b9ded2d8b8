// A list that holds a few elements in itself and more than that on the heap. For the many short
// lists of a graph (operands, results, uses), which would each be an allocation of their own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace gradc {

/// Like std::vector, with room for N elements inside. As of a vector, no reference survives a
/// push_back; a move leaves the other empty.
template <class T, uint32_t N>
class InlineVector {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;
  using reference = T&;
  using const_reference = const T&;
  using size_type = size_t;
  using difference_type = std::ptrdiff_t;

  InlineVector() = default;
  InlineVector(std::initializer_list<T> list) { append({list.begin(), list.size()}); }
  // Not explicit: what takes a list takes a vector.
  InlineVector(std::span<const T> list) { append(list); }                // NOLINT
  InlineVector(const std::vector<T>& list) { append(std::span(list)); }  // NOLINT
  explicit InlineVector(size_t count, const T& value = T()) { resize(count, value); }
  template <std::input_iterator It>
  InlineVector(It first, It last) {
    for (; first != last; ++first)
      push_back(*first);
  }
  InlineVector(const InlineVector& other) { append(other); }
  InlineVector(InlineVector&& other) noexcept { take(other); }
  InlineVector& operator=(const InlineVector& other) {
    if (this == &other) return *this;
    size_ = 0;
    append(other);
    return *this;
  }
  InlineVector& operator=(InlineVector&& other) noexcept {
    if (this == &other) return *this;
    release();
    take(other);
    return *this;
  }
  ~InlineVector() { release(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return capacity_; }
  T* data() { return is_inline() ? inline_elements() : heap_; }
  const T* data() const { return is_inline() ? inline_elements() : heap_; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  auto rbegin() const { return std::reverse_iterator(end()); }
  auto rend() const { return std::reverse_iterator(begin()); }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  T& front() { return data()[0]; }
  const T& front() const { return data()[0]; }
  T& back() { return data()[size_ - 1]; }
  const T& back() const { return data()[size_ - 1]; }

  void reserve(size_t count) {
    if (count > capacity_) grow(count);
  }
  void push_back(T value) {
    if (size_ == capacity_) grow(size_t{2} * capacity_);
    std::construct_at(data() + size_++, value);
  }
  void pop_back() { --size_; }
  void clear() { size_ = 0; }
  void resize(size_t count, const T& value = T()) {
    const T copy = value;
    reserve(count);
    if (count > size_) std::uninitialized_fill(data() + size_, data() + count, copy);
    size_ = static_cast<uint32_t>(count);
  }
  /// `list` is no part of this one.
  void append(std::span<const T> list) {
    reserve(size_ + list.size());
    std::uninitialized_copy(list.begin(), list.end(), data() + size_);
    size_ += static_cast<uint32_t>(list.size());
  }
  T* erase(const T* at) { return erase(at, at + 1); }
  T* erase(const T* first, const T* last) {
    T* const to = data() + (first - data());
    std::copy(last, static_cast<const T*>(end()), to);
    size_ -= static_cast<uint32_t>(last - first);
    return to;
  }
  T* insert(const T* at, T value) {
    const std::ptrdiff_t place = at - data();
    push_back(value);
    std::rotate(data() + place, end() - 1, end());
    return data() + place;
  }

  std::vector<T> to_vector() const { return {begin(), end()}; }
  bool operator==(const InlineVector& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }
  bool operator==(const std::vector<T>& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }

 private:
  bool is_inline() const { return capacity_ == N; }
  T* inline_elements() { return reinterpret_cast<T*>(inline_); }
  const T* inline_elements() const { return reinterpret_cast<const T*>(inline_); }

  void grow(size_t count) {
    const size_t larger = std::max<size_t>(count, size_t{2} * N);
    T* const memory = std::allocator<T>().allocate(larger);
    std::uninitialized_copy(begin(), end(), memory);
    release();
    heap_ = memory;
    capacity_ = static_cast<uint32_t>(larger);
  }
  /// Gives memory back; the size stays.
  void release() {
    if (!is_inline()) std::allocator<T>().deallocate(heap_, capacity_);
    capacity_ = N;
  }
  void take(InlineVector& other) {
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, N);
    std::memcpy(inline_, other.inline_, sizeof(inline_));  // elements or the pointer to them
  }

  uint32_t size_ = 0;
  uint32_t capacity_ = N;
  union {
    alignas(T) std::byte inline_[std::max(N * sizeof(T), sizeof(T*))];
    T* heap_;
  };
};

}  // namespace gradc
