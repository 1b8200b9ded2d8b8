#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/program_text.h"
#include "ir/attrs.h"
#include "ir/element.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace gradc::kernel {

namespace {

class ProgramPrinter {
 public:
  explicit ProgramPrinter(const Program& program) : program_(program) {}

  std::string text() {
    write("program @{}\n", program_.name);
    for (size_t i = 0; i < program_.constants.size(); ++i)
      constant(i, program_.constants[i]);
    for (const Kernel& kernel : program_.kernels)
      write("\n{}", to_string(kernel));
    for (const Entry& entry : program_.entries) {
      write("\nentry @{} arena={} {{\n", entry.name, entry.arena_bytes);
      for (size_t i = 0; i < entry.slots.size(); ++i) {
        const Slot& slot = entry.slots[i];
        if (slot.name.empty()) continue;
        write("  slot {} {}: {}\n", i, quote(slot.name), to_string(slot.type));
      }
      steps(entry.steps, 1);
      write("}}\n");
    }
    return std::move(out_);
  }

 private:
  template <class... Args>
  void write(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  void indent(size_t depth) { out_.append(2 * depth, ' '); }

  /// Many elements of one value are "count x value".
  void constant(size_t index, const ConstantData& data) {
    write("constant {}: {} =", index, dtype_name(data.dtype));
    const std::vector<double>& e = data.elements;
    for (size_t i = 0; i < e.size();) {
      const auto end = std::find_if(e.begin() + static_cast<std::ptrdiff_t>(i), e.end(),
                                    [&](double x) { return !same(x, e[i]); });
      const auto count = static_cast<size_t>(end - e.begin()) - i;
      write("{} ", i > 0 ? "," : "");
      if (count > 1) write("{} x ", count);
      write("{}", element_text(e[i], data.dtype));
      i += count;
    }
    write("\n");
  }

  static bool same(double a, double b) {
    return std::signbit(a) == std::signbit(b) && (a == b || (std::isnan(a) && std::isnan(b)));
  }

  void steps(const std::vector<Step>& list, size_t depth) {
    for (const Step& step : list) {
      const bool barrier =
          step.call() != nullptr ? step.call()->barrier_before : step.loop()->barrier_before;
      if (barrier) {
        indent(depth);
        write("barrier\n");
      }
      indent(depth);
      if (const Call* call = step.call()) {
        print(*call);
        continue;
      }
      const Loop& loop = *step.loop();
      write("loop {}{} {{\n", loop.trips, loop.barrier_between ? " barrier" : "");
      steps(loop.body, depth + 1);
      indent(depth);
      write("}}\n");
    }
  }

  void print(const Call& call) {
    const std::string& name = program_.kernels[call.kernel].name;
    write("{}@{}(", call.joins_previous ? "join " : "", is_plain_word(name) ? name : quote(name));
    for (size_t i = 0; i < call.arguments.size(); ++i)
      write("{}{}", i > 0 ? ", " : "", to_string(call.arguments[i]));
    write(")");
    if (!call.location.empty()) write(" at {}", quote(call.location));
    write("\n");
  }

  const Program& program_;
  std::string out_;
};

}  // namespace

std::string to_string(const Address& address) {
  std::string out;
  switch (address.where) {
    case Address::Where::kSlot:
      out = fmt::format("slot{}", address.index);
      break;
    case Address::Where::kArena:
      out = "arena";
      break;
    case Address::Where::kConstant:
      out = fmt::format("constant{}", address.index);
      break;
  }
  if (address.offset != 0 || address.where == Address::Where::kArena)
    out += fmt::format("{:+}", address.offset);
  for (const Stride& s : address.strides) {
    out += fmt::format("{:+}*", s.bytes);
    if (s.period == 0)
      out += fmt::format("i{}", s.loop);
    else
      out += fmt::format("((i{}+{})%{})", s.loop, s.phase, s.period);
  }
  return out;
}

std::string to_string(const Program& program) {
  return ProgramPrinter(program).text();
}

}  // namespace gradc::kernel
