// Reads programs line by line; a kernel's lines go to the kernel parser as they are.
#include "codegen/kernel/kernel_parser.h"
#include "codegen/kernel/program_text.h"
#include "ir/element.h"
#include "support/check.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <limits>
#include <optional>
#include <unordered_map>

namespace gradc::kernel {

namespace {

/// What is left of one line, blanks skipped.
class Line {
 public:
  Line(std::string_view text, size_t begin) : text_(text), begin_(begin) { blanks(); }

  bool empty() const { return at_ == text_.size(); }
  size_t place() const { return begin_ + at_; }
  std::string_view rest() const { return text_.substr(at_); }
  void skip(size_t count) { at_ += count; }

  bool accept(std::string_view piece) {
    if (text_.substr(at_, piece.size()) != piece) return false;
    const bool word = std::isalpha(static_cast<unsigned char>(piece.back())) != 0;
    const size_t next = at_ + piece.size();
    if (word && next < text_.size() && std::isalpha(static_cast<unsigned char>(text_[next])) != 0)
      return false;
    at_ = next;
    blanks();
    return true;
  }

  template <class Number>
  bool number(Number& out) {
    const char* first = text_.data() + at_ + (text_.substr(at_, 1) == "+" ? 1 : 0);
    const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), out);
    if (error != std::errc()) return false;
    at_ = static_cast<size_t>(end - text_.data());
    blanks();
    return true;
  }

  /// All up to one of these characters or the end.
  std::string_view until(std::string_view stops) {
    const size_t end = std::min(text_.find_first_of(stops, at_), text_.size());
    std::string_view piece = text_.substr(at_, end - at_);
    at_ = end;
    while (!piece.empty() && piece.back() == ' ')
      piece.remove_suffix(1);
    return piece;
  }

  bool quoted(std::string& out) {
    if (!accept("\"")) return false;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      char c = text_[at_];
      if (c == '\\' && !escape(c)) return false;
      out += c;
    }
    return accept("\"");
  }

 private:
  void blanks() {
    while (at_ < text_.size() && text_[at_] == ' ')
      ++at_;
  }

  bool escape(char& c) {
    if (++at_ == text_.size()) return false;
    c = text_[at_];
    if (c == 'n') c = '\n';
    if (c != 'x') return true;
    unsigned value = 0;
    const std::string_view digits = text_.substr(at_ + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc() || end != digits.data() + 2) return false;
    at_ += 2;
    c = static_cast<char>(value);
    return true;
  }

  std::string_view text_;
  size_t begin_ = 0;  ///< in the whole text
  size_t at_ = 0;
};

class ProgramParser {
 public:
  ProgramParser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Result<Program> run() {
    while (next()) {
      if (line_->accept("program")) {
        if (!line_->accept("@")) return wrong("\"@\" and the program's name");
        program_.name = line_->until("");
      } else if (line_->accept("constant")) {
        GRADC_TRY_STATUS(constant());
      } else if (line_->rest().starts_with("kernel")) {
        GRADC_TRY_STATUS(kernel());
      } else if (line_->accept("entry")) {
        GRADC_TRY_STATUS(entry());
      } else {
        return wrong("program, constant, kernel or entry");
      }
    }
    return std::move(program_);
  }

 private:
  Diagnostic wrong(std::string_view expected) const {
    const std::string_view found = line_->rest().substr(0, 20);
    return make_error(
        DiagKind::kIrSyntax,
        Place{file_, {}, false, line_->place(), line_->place() + std::max<size_t>(found.size(), 1)},
        "expected {}, found {}", expected,
        found.empty() ? "the end of the line" : fmt::format("\"{}\"", found));
  }

  /// The next line that is neither empty nor a comment; false at the end.
  bool next() {
    while (at_ < text_.size()) {
      const size_t end = std::min(text_.find('\n', at_), text_.size());
      line_.emplace(text_.substr(at_, end - at_), at_);
      line_begin_ = at_;
      at_ = end + 1;
      if (!line_->empty() && !line_->rest().starts_with("//")) return true;
    }
    line_.emplace(std::string_view(), text_.size());
    return false;
  }

  Status end_of_line() const {
    if (line_->empty()) return Ok{};
    return wrong("the end of the line");
  }

  Status slot(std::vector<Slot>& slots) {
    size_t number = 0;
    Slot slot;
    if (!line_->number(number) || number > kMostSlots) return wrong("a slot's number");
    if (!line_->quoted(slot.name)) return wrong("a slot's name in quotes");
    if (!line_->accept(":")) return wrong("\":\"");
    const std::optional<DType> dtype = find_dtype(line_->until("["));
    if (!dtype || !line_->accept("[")) return wrong("a type");
    slot.type.dtype = *dtype;
    while (!line_->accept("]")) {
      int64_t extent = 0;
      if (slot.type.rank() == Shape::kMaxRank || !line_->number(extent)) return wrong("an extent");
      slot.type.shape.push_back(extent);
      line_->accept("x");
    }
    if (slots.size() <= number) slots.resize(number + 1);
    slots[number] = std::move(slot);
    return end_of_line();
  }

  Status constant() {
    size_t number = 0;
    if (!line_->number(number) || number != program_.constants.size() || !line_->accept(":"))
      return wrong("the constants in order");
    const std::optional<DType> dtype = find_dtype(line_->until("="));
    if (!dtype || !line_->accept("=")) return wrong("an element type and \"=\"");
    ConstantData data{*dtype, {}};
    while (!line_->empty()) {
      double value = 0;
      if (!line_->number(value)) return wrong("a number");
      size_t count = 1;
      if (line_->accept("x")) {
        count = static_cast<size_t>(value);
        if (!(value >= 1 && value <= kMostElements) || !line_->number(value))
          return wrong("a count, \"x\" and a number");
      }
      value = as_constant(value, *dtype);
      if (!is_float(*dtype) && !is_element(value, *dtype))
        return wrong(fmt::format("numbers of {}", dtype_name(*dtype)));
      data.elements.insert(data.elements.end(), count, value);
      if (!line_->accept(",")) break;
    }
    program_.constants.push_back(std::move(data));
    return end_of_line();
  }

