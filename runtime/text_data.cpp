// Text files as data sets for language models: windows of characters or bytes.
#include "runtime/byte_stream.h"
#include "runtime/dataset.h"
#include "runtime/tokens.h"

namespace gradc::rt {

Status load_text(const gradc_rt_model& model, const char* path, bool characters,
                 const Vec<TensorMeaning>* known, Vec<Array>* arrays,
                 Vec<TensorMeaning>* meanings) {
  const gradc_rt_tensor* input = nullptr;
  const gradc_rt_tensor* target = nullptr;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (tensor.kind == GRADC_RT_INPUT) input = input == nullptr ? &tensor : input;
    if (tensor.kind == GRADC_RT_TARGET) target = target == nullptr ? &tensor : target;
  }
  if (input == nullptr || target == nullptr || input->rank < 2) {
    return error("%s: text needs a model with one input [batch, length] and one target", path);
  }
  Bytes text;
  GRADC_RT_TRY(read_maybe_gzip(path, &text));
  const size_t length = static_cast<size_t>(input->dims[1]);
  const bool next_only = target->rank < 2;  // [batch]: only the byte after the window
  if (text.size() < length + 1) {
    return error("%s: has %zu bytes, one window of the model needs %zu", path, text.size(),
                 length + 1);
  }
  const size_t index = static_cast<size_t>(input - model.tensors);
  const bool named = known != nullptr && !(*known)[index].characters.empty();
  const Vec<Str> table = named        ? (*known)[index].characters.clone()
                         : characters ? used_bytes(text.span())
                                      : all_bytes();
  Vec<int32_t> tokens;
  GRADC_RT_TRY(number_characters(path, text.span(), table, &tokens));
  for (const gradc_rt_tensor* tensor : {input, target})
    (*meanings)[static_cast<size_t>(tensor - model.tensors)].characters = table.clone();
  const size_t rows = (text.size() - 1) / length;
  for (const gradc_rt_tensor* tensor : {input, target}) {
    const size_t shift = tensor == target ? 1 : 0;
    const bool last = tensor == target && next_only;
    Array array;
    array.name = Str(tensor->name);
    array.source = Str(path);
    array.dtype = Dtype::kI32;
    array.dims.push(static_cast<int64_t>(rows));
    if (!last) array.dims.push(static_cast<int64_t>(length));
    array.data.resize(rows * (last ? 1 : length) * sizeof(int32_t));
    size_t at = 0;
    for (size_t r = 0; r < rows; ++r) {
      for (size_t k = last ? length - 1 : 0; k < length; ++k)
        store_i64(array.data.data(), Dtype::kI32, at++, tokens[r * length + k + shift]);
    }
    arrays->push(static_cast<Array&&>(array));
  }
  return {};
}

}  // namespace gradc::rt
