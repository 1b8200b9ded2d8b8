// Texts and files of token numbers as data sets for language models: windows, and what follows each
// of their tokens.
#include "runtime/byte_stream.h"
#include "runtime/dataset.h"
#include "runtime/number.h"
#include "runtime/text.h"
#include "runtime/tokens.h"

#include <algorithm>

namespace gradc::rt {
namespace {

enum class Unit { kCharacters, kBytes, kWords, kU16, kU32, kNpy };

struct UnitName {
  const char* name;
  Unit unit;
};

constexpr UnitName kUnits[] = {{"chars", Unit::kCharacters}, {"bytes", Unit::kBytes},
                               {"words", Unit::kWords},      {"u16", Unit::kU16},
                               {"u32", Unit::kU32},          {"tokens", Unit::kNpy}};

// What a text becomes: the numbers of its tokens, and what they stand for (nothing is known of a
// file of numbers).
struct Tokens {
  Vec<int32_t> numbers;
  TensorMeaning meaning;
};

// The input and the target of the windows.
struct Pair {
  const gradc_rt_tensor* input = nullptr;
  const gradc_rt_tensor* target = nullptr;
  size_t length = 0;
  bool next_only = false;  // [batch]: only the token after the window
  size_t stride = 0;       // from window to window
  bool draws = false;      // windows drawn anew for each epoch, beginning anywhere
  int64_t most_draws = 0;  // so many of them; 0: as many as do not overlap