  Status kernel() {
    const size_t begin = line_begin_;
    const size_t close = text_.find("\n}", begin);
    if (close == std::string_view::npos) return wrong("a kernel that ends with \"}\"");
    GRADC_TRY(Kernel kernel, parse_kernel(text_.substr(begin, close + 3 - begin), file_, begin));
    at_ = std::min(close + 3, text_.size());
    kernels_.emplace(kernel.name, static_cast<uint32_t>(program_.kernels.size()));
    program_.kernels.push_back(std::move(kernel));
    return Ok{};
  }

  Status entry() {
    Entry entry;
    if (!line_->accept("@")) return wrong("\"@\" and the entry's name");
    entry.name = line_->until(" ");
    line_->accept(" ");
    if (!line_->accept("arena") || !line_->accept("=") || !line_->number(entry.arena_bytes))
      return wrong("arena= and its bytes");
    if (!line_->accept("{")) return wrong("\"{\"");
    GRADC_TRY_STATUS(end_of_line());
    GRADC_TRY_STATUS(steps(entry, entry.steps, 0));
    program_.entries.push_back(std::move(entry));
    return Ok{};
  }

  /// Up to the closing brace.
  Status steps(Entry& entry, std::vector<Step>& out, size_t depth) {
    bool barrier = false;
    while (next()) {
      if (line_->accept("}")) return barrier ? wrong("a step after the barrier") : end_of_line();
      if (depth == 0 && line_->accept("slot")) {
        GRADC_TRY_STATUS(slot(entry.slots));
      } else if (line_->accept("barrier")) {
        if (barrier) return wrong("a step after the barrier");
        barrier = true;
        GRADC_TRY_STATUS(end_of_line());
      } else if (line_->accept("loop")) {
        if (depth == kMaxLoops)
          return wrong(fmt::format("at most {} loops in one another", kMaxLoops));
        Loop loop;
        if (!line_->number(loop.trips)) return wrong("how often");
        loop.barrier_before = std::exchange(barrier, false);
        loop.barrier_between = line_->accept("barrier");
        if (!line_->accept("{")) return wrong("\"{\"");
        GRADC_TRY_STATUS(end_of_line());
        GRADC_TRY_STATUS(steps(entry, loop.body, depth + 1));
        out.emplace_back(std::move(loop));
      } else {
        Call call;
        call.barrier_before = std::exchange(barrier, false);
        GRADC_TRY_STATUS(this->call(call));
        out.emplace_back(std::move(call));
      }
    }
    return wrong("\"}\"");
  }

  Status call(Call& call) {
    call.joins_previous = line_->accept("join");
    if (!line_->accept("@")) return wrong("a call, a loop, a barrier or \"}\"");
    std::string name;
    if (!line_->quoted(name)) name = line_->until("(");
    const auto kernel = kernels_.find(name);
    if (kernel == kernels_.end()) return wrong("the name of a kernel above, before this");
    call.kernel = kernel->second;
    if (!line_->accept("(")) return wrong("\"(\"");
    while (!line_->accept(")")) {
      if (!call.arguments.empty() && !line_->accept(",")) return wrong("\",\" or \")\"");
      call.arguments.emplace_back();
      GRADC_TRY_STATUS(address(call.arguments.back()));
    }
    if (line_->accept("at") && !line_->quoted(call.location)) return wrong("a place in quotes");
    return end_of_line();
  }

  Status address(Address& out) {
    // The number stands right behind the word.
    const std::string_view base = line_->rest();
    const auto numbered = [&](std::string_view word, Address::Where where) {
      if (!base.starts_with(word)) return false;
      out.where = where;
      line_->skip(word.size());
      return line_->number(out.index);
    };
    if (base.starts_with("arena")) {
      out.where = Address::Where::kArena;
      line_->skip(5);
    } else if (!numbered("slot", Address::Where::kSlot) &&
               !numbered("constant", Address::Where::kConstant)) {
      return wrong("slot, arena or constant");
    }
    while (line_->rest().starts_with("+") || line_->rest().starts_with("-")) {
      int64_t bytes = 0;
      if (!line_->number(bytes)) return wrong("bytes");
      if (line_->accept("*"))
        GRADC_TRY_STATUS(stride(bytes, out));
      else
        out.offset += bytes;
    }
    return Ok{};
  }

  Status stride(int64_t bytes, Address& out) {
    Stride stride;
    stride.bytes = bytes;
    const bool swaps = line_->accept("((");
    if (!line_->rest().starts_with("i")) return wrong("a loop, i0 and up");
    line_->skip(1);
    if (!line_->number(stride.loop)) return wrong("the number of a loop");
    if (swaps && (!line_->number(stride.phase) || !line_->accept(")%") ||
                  !line_->number(stride.period) || !line_->accept(")")))
      return wrong("((iteration+phase)%period)");
    out.strides.push_back(stride);
    return Ok{};
  }

  static constexpr size_t kMostSlots = size_t{1} << 24;
  static constexpr double kMostElements = 1e9;

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
  size_t line_begin_ = 0;
  std::optional<Line> line_;
  Program program_;
  std::unordered_map<std::string, uint32_t> kernels_;
};

}  // namespace

Result<Program> parse_program(std::string_view text, const std::string& file) {
  return ProgramParser(text, file).run();
}

}  // namespace gradc::kernel
