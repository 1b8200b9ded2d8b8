// Buffers of a host as gradc sees them: where they lie, what their elements are, how many in which
// order. A view owns nothing; its memory must live as long as the call (of Session::train: until it
// returns).
//
//   session->step({gradc::View(images, {64, 28, 28})}, {gradc::View(labels, {64})}, &loss);
//   session->predict({{"image", images, {5, 28, 28}}}, {{"logits", logits, {5, 10}}});
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>

namespace gradc {

/// How gradc names the element type T; empty: it has none like it.
template <class T>
constexpr std::string_view dtype_of() {
  using Element = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<Element, float>) return "f32";
  if constexpr (std::is_same_v<Element, double>) return "f64";
  if constexpr (std::is_same_v<Element, bool>) return "bool";
  if constexpr (std::is_integral_v<Element> && !std::is_same_v<Element, bool>) {
    if constexpr (std::is_signed_v<Element> && sizeof(Element) == 4) return "i32";
    if constexpr (std::is_signed_v<Element> && sizeof(Element) == 8) return "i64";
    if constexpr (std::is_unsigned_v<Element> && sizeof(Element) == 1) return "u8";
  }
  return {};
}

/// Extents, the outermost first: of inputs, targets and outputs that of rows.
class Extents {
 public:
  static constexpr size_t kMostAxes = 8;

  Extents() = default;
  Extents(std::initializer_list<int64_t> extents)
      : Extents(std::span<const int64_t>(extents.begin(), extents.size())) {}
  explicit Extents(std::span<const int64_t> extents) : count_(extents.size()) {
    std::copy_n(extents.begin(), std::min(count_, kMostAxes), extents_.begin());
  }

  /// May be more than kMostAxes, which no tensor has.
  size_t count() const { return count_; }
  std::span<const int64_t> values() const { return {extents_.data(), std::min(count_, kMostAxes)}; }

 private:
  std::array<int64_t, kMostAxes> extents_{};
  size_t count_ = 0;
};

/// A buffer that is read (Void: const void) or written (void): dense, row-major.
template <class Void>
struct BasicView {
  Void* data = nullptr;
  std::string_view dtype{};  ///< "f32", ... as TensorInfo has it
  Extents shape{};
  std::string_view name{};  ///< "image" or "input/image"; empty: by position

  template <class T>
  using Element = std::conditional_t<std::is_const_v<Void>, const T, T>;

  BasicView() = default;
  BasicView(Void* memory, std::string_view type, const Extents& extents,
            std::string_view tensor = {})
      : data(memory), dtype(type), shape(extents), name(tensor) {}
  /// Of a type that dtype_of() knows.
  template <class T>
    requires(!dtype_of<T>().empty())
  BasicView(T* memory, const Extents& extents, std::string_view tensor = {})
      : BasicView(memory, dtype_of<T>(), extents, tensor) {}
  template <class T>
    requires(!dtype_of<T>().empty())
  BasicView(std::string_view tensor, T* memory, const Extents& extents)
      : BasicView(memory, dtype_of<T>(), extents, tensor) {}

  size_t elements() const {
    size_t product = 1;
    for (const int64_t extent : shape.values())
      product *= static_cast<size_t>(extent);
    return product;
  }
  /// The elements, if they are of that type; else none.
  template <class T>
  std::span<Element<T>> as() const {
    if (data == nullptr || dtype != dtype_of<T>()) return {};
    return {static_cast<Element<T>*>(data), elements()};
  }
};

using View = BasicView<const void>;
using MutableView = BasicView<void>;

/// What a call is given for its inputs, targets or outputs: views, which are checked, or bare
/// pointers in the model's order, of whose memory nothing but the number of rows is known. Neither
/// is copied: for arguments, not to be kept.
template <class Void>
class BasicBuffers {
 public:
  BasicBuffers() = default;
  BasicBuffers(std::initializer_list<BasicView<Void>> views)
      : views_(views.begin(), views.size()) {}
  template <class Views>
    requires std::is_convertible_v<const Views&, std::span<const BasicView<Void>>>
  BasicBuffers(const Views& views) : views_(views) {}
  /// rows 0: a whole batch.
  BasicBuffers(std::span<Void* const> pointers, int64_t rows)
      : pointers_(pointers), rows_(rows), bare_(true) {}

  bool bare() const { return bare_; }
  bool empty() const { return views_.empty() && pointers_.empty(); }
  std::span<const BasicView<Void>> views() const { return views_; }
  std::span<Void* const> pointers() const { return pointers_; }
  int64_t rows() const { return rows_; }

 private:
  std::span<const BasicView<Void>> views_{};
  std::span<Void* const> pointers_{};
  int64_t rows_ = 0;
  bool bare_ = false;
};

using Buffers = BasicBuffers<const void>;
using MutableBuffers = BasicBuffers<void>;

}  // namespace gradc