  /// Some of a window's own tokens are hidden and asked for; else what follows each is.
  bool hides() const { return input->data != nullptr && input->data->mask_selection_rate > 0; }
  size_t needs() const { return hides() ? length : length + 1; }  // tokens
  size_t windows(size_t tokens) const {
    return tokens >= needs() ? (tokens - needs()) / stride + 1 : 0;
  }
  /// Of `count` windows in turn those that no later one shares a token with.
  size_t apart(size_t count) const {
    const size_t shared = (length + stride - 1) / stride - 1;
    return count > shared ? count - shared : 0;
  }
};

Status find_pair(const Loading& loading, const char* path, Pair* out) {
  for (int64_t i = 0; i < loading.model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = loading.model.tensors[i];
    if (tensor.kind == GRADC_RT_INPUT) out->input = out->input == nullptr ? &tensor : out->input;
    if (tensor.kind == GRADC_RT_TARGET)
      out->target = out->target == nullptr ? &tensor : out->target;
  }
  if (out->input == nullptr || out->target == nullptr || out->input->rank < 2) {
    return error("%s: text needs a model with one input [batch, length] and one target", path);
  }
  out->length = out->stride = static_cast<size_t>(out->input->dims[1]);
  out->next_only = out->target->rank < 2;
  const bool ignores = out->target->data != nullptr && out->target->data->has_ignored != 0;
  if (out->hides() && (out->next_only || !ignores)) {
    return error(
        "%s: %s has some of its tokens hidden, %s needs a class for each place and a loss with "
        "\"ignore_class\" for the others",
        path, out->input->name, out->target->name);
  }
  return {};
}

Status read_options(const char* path, const char* text, Unit* unit, Pair* pair) {
  const size_t length = strcspn(text, ":");
  for (const UnitName& known : kUnits)
    if (Str(text, length) == known.name) *unit = known.unit;
  if (text[length] == '\0') return {};
  const Str option(text + length + 1);
  const char* equals = strchr(option.c_str(), '=');
  const Str name = equals == nullptr ? option.clone()
                                     : option.part(0, static_cast<size_t>(equals - option.c_str()));
  int64_t value = 0;
  const bool counts = equals != nullptr && parse_integer(equals + 1, &value) && value >= 1;
  if (name == "stride" && counts) {
    pair->stride = static_cast<size_t>(value);
  } else if (name == "random" && (equals == nullptr || counts)) {
    pair->draws = true;
    pair->most_draws = value;
    pair->stride = 1;
  } else {
    return error(
        "%s: unknown option \"%s\", expected stride=N, random or random=N with N of at least 1",
        path, shown(option).c_str());
  }
  return {};
}

// Which number hides a token.
int64_t mask_token(const gradc_rt_tensor& input) {
  if (input.data->mask_token_id >= 0) return input.data->mask_token_id;
  return static_cast<int64_t>(token_room(input)) - 1;
}

Status read_characters(const char* path, bool characters, const TensorMeaning* known, Tokens* out) {
  Bytes text;
  GRADC_RT_TRY(read_maybe_gzip(path, &text));
  Vec<Str>& table = out->meaning.characters;
  table = known != nullptr && !known->characters.empty() ? known->characters.clone()
          : characters                                   ? used_bytes(text.span())
                                                         : all_bytes();
  return number_characters(path, text.span(), table, &out->numbers);
}

Status read_words(const Loading& loading, const Pair& pair, const char* path,
                  const TensorMeaning* known, Tokens* out) {
  Bytes text;
  GRADC_RT_TRY(read_maybe_gzip(path, &text));
  TokenTexts words(word_rule(*pair.input));
  words.add(reinterpret_cast<const char*>(text.data()), text.size());
  Vec<Str>& table = out->meaning.tokens;
  if (known != nullptr && !known->tokens.empty()) {
    table = known->tokens.clone();
  } else {  // of the windows that are trained on
    const size_t all = pair.windows(words.tokens());
    size_t windows = loading.training_rows(all);
    if (windows < all) windows = pair.apart(windows);
    const size_t trained = windows == 0 ? 0 : (windows - 1) * pair.stride + pair.needs();
    const size_t in = pair.hides()
                          ? static_cast<size_t>(std::max<int64_t>(mask_token(*pair.input), 0))
                          : token_room(*pair.input);
    const size_t to = token_room(*pair.target);
    table = words.make_table(trained, in > 0 && (to == 0 || in < to) ? in : to);
  }
  out->numbers = words.numbers(table);
  return {};
}

// Little-endian numbers of `width` bytes.
Status read_numbers(const char* path, size_t width, Tokens* out) {
  Bytes bytes;
  GRADC_RT_TRY(read_maybe_gzip(path, &bytes));
  if (bytes.size() % width != 0) {
    return error("%s: has %zu bytes, a multiple of %zu was expected", path, bytes.size(), width);
  }
  out->numbers.reserve(bytes.size() / width);
  for (size_t at = 0; at < bytes.size(); at += width) {
    uint32_t value = 0;
    for (size_t i = width; i > 0; --i)
      value = value << 8 | bytes[at + i - 1];
    if (value > INT32_MAX) {
      return error("%s: token %zu is %u, at most %d was expected", path, at / width,
                   static_cast<unsigned>(value), INT32_MAX);
    }
    out->numbers.push(static_cast<int32_t>(value));
  }
  return {};
}

Status read_array(const char* path, Tokens* out) {
  ByteStream stream;
  GRADC_RT_TRY(stream.open(path));
  Array array;
  GRADC_RT_TRY(read_npy(stream, path, &array));
  if (array.dims.size() != 1 || is_float(array.dtype)) {
    return error("%s: is %s, the numbers of a text's tokens in one row were expected", path,
                 array_type_text(array).c_str());
  }
  for (size_t i = 0; i < array.count(); ++i) {
    const int64_t value = load_i64(array.data.data(), array.dtype, i);
    if (value < 0 || value > INT32_MAX) {
      return error("%s: token %zu is %lld, 0 to %d was expected", path, i,
                   static_cast<long long>(value), INT32_MAX);
    }
    out->numbers.push(static_cast<int32_t>(value));
  }
  return {};
}

Status read_tokens(const Loading& loading, const Pair& pair, const char* path, Unit unit,
                   Tokens* out) {
  const TensorMeaning* known =
      loading.known != nullptr
          ? &(*loading.known)[static_cast<size_t>(pair.input - loading.model.tensors)]
          : nullptr;
  switch (unit) {
    case Unit::kCharacters:
    case Unit::kBytes:
      return read_characters(path, unit == Unit::kCharacters, known, out);
    case Unit::kWords:
      return read_words(loading, pair, path, known, out);
    case Unit::kU16:
      return read_numbers(path, 2, out);
    case Unit::kU32:
      return read_numbers(path, 4, out);
    case Unit::kNpy:
      return read_array(path, out);
  }
  return {};
}

// The windows lie over each other in the tokens' own order: nothing is stored twice.
Array make_windows(const Pair& pair, const char* path, bool target, const Tokens& tokens) {
  const bool last = target && pair.next_only;
  const size_t skipped = (target && !pair.hides() ? 1 : 0) + (last ? pair.length - 1 : 0);
  Array array;
  array.name = Str(target ? pair.target->name : pair.input->name);
  array.source = Str(path);
  array.dtype = Dtype::kI32;
  array.dims.push(static_cast<int64_t>(pair.windows(tokens.numbers.size())));
  if (!last) array.dims.push(static_cast<int64_t>(pair.length));
  array.row_step = pair.stride;
  if (pair.draws) {
    const int64_t apart = array.dims[0] / static_cast<int64_t>(pair.length);
    array.draws = pair.most_draws > 0 ? pair.most_draws : std::max<int64_t>(apart, 1);
  }
  const size_t stored = array.stored(static_cast<size_t>(array.dims[0]));
  array.data.append(reinterpret_cast<const uint8_t*>(tokens.numbers.data() + skipped),
                    stored * sizeof(int32_t));
  return array;
}

// What hides tokens must be no token itself.
Status find_hidden(const Pair& pair, const char* path, bool words, const Tokens& tokens,
                   HiddenTokens* hidden) {
  if (!pair.hides()) return {};
  hidden->rule = pair.input->data;
  hidden->mask = mask_token(*pair.input);
  if (hidden->mask < 0) {
    return error("%s: %s can have any number: \"mask_token_id\" has to say which hides a token",
                 path, pair.input->name);
  }
  if (const size_t room = token_room(*pair.input);
      room > 0 && hidden->mask >= static_cast<int64_t>(room)) {
    return error("%s: \"mask_token_id\" is %lld, %s has numbers below %zu", path,
                 static_cast<long long>(hidden->mask), pair.input->name, room);
  }
  int64_t most = 0;
  for (const int32_t number : tokens.numbers) {
    most = std::max<int64_t>(most, number);
    if (number != hidden->mask) continue;
    return error("%s: has a token of number %lld, which hides tokens (\"mask_token_id\")", path,
                 static_cast<long long>(hidden->mask));
  }
  hidden->low = words && most > kUnknown ? kUnknown + 1 : 0;
  hidden->high = most + 1;
  return {};
}

}  // namespace

Status load_text(const Loading& loading, const char* path, const char* options) {
  Pair pair;
  Unit unit = Unit::kCharacters;
  GRADC_RT_TRY(find_pair(loading, path, &pair));
  GRADC_RT_TRY(read_options(path, options, &unit, &pair));
  Tokens tokens;
  GRADC_RT_TRY(read_tokens(loading, pair, path, unit, &tokens));
  if (tokens.numbers.size() < pair.needs()) {
    const bool bytes = unit == Unit::kCharacters || unit == Unit::kBytes;
    return error("%s: has %zu %s, one window of the model needs %zu", path, tokens.numbers.size(),
                 bytes ? "bytes" : "tokens", pair.needs());
  }
  HiddenTokens hidden;
  GRADC_RT_TRY(find_hidden(pair, path, unit == Unit::kWords, tokens, &hidden));
  for (const gradc_rt_tensor* tensor : {pair.input, pair.target}) {
    (*loading.meanings)[static_cast<size_t>(tensor - loading.model.tensors)] =
        tokens.meaning.clone();
    Array windows = make_windows(pair, path, tensor == pair.target, tokens);
    windows.hidden = hidden;
    loading.arrays->push(static_cast<Array&&>(windows));
  }
  return {};
}

}  // namespace gradc::rt
