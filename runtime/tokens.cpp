#include "runtime/tokens.h"

#include "runtime/dtype.h"
#include "runtime/text.h"

#include <algorithm>

namespace gradc::rt {
namespace {

bool continues(Span<const uint8_t> text, size_t i) {
  return i < text.size() && (text[i] & 0xC0) == 0x80;
}

// The byte at `at` has no number: where it stands, and what the character is that it belongs to.
Status refuse_character(const char* where, Span<const uint8_t> text, size_t at,
                        const bool* is_known, const Vec<Str>& known) {
  size_t line = 1;
  size_t place = 1;
  for (size_t i = 0; i < at; ++i) {
    place = text[i] == '\n' ? 1 : place + (continues(text, i) ? 0 : 1);
    line += text[i] == '\n' ? 1 : 0;
  }
  size_t first = at;
  for (size_t back = 0; continues(text, first) && first > 0 && back < 3; ++back)
    --first;
  if (continues(text, at)) --place;
  size_t end = at + 1;
  while (continues(text, end) && end - first < 4)
    ++end;
  const char* bytes = reinterpret_cast<const char*>(text.data());
  if (valid_utf8(bytes + first, end - first) < end - first) {  // no character: the byte alone
    first = at;
    end = at + 1;
  }
  const Vec<Str> used = used_bytes(text);
  size_t others = 0;
  for (const Str& byte : used)
    others += is_known[static_cast<uint8_t>(byte[0])] ? 0 : 1;
  const Str more =
      others > end - first ? format(" (and %zu more new bytes)", others - (end - first)) : Str();
  return error(
      "%s:%zu:%zu: characters: the text has \"%s\"%s, which the model was not trained with; the "
      "model knows %s, the text has %s",
      where, line, place, shown(bytes + first, end - first).c_str(), more.c_str(),
      shown_list(known).c_str(), shown_list(used).c_str());
}

}  // namespace

Vec<Str> used_bytes(Span<const uint8_t> text) {
  bool used[256] = {};
  for (uint8_t byte : text)
    used[byte] = true;
  Vec<Str> table;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    if (used[b]) table.push(Str(&byte, 1));
  }
  return table;
}

Vec<Str> all_bytes() {
  Vec<Str> table;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    table.push(Str(&byte, 1));
  }
  return table;
}

Status number_characters(const char* where, Span<const uint8_t> text, const Vec<Str>& table,
                         Vec<int32_t>* out) {
  bool is_known[256] = {};
  int32_t number_of[256] = {};
  for (size_t i = 0; i < table.size(); ++i) {
    const auto byte = static_cast<uint8_t>(table[i][0]);
    is_known[byte] = true;
    number_of[byte] = static_cast<int32_t>(i);
  }
  out->reserve(out->size() + text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (!is_known[text[at]]) return refuse_character(where, text, at, is_known, table);
    out->push(number_of[text[at]]);
  }
  return {};
}

namespace {

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// What Keras's "strip_punctuation" leaves out.
bool is_punctuation(char c) {
  return c != '\0' && strchr("!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'", c) != nullptr;
}

constexpr size_t kReserved = 2;  // padding and unknown

}  // namespace

void TokenTexts::add_token(const char* text, size_t size) {
  token_.clear();
  for (size_t i = 0; i < size; ++i) {
    const char c = text[i];
    if ((flags_ & GRADC_RT_TEXT_STRIP) != 0 && is_punctuation(c)) continue;
    const bool lowers = (flags_ & GRADC_RT_TEXT_LOWER) != 0 && c >= 'A' && c <= 'Z';
    token_.push(lowers ? static_cast<char>(c - 'A' + 'a') : c);
  }
  if (!token_.empty()) tokens_.push(distinct_.number({token_.data(), token_.size()}, 0));
}

void TokenTexts::add(const char* text, size_t size) {
  const bool words = split_ != GRADC_RT_TEXT_BYTES;
  for (size_t at = 0; at < size;) {
    size_t end = at + 1;
    while (words && !is_space(text[at]) && end < size && !is_space(text[end]))
      ++end;
    if (!words || !is_space(text[at])) add_token(text + at, end - at);
    at = end;
  }
  ends_.push(tokens_.size());
}

