// A state says what may come next; containers that are open stand on a stack of bits.
#include "support/json_scanner.h"

#include "support/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace gradc {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The value of a hexadecimal digit, or -1.
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum class Expect { kValue, kFirstElement, kKey, kFirstKey, kColon, kCommaOrEnd, kEnd };

class Scanner {
 public:
  Scanner(std::string_view text, JsonHandler& handler) : text_(text), handler_(handler) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  }

  std::optional<JsonSyntaxError> run() {
    bool going = true;
    while (going && !error_) {
      at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size());
      if (expect_ == Expect::kEnd && at_ == text_.size()) break;
      going = step();
    }
    return std::move(error_);
  }

 private:
  bool fail(size_t begin, size_t end, std::string message) {
    error_ = JsonSyntaxError{{begin, end}, std::move(message)};
    return false;
  }

  std::string_view context() const {
    switch (expect_) {
      case Expect::kValue:
      case Expect::kFirstElement:
      case Expect::kEnd:
        return "value";
      case Expect::kKey:
      case Expect::kFirstKey:
        return "object key";
      case Expect::kColon:
        return "object separator";
      case Expect::kCommaOrEnd:
        return objects_.back() ? "object" : "array";
    }
    return {};
  }

  std::string_view expected() const {
    switch (expect_) {
      case Expect::kValue:
      case Expect::kFirstElement:
        return "a value";
      case Expect::kEnd:
        return "end of input";
      case Expect::kKey:
      case Expect::kFirstKey:
        return "a string";
      case Expect::kColon:
        return "':'";
      case Expect::kCommaOrEnd:
        return objects_.back() ? "',' or '}'" : "',' or ']'";
    }
    return {};
  }

  bool unexpected() {
    if (at_ >= text_.size()) {
      return fail(at_, at_,
                  fmt::format("while parsing {}: unexpected end of input; expected {}", context(),
                              expected()));
    }
    const char c = text_[at_];
    std::string seen = "invalid literal";
    size_t end = at_ + 1;
    if (std::string_view("{}[]:,").find(c) != std::string_view::npos) {
      seen = fmt::format("unexpected '{}'", c);
    } else if (c == '"') {
      seen = "unexpected string";
      std::string ignored;
      ByteRange range;
      if (!read_string(ignored, range)) return false;
      end = range.end;
    } else if (is_digit(c) || c == '-') {
      seen = "unexpected number";
    }
    const size_t begin = c == '"' ? start_ : at_;
    return fail(begin, end,
                fmt::format("while parsing {}: {}; expected {}", context(), seen, expected()));
  }

  bool step() {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (at_ >= text_.size()) return unexpected();
    switch (expect_) {
      case Expect::kFirstElement:
        if (c == ']') return close();
        return value(c);
      case Expect::kValue:
        return value(c);
      case Expect::kFirstKey:
        if (c == '}') return close();
        return key(c);
      case Expect::kKey:
        return key(c);
      case Expect::kColon:
        if (c != ':') return unexpected();
        ++at_;
        expect_ = Expect::kValue;
        return true;
      case Expect::kCommaOrEnd:
        if (c == (objects_.back() ? '}' : ']')) return close();
        if (c != ',') return unexpected();
        ++at_;
        expect_ = objects_.back() ? Expect::kKey : Expect::kValue;
        return true;
      case Expect::kEnd:
        return unexpected();
    }
    return false;
  }

  void after_value() { expect_ = objects_.empty() ? Expect::kEnd : Expect::kCommaOrEnd; }

  bool close() {
    ++at_;
    objects_.pop_back();
    after_value();
    return handler_.close(at_);
  }

  bool key(char c) {
    if (c != '"') return unexpected();
    std::string name;
    ByteRange range;
    if (!read_string(name, range)) return false;
    expect_ = Expect::kColon;
    return handler_.key(std::move(name), range);
  }

  bool value(char c) {
    if (c == '{' || c == '[') {
      objects_.push_back(c == '{');
      expect_ = c == '{' ? Expect::kFirstKey : Expect::kFirstElement;
      return handler_.open(c == '{', at_++);
    }
    if (c == '"') {
      std::string text;
      ByteRange range;
      if (!read_string(text, range)) return false;
      after_value();
      return handler_.string(std::move(text), range);
    }
    if (c == '-' || is_digit(c)) return number();
    for (const std::string_view word : {"true", "false", "null"}) {
      if (text_.substr(at_, word.size()) != word) continue;
      const ByteRange range{at_, at_ + word.size()};
      at_ = range.end;
      after_value();
      return handler_.literal(range);
    }
    return unexpected();
  }

  bool number() {
    const size_t begin = at_;
    const auto digits = [this] {
      const size_t first = at_;
      while (at_ < text_.size() && is_digit(text_[at_]))
        ++at_;
      return at_ > first;
    };
    const auto take = [this](std::string_view set) {
      if (at_ >= text_.size() || set.find(text_[at_]) == std::string_view::npos) return false;
      ++at_;
      return true;
    };
    take("-");
    const bool zero = at_ < text_.size() && text_[at_] == '0';
    bool good = zero ? take("0") : digits();
    if (good && take(".")) good = digits();
    if (good && take("eE")) {
      take("+-");
      good = digits();
    }
    if (!good || (at_ < text_.size() && is_digit(text_[at_]))) {
      return fail(at_, at_ + 1,
                  good ? "while parsing value: invalid number; a zero may not come first"
                       : "while parsing value: invalid number; expected a digit");
    }
    after_value();
    return handler_.number({begin, at_});
  }

  bool bad_string(size_t at, std::string_view what) {
    return fail(at, at + 1, fmt::format("while parsing {}: invalid string: {}", context(), what));
  }

  /// Reads the string at the cursor and moves behind it.
  bool read_string(std::string& out, ByteRange& range) {
    start_ = at_++;
    for (;;) {
      const size_t plain = at_;
      while (at_ < text_.size() && text_[at_] >= 0x20 && text_[at_] < 0x7F && text_[at_] != '"' &&
             text_[at_] != '\\')
        ++at_;
      out.append(text_, plain, at_ - plain);
      if (at_ >= text_.size()) return bad_string(at_, "missing closing quote");
      const char c = text_[at_];
      if (c == '"') break;
      if (c == '\\') {
        if (!read_escape(out)) return false;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20)
        return bad_string(at_,
                          fmt::format("control character {} must be escaped", printable({&c, 1})));
      uint32_t code = 0;
      const size_t length = decode_utf8(text_, at_, &code);
      if (length == 0) return bad_string(at_, "ill-formed UTF-8 byte");
      out.append(text_, at_, length);
      at_ += length;
    }
    range = {start_, ++at_};
    return true;
  }

  bool read_escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (const size_t found = kNames.find(c); c != '\0' && found != std::string_view::npos) {
      out += kMeanings[found];
      at_ += 2;
      return true;
    }
    if (c != 'u')
      return bad_string(std::min(at_ + 1, text_.size()), "forbidden character after backslash");
    uint32_t code = 0;
    if (!read_hex(code)) return false;
    if (code >= 0xD800 && code < 0xDC00) {
      uint32_t low = 0;
      if (text_.substr(at_, 2) != "\\u" || !read_hex(low) || low < 0xDC00 || low >= 0xE000)
        return error_ ? false : bad_string(at_, "a high surrogate must be followed by a low one");
      code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
      return bad_string(at_ - 6, "a low surrogate must follow a high one");
    }
    append_utf8(out, code);
    return true;
  }

  bool read_hex(uint32_t& code) {
    for (size_t i = 2; i < 6; ++i) {
      const int digit = at_ + i < text_.size() ? hex_value(text_[at_ + i]) : -1;
      if (digit < 0)
        return bad_string(std::min(at_ + i, text_.size()), "\\u must be followed by 4 hex digits");
      code = code * 16 + static_cast<uint32_t>(digit);
    }
    at_ += 6;
    return true;
  }

  std::string_view text_;
  JsonHandler& handler_;
  size_t at_ = 0;
  size_t start_ = 0;  ///< of the string read last
  Expect expect_ = Expect::kValue;
  std::vector<bool> objects_;  ///< open containers: object, or array
  std::optional<JsonSyntaxError> error_;
};

}  // namespace

std::optional<JsonSyntaxError> scan_json(std::string_view text, JsonHandler& handler) {
  return Scanner(text, handler).run();
}

}  // namespace gradc
