// A host's buffers against the model: views are checked and put into the model's order.
#include "driver/session_impl.h"
#include "runtime/weights.h"

#include <fmt/ranges.h>

namespace gradc {

namespace {

/// What a tensor of that kind is called where several are counted, and where one is named.
struct KindText {
  const char* many;
  const char* one;
};

KindText text_of(gradc_rt_tensor_kind kind) {
  if (kind == GRADC_RT_INPUT) return {"inputs", "input"};
  if (kind == GRADC_RT_TARGET) return {"targets", "target"};
  if (kind == GRADC_RT_OUTPUT) return {"outputs", "output"};
  if (kind == GRADC_RT_INPUT_GRADIENT)
    return {"buffers for gradients of inputs", "gradient of the input"};
  return {"gradients of outputs", "gradient of the output"};
}

/// "x" of "input/x".
std::string_view short_name(const gradc_rt_tensor& tensor) {
  const std::string_view name = tensor.name;
  return name.substr(name.find('/') + 1);
}

std::string named(const char* what, std::string_view name) {
  return name.empty() ? std::string(what) : fmt::format("{} \"{}\"", what, name);
}

std::string shape_text(std::span<const int64_t> extents) {
  return fmt::format("[{}]", fmt::join(extents, ", "));
}

/// "[rows, 28, 28]".
std::string wanted_shape(const gradc_rt_tensor& tensor) {
  std::string text = "[rows";
  for (int64_t axis = 1; axis < tensor.rank; ++axis)
    text += fmt::format(", {}", tensor.dims[axis]);
  return text + "]";
}

bool is_shape(std::span<const int64_t> extents) {
  return !extents.empty() && std::ranges::min(extents) >= 0;
}

bool fits(const gradc_rt_tensor& tensor, const Extents& shape) {
  const std::span<const int64_t> given = shape.values();
  return static_cast<int64_t>(shape.count()) == tensor.rank && is_shape(given) &&
         std::equal(given.begin() + 1, given.end(), tensor.dims + 1);
}

}  // namespace

std::string SessionImpl::names_text(gradc_rt_tensor_kind kind) const {
  std::vector<std::string> names;
  for (int64_t n = 0; n < instance_.count_of(kind); ++n)
    names.push_back(fmt::format("\"{}\"", short_name(tensor_at(kind, n))));
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

const gradc_rt_tensor& SessionImpl::tensor_at(gradc_rt_tensor_kind kind, int64_t n) const {
  return instance_.tensor(static_cast<size_t>(instance_.nth(kind, n)));
}

template <class Void>
int64_t SessionImpl::place_of(gradc_rt_tensor_kind kind, const BasicView<Void>& view,
                              int64_t position) const {
  if (view.name.empty()) return position;
  for (int64_t n = 0; n < instance_.count_of(kind); ++n) {
    const gradc_rt_tensor& tensor = tensor_at(kind, n);
    if (view.name == tensor.name || view.name == short_name(tensor)) return n;
  }
  return -1;
}

template <class Void>
SessionStatus SessionImpl::order_views(gradc_rt_tensor_kind kind,
                                       std::span<const BasicView<Void>> views,
                                       std::vector<const BasicView<Void>*>& ordered) const {
  const KindText text = text_of(kind);
  std::string problems;
  ordered.assign(static_cast<size_t>(instance_.count_of(kind)), nullptr);
  for (const BasicView<Void>& view : views) {
    if (view.name.empty() != views[0].name.empty()) {
      return failed(
          fmt::format("error: some of the {} are named and some are not: either all are "
                      "by name, or all in the model's order\n",
                      text.many));
    }
    const int64_t place = place_of(kind, view, &view - views.data());
    if (place < 0) {
      problems += fmt::format("error: there is no {} \"{}\", the model has {}\n", text.one,
                              view.name, names_text(kind));
    } else if (place < static_cast<int64_t>(ordered.size())) {
      const BasicView<Void>*& there = ordered[static_cast<size_t>(place)];
      if (there != nullptr)
        problems += fmt::format("error: the {} \"{}\" is given twice\n", text.one, view.name);
      there = &view;
    }
  }
  const bool by_name = !views.empty() && !views[0].name.empty();
  for (size_t n = 0; by_name && n < ordered.size(); ++n) {
    if (ordered[n] == nullptr)
      problems += fmt::format("error: the {} \"{}\" is missing\n", text.one,
                              short_name(tensor_at(kind, static_cast<int64_t>(n))));
  }
  if (!problems.empty()) return failed(std::move(problems));
  return check_count(kind, text.many, views.size());
}

template <class Void>
SessionStatus SessionImpl::take(gradc_rt_tensor_kind kind, const BasicBuffers<Void>& buffers,
                                Taken<Void>& taken, Rows& rows, bool as_in_files) const {
  const KindText text = text_of(kind);
  taken.pointers.clear();
  if (buffers.bare()) {
    SessionStatus status = check_count(kind, text.many, buffers.pointers().size());
    if (!status.ok()) return status;
    taken.pointers.assign(buffers.pointers().begin(), buffers.pointers().end());
    if (!rows.known) rows = {true, rows_of(buffers.rows()), "this call", {}};
    return status;
  }
  SessionStatus status = order_views(kind, buffers.views(), taken.ordered);
  if (!status.ok()) return status;
  std::string problems;
  for (size_t n = 0; n < taken.ordered.size(); ++n) {
    const BasicView<Void>& view = *taken.ordered[n];
    const gradc_rt_tensor& tensor = tensor_at(kind, static_cast<int64_t>(n));
    const auto name = [&] { return named(text.one, short_name(tensor)); };
    taken.pointers.push_back(view.data);
    const std::span<const int64_t> shape = view.shape.values();
    if (view.data == nullptr) problems += fmt::format("error: {} is NULL\n", name());
    const std::string_view dtype = rt::dtype_name(static_cast<rt::Dtype>(tensor.dtype));
    if (!as_in_files && view.dtype != dtype) {
      problems += fmt::format("error: {} is of type {}, {} was expected\n", name(),
                              view.dtype.empty() ? "none" : view.dtype, dtype);
    }
    if (as_in_files ? !is_shape(shape) : !fits(tensor, view.shape)) {
      problems += fmt::format("error: {} has the shape {}, {} was expected\n", name(),
                              shape_text(shape), wanted_shape(tensor));
    } else if (!rows.known) {
      rows = {true, shape[0], text.one, short_name(tensor)};
    } else if (shape[0] != rows.count) {
      problems += fmt::format("error: {} has {} rows, {} has {}\n", name(), shape[0],
                              named(rows.what, rows.name), rows.count);
    }
  }
  return problems.empty() ? SessionStatus{} : failed(std::move(problems));
}

template SessionStatus SessionImpl::take(gradc_rt_tensor_kind, const Buffers&, Taken<const void>&,
                                         Rows&, bool) const;
template SessionStatus SessionImpl::take(gradc_rt_tensor_kind, const MutableBuffers&, Taken<void>&,
                                         Rows&, bool) const;

}  // namespace gradc