Vec<Str> TokenTexts::make_table(size_t tokens, size_t most) const {
  Vec<size_t> count(distinct_.texts().size());
  for (size_t i = 0; i < tokens; ++i)
    ++count[static_cast<size_t>(tokens_[i])];
  return table_of(count, most);
}

Vec<Str> TokenTexts::make_table(const Vec<uint8_t>& texts, size_t most) const {
  Vec<size_t> count(distinct_.texts().size());
  for (size_t t = 0; t < texts.size(); ++t) {
    for (size_t i = tokens_of(t); texts[t] != 0 && i < ends_[t]; ++i)
      ++count[static_cast<size_t>(tokens_[i])];
  }
  return table_of(count, most);
}

// `count` is of each of the distinct tokens.
Vec<Str> TokenTexts::table_of(const Vec<size_t>& count, size_t most) const {
  const Vec<Str>& names = distinct_.texts();
  Vec<size_t> order;
  for (size_t i = 0; i < names.size(); ++i)
    if (count[i] > 0) order.push(i);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return count[a] != count[b] ? count[a] > count[b] : names[a] < names[b];
  });
  Vec<Str> table;
  table.push(Str());
  table.push(Str("[UNK]"));
  for (const size_t name : order) {
    if (most > 0 && table.size() >= most) break;
    table.push(names[name].clone());
  }
  return table;
}

Vec<int32_t> TokenTexts::numbers(const Vec<Str>& table) const {
  CsvTexts known;
  for (size_t i = kReserved; i < table.size(); ++i)
    known.number({table[i].c_str(), table[i].size()}, 0);
  const Vec<Str>& names = distinct_.texts();
  Vec<int32_t> number(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const auto place =
        static_cast<size_t>(known.number({names[i].c_str(), names[i].size()}, 0)) + kReserved;
    number[i] = place < table.size() ? static_cast<int32_t>(place) : kUnknown;
  }
  Vec<int32_t> out;
  out.reserve(tokens_.size());
  for (const int32_t token : tokens_)
    out.push(number[static_cast<size_t>(token)]);
  return out;
}

Bytes TokenTexts::rows(const Vec<Str>& table, size_t length) const {
  const Vec<int32_t> all = numbers(table);
  Bytes out;
  out.resize(ends_.size() * length * sizeof(int32_t));
  size_t begin = 0;
  for (size_t row = 0; row < ends_.size(); ++row) {
    const size_t size = ends_[row] - begin;
    const size_t kept = std::min(size, length);
    const size_t first = begin + ((flags_ & GRADC_RT_TEXT_CUT_FRONT) != 0 ? size - kept : 0);
    const size_t fill = (flags_ & GRADC_RT_TEXT_PAD_FRONT) != 0 ? length - kept : 0;
    for (size_t i = 0; i < length; ++i) {
      const bool inside = i >= fill && i < fill + kept;
      store_i64(out.data(), Dtype::kI32, row * length + i,
                inside ? all[first + i - fill] : kPadding);
    }
    begin = ends_[row];
  }
  return out;
}

gradc_rt_data word_rule(const gradc_rt_tensor& input) {
  gradc_rt_data rule{};
  rule.text_flags = GRADC_RT_TEXT_LOWER | GRADC_RT_TEXT_STRIP;
  if (input.data != nullptr && input.data->text_split != GRADC_RT_TEXT_NONE) rule = *input.data;
  rule.text_split = GRADC_RT_TEXT_WORDS;
  return rule;
}

size_t token_room(const gradc_rt_tensor& tensor) {
  if (tensor.data == nullptr) return 0;
  const gradc_rt_data& data = *tensor.data;
  size_t room = 0;
  for (const int64_t limit :
       {data.max_tokens, data.value_count, data.one_hot_depth, data.classes}) {
    if (limit > 0 && (room == 0 || static_cast<size_t>(limit) < room))
      room = static_cast<size_t>(limit);
  }
  return room;
}

}  // namespace gradc::rt
