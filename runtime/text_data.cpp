// Text files as data sets for language models: windows of characters or bytes.
#include "runtime/byte_stream.h"
#include "runtime/dataset.h"
#include "runtime/text.h"

namespace gradc::rt {
namespace {

// The first byte of the text that the model has no number for, and where it stands; with what the
// character is that it belongs to.
Status refuse_character(const char* path, const Bytes& text, const bool* is_known,
                        const Vec<Str>& table, const Vec<Str>& known) {
  size_t at = 0;
  while (is_known[text[at]])
    ++at;
  const auto continues = [&](size_t i) { return i < text.size() && (text[i] & 0xC0) == 0x80; };
  size_t line = 1;
  size_t place = 1;
  for (size_t i = 0; i < at; ++i) {
    place = text[i] == '\n' ? 1 : place + (continues(i) ? 0 : 1);
    line += text[i] == '\n' ? 1 : 0;
  }
  size_t first = at;
  for (size_t back = 0; continues(first) && first > 0 && back < 3; ++back)
    --first;
  if (continues(at)) --place;
  size_t end = at + 1;
  while (continues(end) && end - first < 4)
    ++end;
  const char* bytes = reinterpret_cast<const char*>(text.data());
  if (valid_utf8(bytes + first, end - first) < end - first) {  // no character: the byte alone
    first = at;
    end = at + 1;
  }
  size_t others = 0;
  for (const Str& byte : table)
    others += is_known[static_cast<uint8_t>(byte[0])] ? 0 : 1;
  const Str more =
      others > end - first ? format(" (and %zu more new bytes)", others - (end - first)) : Str();
  return error(
      "%s:%zu:%zu: characters: the text has \"%s\"%s, which the model was not trained with; the "
      "model knows %s, the file has %s",
      path, line, place, shown(bytes + first, end - first).c_str(), more.c_str(),
      shown_list(known).c_str(), shown_list(table).c_str());
}

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
  if (named) {
    bool is_known[256] = {};
    for (const Str& byte : *known)
      is_known[static_cast<uint8_t>(byte[0])] = true;
    for (int b = 0; b < 256; ++b)
      if (used[b] && !is_known[b]) return refuse_character(path, text, is_known, *table, *known);
    GRADC_RT_TRY(match_some(path, "characters", *table, *known, &places));
  }
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
