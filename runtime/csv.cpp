// Records of a CSV.
#include "runtime/csv.h"

#include "runtime/number.h"
#include "runtime/text.h"

#include <algorithm>

namespace gradc::rt {
namespace {

constexpr size_t kLongestRecord = 256u << 20;

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

char small_letter(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

// ---- bytes to UTF-8 ---------------------------------------------------------------------------

// Moves the record being read to the front and adds a block behind it.
Status CsvReader::refill() {
  const size_t left = buffer_.size() - at_;
  if (left > kLongestRecord) {
    return error("%s:%zu: a row is longer than %zu MiB%s", path_, next_line_, kLongestRecord >> 20,
                 quote_line_ > 0 ? ": does a quoted field have no end?" : "");
  }
  if (at_ > 0) memmove(buffer_.data(), buffer_.data() + at_, left);
  buffer_.set_size_within_capacity(left);
  at_ = 0;
  // A long record doubles the buffer, so that scanning it anew stays linear.
  while (buffer_.size() < std::max(left + 1, 2 * left) && !ended_) {
    Span<const uint8_t> block;
    GRADC_RT_TRY(bytes_.next(&block));
    ended_ = block.empty();
    GRADC_RT_TRY(decode(block));
  }
  return {};
}

Status CsvReader::find_encoding(Span<const uint8_t>* block) {
  const auto begins = [&](const char* mark, size_t length) {
    return block->size() >= length && memcmp(block->data(), mark, length) == 0;
  };
  if (begins("\xFF\xFE\0\0", 4) || begins("\0\0\xFE\xFF", 4)) {
    return error("%s: the text is UTF-32, UTF-8 was expected: save it as \"CSV UTF-8\"", path_);
  }
  size_t mark = 0;
  encoding_ = Encoding::kUtf8;
  if (begins("\xEF\xBB\xBF", 3)) {
    mark = 3;
  } else if (begins("\xFF\xFE", 2)) {
    mark = 2;
    encoding_ = Encoding::kUtf16Little;
  } else if (begins("\xFE\xFF", 2)) {
    mark = 2;
    encoding_ = Encoding::kUtf16Big;
  }
  *block = {block->data() + mark, block->size() - mark};
  return {};
}

Status CsvReader::decode(Span<const uint8_t> block) {
  if (encoding_ == Encoding::kUnknown) GRADC_RT_TRY(find_encoding(&block));
  if (encoding_ != Encoding::kUtf8) return decode_utf16(block);
  if (block.empty()) return {};
  has_zero_ = has_zero_ || memchr(block.data(), 0, block.size()) != nullptr;
  buffer_.append(reinterpret_cast<const char*>(block.data()), block.size());
  return {};
}

void CsvReader::append_code(uint32_t code) {
  const auto push = [&](uint32_t byte) { buffer_.push(static_cast<char>(byte)); };
  has_zero_ = has_zero_ || code == 0;
  if (code < 0x80) return push(code);
  if (code < 0x800) {
    push(0xC0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      push(0xE0 | (code >> 12));
    } else {
      push(0xF0 | (code >> 18));
      push(0x80 | ((code >> 12) & 0x3F));
    }
    push(0x80 | ((code >> 6) & 0x3F));
  }
  push(0x80 | (code & 0x3F));
}

Status CsvReader::decode_utf16(Span<const uint8_t> block) {
  const bool little = encoding_ == Encoding::kUtf16Little;
  const bool last = block.empty();
  for (uint8_t byte : block) {
    if (!has_odd_byte_) {
      odd_byte_ = byte;
      has_odd_byte_ = true;
      continue;
    }
    has_odd_byte_ = false;
    const uint32_t unit = little ? odd_byte_ | (static_cast<uint32_t>(byte) << 8)
                                 : byte | (static_cast<uint32_t>(odd_byte_) << 8);
    const bool second = unit >= 0xDC00 && unit <= 0xDFFF;
    if (second != (high_ != 0)) return error("%s: the text is no valid UTF-16", path_);
    if (unit >= 0xD800 && unit < 0xDC00) {
      high_ = unit;
    } else if (second) {
      append_code(0x10000 + ((high_ - 0xD800) << 10) + (unit - 0xDC00));
      high_ = 0;
    } else {
      append_code(unit);
    }
  }
  if (last && (has_odd_byte_ || high_ != 0)) {
    return error("%s: the text is UTF-16 and cut off within a character", path_);
  }
  return {};
}

// ---- records ----------------------------------------------------------------------------------

// The first separator or line end at or after `at`; the buffer's size if there is none.
size_t CsvReader::end_of_plain(size_t at) const {
  const char* text = buffer_.data();
  const size_t size = buffer_.size();
  while (at < size && text[at] != separator_ && text[at] != '\n' && text[at] != '\r')
    ++at;
  return at;
}

// *at is behind the opening quote. False if the closing one is not in the buffer.
bool CsvReader::scan_quoted(size_t* at, CsvField* field) {
  const char* text = buffer_.data();
  const size_t begin = *at;
  bool doubled = false;
  while (true) {
    const void* found = memchr(text + *at, '"', buffer_.size() - *at);
    if (found == nullptr) return false;
    const size_t quote = static_cast<size_t>(static_cast<const char*>(found) - text);
    if (quote + 1 == buffer_.size() && !ended_) return false;
    *at = quote + 1;
    if (*at == buffer_.size() || text[*at] != '"') {
      *field = {text + begin, quote - begin};
      doubled_.push(doubled);
      return true;
    }
    doubled = true;
    ++*at;
  }
}

CsvReader::Scan CsvReader::scan() {
  fields_.clear();
  doubled_.clear();
  damage_line_ = quote_line_ = 0;
  const char* text = buffer_.data();
  const size_t size = buffer_.size();
  if (at_ == size) return ended_ ? Scan::kEnd : Scan::kNeedsMore;
  size_t at = at_;
  size_t line = next_line_;
  while (true) {
    CsvField field;
    if (quotes_ && at < size && text[at] == '"') {
      const size_t first = ++at;
      if (!scan_quoted(&at, &field)) {
        quote_line_ = line;
        return Scan::kNeedsMore;
      }
      for (size_t i = first; i < at; ++i) {
        const bool crlf = text[i] == '\r' && i + 1 < at && text[i + 1] == '\n';
        if (text[i] == '\n' || (text[i] == '\r' && !crlf)) ++line;
      }
      const size_t end = end_of_plain(at);
      for (size_t i = at; i < end; ++i)
        if (!is_space(text[i]) && damage_line_ == 0) damage_line_ = line;
      at = end;
    } else {
      const size_t end = end_of_plain(at);
      field = {text + at, end - at};
      doubled_.push(false);
      at = end;
    }
    if (at == size && !ended_) return Scan::kNeedsMore;
    fields_.push(field);
    if (at == size) break;
    const char c = text[at++];
    if (c == separator_) continue;
    if (c == '\r') {
      if (at == size && !ended_) return Scan::kNeedsMore;
      if (at < size && text[at] == '\n') ++at;
    }
    ++line;
    break;
  }
  line_ = next_line_;
  next_line_ = line;
  at_ = at;
  return Scan::kRecord;
}

void CsvReader::unescape(CsvField* field) {
  char* text = buffer_.data() + (field->text - buffer_.data());
  size_t out = 0;
  for (size_t i = 0; i < field->size; ++i) {
    text[out++] = text[i];
    if (text[i] == '"') ++i;  // the second of two
  }
  field->size = out;
}

Status CsvReader::next(bool* more) {
  *more = false;
  while (true) {
    const Scan result = scan();
    if (result == Scan::kEnd) return {};
    if (result == Scan::kNeedsMore) {
      if (ended_) {
        return error("%s:%zu: a quoted field begins here and has no closing quote", path_,
                     quote_line_);
      }
      GRADC_RT_TRY(refill());
      continue;
    }
    if (fields_.size() == 1 && fields_[0].size == 0) continue;  // a blank line
    if (damage_line_ > 0) {
      return error(
          "%s:%zu: text follows the closing quote of a field (a quote inside quotes is "
          "written twice)",
          path_, damage_line_);
    }
    for (size_t i = 0; i < fields_.size(); ++i) {
      if (doubled_[i]) unescape(&fields_[i]);
      if (has_zero_ && memchr(fields_[i].text, 0, fields_[i].size) != nullptr) {
        return error(
            "%s:%zu: field %zu holds a zero byte, text was expected (UTF-16 is read if it begins "
            "with its byte-order mark)",
            path_, line_, i + 1);
      }
    }
    *more = true;
    return {};
  }
}

// ---- cells ------------------------------------------------------------------------------------

CsvField csv_trimmed(CsvField field) {
  while (field.size > 0 && is_space(field.text[0]))
    field = {field.text + 1, field.size - 1};
  while (field.size > 0 && is_space(field.text[field.size - 1]))
    --field.size;
  return field;
}

bool csv_number(CsvField field, double* out) {
  const CsvField cell = csv_trimmed(field);
  return parse_double(cell.text, cell.text + cell.size, out);
}

bool csv_is_missing(CsvField field) {
  for (const char* name : {"", "na", "n/a", "nan", "null", "none", "?"}) {
    if (strlen(name) != field.size) continue;
    size_t i = 0;
    while (i < field.size && name[i] == small_letter(field.text[i]))
      ++i;
    if (i == field.size) return true;
  }
  return false;
}

void CsvTrouble::note(size_t at_line, const char* pattern, ...) {
  if (count++ > 0) return;
  line = at_line;
  va_list arguments;
  va_start(arguments, pattern);
  text.append_formatted(pattern, arguments);
  va_end(arguments);
}

void CsvTexts::grow() {
  const size_t size = slots_.empty() ? 64 : slots_.size() * 2;
  slots_ = Vec<int32_t>(size);
  for (size_t i = 0; i < texts_.size(); ++i) {
    size_t slot = hashes_[i] & (size - 1);
    while (slots_[slot] != 0)
      slot = (slot + 1) & (size - 1);
    slots_[slot] = static_cast<int32_t>(i) + 1;
  }
}

int32_t CsvTexts::number(CsvField field, size_t line) {
  if ((texts_.size() + 1) * 2 > slots_.size()) grow();
  uint64_t hash = 0xCBF29CE484222325u;
  for (size_t i = 0; i < field.size; ++i)
    hash = (hash ^ static_cast<uint8_t>(field.text[i])) * 0x100000001B3u;
  hash ^= hash >> 29;  // the low bits choose the slot
  size_t slot = hash & (slots_.size() - 1);
  for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1)) {
    const size_t i = static_cast<size_t>(slots_[slot]) - 1;
    if (hashes_[i] == hash && texts_[i].size() == field.size &&
        memcmp(texts_[i].c_str(), field.text, field.size) == 0) {
      return static_cast<int32_t>(i);
    }
  }
  texts_.push(Str(field.text, field.size));
  lines_.push(line);
  hashes_.push(hash);
  slots_[slot] = static_cast<int32_t>(texts_.size());
  return static_cast<int32_t>(texts_.size()) - 1;
}

}  // namespace gradc::rt
