// Strict JSON pieces (RFC 8259).
#include "runtime/json.h"

#include "runtime/number.h"

#include <cmath>

namespace gradc::rt {
namespace {

void append_utf8(Str* out, uint32_t code) {
  if (code < 0x80) {
    out->push(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push(static_cast<char>(0xC0 | (code >> 6)));
    out->push(static_cast<char>(0x80 | (code & 63)));
  } else if (code < 0x10000) {
    out->push(static_cast<char>(0xE0 | (code >> 12)));
    out->push(static_cast<char>(0x80 | ((code >> 6) & 63)));
    out->push(static_cast<char>(0x80 | (code & 63)));
  } else {
    out->push(static_cast<char>(0xF0 | (code >> 18)));
    out->push(static_cast<char>(0x80 | ((code >> 12) & 63)));
    out->push(static_cast<char>(0x80 | ((code >> 6) & 63)));
    out->push(static_cast<char>(0x80 | (code & 63)));
  }
}

// Bytes of the UTF-8 sequence at `at`; 0 where there is none (RFC 3629: no surrogates, no longer
// form than needed).
size_t utf8_length(const char* at, size_t left) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(at[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || length > left) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool outside = (first == 0xED && byte(1) > 0x9F) || (first == 0xF4 && byte(1) > 0x8F);
  return overlong || outside ? 0 : length;
}

}  // namespace

void append_json_strings(Str& out, const Vec<Str>& texts) {
  out.push('[');
  for (size_t t = 0; t < texts.size(); ++t) {
    const Str& text = texts[t];
    Str part;  // UTF-8 as it is, the other bytes as escapes after it
    out.append(t > 0 ? ", \"" : "\"");
    const auto flush = [&] {
      Str quoted;
      append_json_string(quoted, part.c_str(), part.size());
      out.append(quoted.c_str() + 1, quoted.size() - 2);
      part.clear();
    };
    for (size_t i = 0; i < text.size();) {
      const size_t length = utf8_length(text.c_str() + i, text.size() - i);
      if (length > 0) {
        part.append(text.c_str() + i, length);
      } else {
        flush();
        out.appendf("\\udc%02x", static_cast<unsigned char>(text[i]));
      }
      i += length > 0 ? length : 1;
    }
    flush();
    out.push('"');
  }
  out.push(']');
}

bool parse_json_strings(const char* text, size_t size, Vec<Str>* out) {
  JsonReader json(text, size, true);
  out->clear();
  if (!json.eat('[')) return false;
  if (json.eat(']')) return json.at_end();
  do {
    Str item;
    if (!json.string(&item)) return false;
    out->push(static_cast<Str&&>(item));
  } while (json.eat(','));
  return json.eat(']') && json.at_end();
}

void append_json_string(Str& out, const char* text, size_t length) {
  out.push('"');
  for (size_t i = 0; i < length; ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      out.push('\\');
      out.push(static_cast<char>(c));
    } else if (c < 0x20) {
      out.appendf("\\u%04x", c);
    } else {
      out.push(static_cast<char>(c));
    }
  }
  out.push('"');
}

void append_json_number(Str& out, double value) {
  if (!std::isfinite(value)) {
    out.append("null");
    return;
  }
  out.append(number_text(value));
}

void JsonReader::skip_space() {
  while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r'))
    ++at_;
}

bool JsonReader::peek(char c) {
  skip_space();
  return at_ < end_ && *at_ == c;
}

bool JsonReader::eat(char c) {
  if (!peek(c)) return false;
  ++at_;
  return true;
}

bool JsonReader::at_end() {
  skip_space();
  return at_ == end_;
}

bool JsonReader::hex4(uint32_t* out) {
  if (end_ - at_ < 4) return false;
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char c = *at_;
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A' + 10);
    } else {
      return false;
    }
    value = value * 16 + digit;
  }
  *out = value;
  return true;
}

bool JsonReader::escape(Str* out) {
  if (at_ == end_) return false;
  const char c = *at_++;
  constexpr char kFrom[] = "\"\\/bfnrt";
  constexpr char kTo[] = "\"\\/\b\f\n\r\t";
  for (size_t i = 0; i + 1 < sizeof kFrom; ++i) {
    if (c == kFrom[i]) {
      out->push(kTo[i]);
      return true;
    }
  }
  uint32_t code = 0;
  if (c != 'u' || !hex4(&code)) return false;
  if (any_bytes_ && code >= 0xDC80 && code < 0xDD00) {
    out->push(static_cast<char>(code - 0xDC00));
    return true;
  }
  if (code >= 0xDC00 && code < 0xE000) return false;
  if (code >= 0xD800 && code < 0xDC00) {
    uint32_t low = 0;
    if (end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') return false;
    at_ += 2;
    if (!hex4(&low) || low < 0xDC00 || low >= 0xE000) return false;
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(out, code);
  return true;
}

bool JsonReader::string(Str* out) {
  out->clear();
  if (!eat('"')) return false;
  while (at_ < end_) {
    const char c = *at_++;
    if (c == '"') return true;
    if (static_cast<unsigned char>(c) < 0x20) return false;
    if (c != '\\') {
      out->push(c);
    } else if (!escape(out)) {
      return false;
    }
  }
  return false;
}

bool JsonReader::integer(int64_t* out) {
  skip_space();
  const char* first = at_;
  int64_t value = 0;
  while (at_ < end_ && *at_ >= '0' && *at_ <= '9') {
    if (__builtin_mul_overflow(value, int64_t{10}, &value) ||
        __builtin_add_overflow(value, int64_t{*at_ - '0'}, &value)) {
      return false;
    }
    ++at_;
  }
  const bool leading_zero = at_ - first > 1 && *first == '0';
  *out = value;
  return at_ > first && !leading_zero;
}

}  // namespace gradc::rt
