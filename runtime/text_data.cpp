// Text files as data sets for language models: windows of characters or bytes.
#include "runtime/byte_stream.h"
#include "runtime/dataset.h"
#include "runtime/text.h"

namespace gradc::rt {
namespace {

// The number of each byte: itself, or its place among the bytes that the text (or the text that the
// model was trained with) has.
Status number_bytes(const char* path, const Bytes& text, bool characters, const Vec<Str>* known,
                    int32_t* id_of, Vec<Str>* table) {
  bool used[256] = {};
  for (uint8_t byte : text)
    used[byte] = true;
  for (int b = 0; b < 256; ++b) {
    id_of[b] = characters ? -1 : b;
    const char byte = static_cast<char>(b);
    if (characters && used[b]) table->push(Str(&byte, 1));
  }
  if (!characters) return {};
  Vec<size_t> places;
  const bool named = known != nullptr && !known->empty();
  if (named) GRADC_RT_TRY(match_some(path, "characters", *table, *known, &places));
  for (size_t i = 0; i < table->size(); ++i)
    id_of[static_cast<uint8_t>((*table)[i][0])] = static_cast<int32_t>(named ? places[i] : i);
  if (named) *table = known->clone();
  return {};
}

}  // namespace

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
  int32_t id_of[256];
  Vec<Str> table;
  const size_t index = static_cast<size_t>(input - model.tensors);
  GRADC_RT_TRY(number_bytes(path, text, characters,
                            known != nullptr ? &(*known)[index].characters : nullptr, id_of,
                            &table));
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
        store_i64(array.data.data(), Dtype::kI32, at++, id_of[text[r * length + k + shift]]);
    }
    arrays->push(static_cast<Array&&>(array));
  }
  return {};
}

}  // namespace gradc::rt
