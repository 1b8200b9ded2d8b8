// As Keras 2 itself reads files of Keras 1 and of Theano (preprocess_weights_for_loading).
#include "exchange/array_axes.h"
#include "exchange/weights.h"

#include <algorithm>

namespace gradc::exchange {
namespace {

bool is_convolution(const Layer& layer) {
  return layer.component.def != nullptr &&
         layer.component.def->type.find("conv") != std::string_view::npos;
}

bool has_channels_first(const Layer& layer) {
  const Options& options = layer.component.options;
  return options.defines("data_format") && options.has("data_format") &&
         options.text("data_format") == "channels_first";
}

/// Keras 1 convolves sequences as images of one column: [steps, 1, in, out], before it [out, in,
/// steps, 1].
void drop_column(rt::Array& array, const ParameterSpec& spec) {
  if (array.dims.size() != 4 || spec.shape.size() != 3) return;
  const bool is_new =
      array.dims[0] == spec.shape[0] && array.dims[1] == 1 && array.dims[3] == spec.shape[2];
  if (!is_new && array.dims[3] == 1) transpose(array, {2, 3, 1, 0});
  if (array.dims[1] != 1) return;
  rt::Vec<int64_t> dims;
  for (const size_t axis : {size_t{0}, size_t{2}, size_t{3}})
    dims.push(array.dims[axis]);
  array.dims = std::move(dims);
}

/// All spatial axes backwards is the blocks of the last two in the opposite order.
void turn_round(rt::Array& array) {
  const size_t rank = array.dims.size();
  const size_t block = static_cast<size_t>(array.dims[rank - 2] * array.dims[rank - 1]) *
                       rt::dtype_bytes(array.dtype);
  rt::Bytes turned;
  for (size_t end = array.data.size(); end > 0; end -= block)
    turned.append(array.data.data() + end - block, block);
  array.data = std::move(turned);
}

}  // namespace

void modernize(const Layer& layer, const ParameterSpec& spec, Origin origin, rt::Array& array) {
  const bool kernel = is_convolution(layer) && spec.name.ends_with("kernel");
  if (!kernel || array.count() == 0 || array.dims.size() < 3) return;
  if (origin.first_keras && layer.component.def->type == "conv1d") {
    drop_column(array, spec);
  } else if (origin.first_keras && array.dims.size() == spec.shape.size()) {
    const bool transposed = layer.component.def->type.ends_with("transpose");
    const bool first = has_channels_first(layer);
    if (array.dims.size() == 4 && transposed)
      transpose(array, first ? Ints{2, 3, 0, 1} : Ints{0, 1, 3, 2});
    if (array.dims.size() == 4 && !transposed && first) transpose(array, {2, 3, 1, 0});
    if (array.dims.size() == 5 && first) transpose(array, {2, 3, 4, 1, 0});
  }
  if (origin.theano) turn_round(array);
}

}  // namespace gradc::exchange
