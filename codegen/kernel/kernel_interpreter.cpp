#include "codegen/kernel/kernel_interpreter.h"

#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/ordered_sum.h"
#include "codegen/kernel/sum_order.h"
#include "ir/element.h"
#include "ir/philox.h"
#include "support/check.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>

namespace gradc::kernel {

namespace {

/// Elements of a buffer: data[i * stride].
struct View {
  double* data = nullptr;
  int64_t stride = 1;
  int64_t size = 0;
};

int64_t floor_divide(int64_t x, int64_t d) {
  return x >= 0 ? x / d : -((-x + d - 1) / d);
}

/// Rounds to nearest even; short floats are rounded to f32 first, as they are computed in it.
double rounded(double x, DType dtype) {
  return as_element(as_element(x, accumulator_dtype(dtype)), dtype);
}

double unary(ScalarOp op, double x) {
  switch (op) {
    case ScalarOp::kNeg:
      return -x;
    case ScalarOp::kAbs:
      return std::fabs(x);
    case ScalarOp::kSign:
      return static_cast<double>(x > 0.0) - static_cast<double>(x < 0.0);
    case ScalarOp::kExp:
      return std::exp(x);
    case ScalarOp::kExpm1:
      return std::expm1(x);
    case ScalarOp::kLog:
      return std::log(x);
    case ScalarOp::kLog1p:
      return std::log1p(x);
    case ScalarOp::kSqrt:
      return std::sqrt(x);
    case ScalarOp::kRsqrt:
      return 1.0 / std::sqrt(x);
    case ScalarOp::kSin:
      return std::sin(x);
    case ScalarOp::kCos:
      return std::cos(x);
    case ScalarOp::kTanh:
      return std::tanh(x);
    case ScalarOp::kErf:
      return std::erf(x);
    case ScalarOp::kErfc:
      return std::erfc(x);
    case ScalarOp::kSigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case ScalarOp::kRelu:
      return x > 0.0 || std::isnan(x) ? x : 0.0;
    case ScalarOp::kFloor:
      return std::floor(x);
    case ScalarOp::kCeil:
      return std::ceil(x);
    case ScalarOp::kRound:
      return std::nearbyint(x);
    case ScalarOp::kNot:
      return x == 0.0 ? 1.0 : 0.0;
    case ScalarOp::kIsFinite:
      return std::isfinite(x) ? 1.0 : 0.0;
    case ScalarOp::kCast:
    case ScalarOp::kAdd:
    case ScalarOp::kSub:
    case ScalarOp::kMul:
    case ScalarOp::kDiv:
    case ScalarOp::kMax:
    case ScalarOp::kMin:
    case ScalarOp::kPow:
    case ScalarOp::kAnd:
    case ScalarOp::kOr:
    case ScalarOp::kEq:
    case ScalarOp::kNe:
    case ScalarOp::kLt:
    case ScalarOp::kLe:
    case ScalarOp::kGt:
    case ScalarOp::kGe:
    case ScalarOp::kSelect:
    case ScalarOp::kNone:
      break;
  }
  GRADC_UNREACHABLE();
}

double truth(bool x) {
  return x ? 1.0 : 0.0;
}

double binary(ScalarOp op, double x, double y, bool integer) {
  if (op == ScalarOp::kAdd) return x + y;
  if (op == ScalarOp::kSub) return x - y;
  if (op == ScalarOp::kMul) return x * y;
  if (op == ScalarOp::kDiv) return integer ? (y == 0.0 ? 0.0 : std::trunc(x / y)) : x / y;
  if (op == ScalarOp::kMax) return x > y || std::isnan(x) ? x : y;
  if (op == ScalarOp::kMin) return x < y || std::isnan(x) ? x : y;
  if (op == ScalarOp::kPow) return std::pow(x, y);
  if (op == ScalarOp::kAnd) return truth(x != 0.0 && y != 0.0);
  if (op == ScalarOp::kOr) return truth(x != 0.0 || y != 0.0);
  if (op == ScalarOp::kEq) return truth(x == y);
  if (op == ScalarOp::kNe) return truth(x != y);
  if (op == ScalarOp::kLt) return truth(x < y);
  if (op == ScalarOp::kLe) return truth(x <= y);
  if (op == ScalarOp::kGt) return truth(x > y);
  if (op == ScalarOp::kGe) return truth(x >= y);
  GRADC_UNREACHABLE();
}

class Machine {
 public:
  Machine(const Kernel& kernel, std::span<const View> arguments, const InterpretOptions& options)
      : kernel_(kernel),
        options_(options),
        views_(arguments.begin(), arguments.end()),
        vars_(kernel.vars.size(), 0),
        locals_(kernel.locals.size(), 0.0) {
    local_arrays_.reserve(kernel.buffers.size());
    for (size_t i = arguments.size(); i < kernel.buffers.size(); ++i) {
      const auto count = static_cast<size_t>(kernel.buffers[i].shape.num_elements());
      local_arrays_.emplace_back(count, std::numeric_limits<double>::quiet_NaN());
      views_.push_back({local_arrays_.back().data(), 1, static_cast<int64_t>(count)});
    }
  }

  void run() { block(kernel_.body); }

 private:
  double round_to(double x, DType dtype) const {
    return options_.round_f32 && is_float(dtype) ? rounded(x, dtype) : x;
  }

  /// a * b + c, rounded once.
  double fma(double a, double b, double c, DType dtype) const {
    if (!options_.round_f32) return a * b + c;
    if (dtype == DType::kF64) return std::fma(a, b, c);
    return static_cast<double>(
        std::fma(static_cast<float>(a), static_cast<float>(b), static_cast<float>(c)));
  }

  int64_t affine(const Affine& a) const {
    int64_t result = a.offset;
    for (const auto& [var, coefficient] : a.terms)
      result += coefficient * vars_[var.index];
    return result;
  }

  double& element(BufferId buffer, const Affine& index, ExprId dynamic) {
    int64_t i = affine(index);
    if (dynamic.valid()) i += static_cast<int64_t>(eval(dynamic));
    const View& view = views_[buffer.index];
    GRADC_CHECK(i >= 0 && i < view.size, "kernel @{}: {}[{}] of {} elements", kernel_.name,
                kernel_.buffer(buffer).name, i, view.size);
    return view.data[i * view.stride];
  }

  double eval(ExprId id) {
    const Expr& e = kernel_.expr(id);
    switch (e.kind) {
      case ExprKind::kConst:
        return round_to(e.value, e.dtype);
      case ExprKind::kIndex:
        return static_cast<double>(affine(e.index));
      case ExprKind::kLoad:
        return element(e.buffer, e.index, e.args[0]);
      case ExprKind::kLocal:
        return locals_[e.local.index];
      case ExprKind::kScalar:
        return scalar(e);
      case ExprKind::kFloorDiv:
        return static_cast<double>(floor_divide(static_cast<int64_t>(eval(e.args[0])), e.imm));
      case ExprKind::kFloorMod: {
        const auto x = static_cast<int64_t>(eval(e.args[0]));
        return static_cast<double>(x - floor_divide(x, e.imm) * e.imm);
      }
      case ExprKind::kGuard:
        return eval(eval(e.args[0]) != 0.0 ? e.args[1] : e.args[2]);
      case ExprKind::kRandom: {
        const auto word = [&](size_t i) {
          return static_cast<uint64_t>(static_cast<int64_t>(eval(e.args[i])));
        };
        return random_uniform(random_bits(word(0), word(1), word(3), word(2)));
      }
    }
    GRADC_UNREACHABLE();
  }

  double scalar(const Expr& e) {
    if (e.op == ScalarOp::kSelect) return eval(eval(e.args[0]) != 0.0 ? e.args[1] : e.args[2]);
    const double x = eval(e.args[0]);
    if (e.op == ScalarOp::kCast)
      return is_float(e.dtype) && !options_.round_f32 ? x : as_element(x, e.dtype);
    if (scalar_op_arity(e.op) == 1) return round_to(unary(e.op, x), e.dtype);
    return round_to(binary(e.op, x, eval(e.args[1]), is_integer(e.dtype)), e.dtype);
  }

  static double combine(AccumulateOp op, double a, double b) {
    switch (op) {
      case AccumulateOp::kSum:
        return a + b;
      case AccumulateOp::kProd:
        return a * b;
      case AccumulateOp::kMax:
        return binary(ScalarOp::kMax, a, b, false);
      case AccumulateOp::kMin:
        return binary(ScalarOp::kMin, a, b, false);
    }
    GRADC_UNREACHABLE();
  }

  void block(const Block& body) {
    for (const Stmt& stmt : body)
      std::visit([this](const auto& s) { statement(s); }, stmt);
  }

  void statement(const Let& s) {
    locals_[s.local.index] = round_to(eval(s.expr), kernel_.locals[s.local.index].dtype);
  }

  void statement(const Accumulate& s) {
    double& local = locals_[s.local.index];
    const DType dtype = kernel_.locals[s.local.index].dtype;
    if (!s.factor.valid()) {
      local = round_to(combine(s.op, local, eval(s.expr)), dtype);
      return;
    }
    const double a = eval(s.expr);
    const double b = eval(s.factor);
    local = fma(a, b, local, dtype);
  }

  void statement(const Store& s) {
    const double value = eval(s.expr);
    double& target = element(s.buffer, s.index, s.dynamic);
    target = round_to(s.add ? target + value : value, kernel_.buffer(s.buffer).dtype);
  }

  int64_t limit(ExprId below) {
    return below.valid() ? static_cast<int64_t>(eval(below)) : INT64_MAX;
  }

  void statement(const std::unique_ptr<For>& s) {
    std::vector<OrderedSum> sums;
    if (s->sums != SumOrder::kSequence) sums = ordered_sums(*s);
    const int64_t below = limit(s->below);
    const int64_t end = sums.empty() ? std::min(s->end, below) : s->end;
    for (int64_t i = s->begin; i < end; ++i) {
      vars_[s->var.index] = i;
      for (OrderedSum& sum : sums)
        locals_[sum.local().index] = sum.open(i - s->begin);
      if (i < below) block(s->body);
      for (OrderedSum& sum : sums)
        sum.close(i - s->begin, locals_[sum.local().index]);
    }
    for (OrderedSum& sum : sums)
      locals_[sum.local().index] = sum.total();
  }

  // ---- sums in an order of their own
  // -----------------------------------------------------------

  std::vector<OrderedSum> ordered_sums(const For& loop) {
    std::map<uint32_t, AccumulateOp> found;
    std::set<uint32_t> started;
    find_accumulated(loop.body, found, started);
    std::vector<OrderedSum> sums;
    for (const auto& [index, op] : found) {
      const DType dtype = kernel_.locals[index].dtype;
      if (started.contains(index) || !is_ordered(op, dtype)) continue;
      const double zero = op == AccumulateOp::kSum ? 0.0 : 1.0;
      sums.emplace_back(LocalId(index), locals_[index], zero, loop.end - loop.begin, loop.sums,
                        [this, dtype, how = op](double a, double b) {
                          return round_to(combine(how, a, b), dtype);
                        });
    }
    return sums;
  }

  static void find_accumulated(const Block& body, std::map<uint32_t, AccumulateOp>& found,
                               std::set<uint32_t>& started) {
    for (const Stmt& stmt : body) {
      if (const auto* let = std::get_if<Let>(&stmt)) started.insert(let->local.index);
      if (const auto* add = std::get_if<Accumulate>(&stmt)) found[add->local.index] = add->op;
      if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt))
        find_accumulated((*loop)->body, found, started);
      if (const auto* branch = std::get_if<std::unique_ptr<If>>(&stmt))
        find_accumulated((*branch)->body, found, started);
    }
  }

  void statement(const std::unique_ptr<If>& s) {
    if (eval(s->condition) != 0.0) block(s->body);
  }

  template <class Visit>
  void each(const std::vector<ContractDim>& dims, size_t at, const Visit& visit) {
    if (at == dims.size()) return visit();
    for (int64_t i = 0; i < dims[at].extent; ++i) {
      vars_[dims[at].var.index] = i;
      each(dims, at + 1, visit);
    }
  }

  void statement(const std::unique_ptr<Contract>& s) {
    std::vector<ContractDim> outer = s->batch;
    outer.insert(outer.end(), s->m.begin(), s->m.end());
    outer.insert(outer.end(), s->n.begin(), s->n.end());
    each(outer, 0, [&] {
      if (s->m_below.valid() && vars_[s->m[0].var.index] >= limit(s->m_below)) return;
      const int64_t below = limit(s->k_below);
      double sum = 0.0;
      each(s->k, 0, [&] {
        if (vars_[s->k[0].var.index] >= below) return;
        const double a = eval(s->a);
        const double b = eval(s->b);
        sum = fma(a, b, sum, kernel_.locals[s->acc.index].dtype);
      });
      locals_[s->acc.index] = sum;
      block(s->epilogue);
    });
  }

  const Kernel& kernel_;
  const InterpretOptions options_;
  std::vector<View> views_;
  std::vector<std::vector<double>> local_arrays_;
  std::vector<int64_t> vars_;
  std::vector<double> locals_;
};

}  // namespace

void interpret(const Kernel& kernel, std::span<Tensor* const> arguments,
               const InterpretOptions& options) {
  GRADC_CHECK(arguments.size() == kernel.num_arguments(), "kernel @{} wants {} arguments, not {}",
              kernel.name, kernel.num_arguments(), arguments.size());
  std::vector<View> views;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Buffer& b = kernel.buffers[i];
    GRADC_CHECK(
        arguments[i]->size() == b.shape.num_elements() && arguments[i]->type.dtype == b.dtype,
        "kernel @{}: {} is given {}", kernel.name, b.name, to_string(arguments[i]->type));
    views.push_back({arguments[i]->data.data(), 1, arguments[i]->size()});
  }
  Machine(kernel, views, options).run();
}

namespace {

/// An entry's memory and where its loops stand.
class ProgramMachine {
 public:
  ProgramMachine(const Program& program, const Entry& entry, std::span<Tensor* const> slots,
                 const InterpretOptions& options)
      : program_(program),
        slots_(slots),
        options_(options),
        arena_(static_cast<size_t>(entry.arena_bytes), std::numeric_limits<double>::quiet_NaN()) {
    for (const ConstantData& data : program.constants)
      constants_.push_back(data.elements);
  }

  void run(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      if (const Call* call = step.call()) {
        run(*call);
        continue;
      }
      iterations_.push_back(0);
      for (int64_t i = 0; i < step.loop()->trips; ++i) {
        iterations_.back() = i;
        run(step.loop()->body);
      }
      iterations_.pop_back();
    }
  }

 private:
  void run(const Call& call) {
    const Kernel& kernel = program_.kernels[call.kernel];
    std::vector<View> views;
    for (size_t i = 0; i < call.arguments.size(); ++i)
      views.push_back(view(call.arguments[i], kernel.buffers[i]));
    Machine(kernel, views, options_).run();
  }

  View view(const Address& address, const Buffer& b) {
    const int64_t size = b.shape.num_elements(), element = dtype_bytes(b.dtype);
    const int64_t offset = address.offset_at(iterations_);
    const auto index = static_cast<size_t>(address.index);
    if (address.where == Address::Where::kArena) {
      check_inside(b, offset, size * element, static_cast<int64_t>(arena_.size()));
      return {arena_.data() + offset, element, size};
    }
    double* data = nullptr;
    int64_t have = 0;
    if (address.where == Address::Where::kSlot) {
      GRADC_CHECK(index < slots_.size() && slots_[index] != nullptr, "slot {} is missing",
                  address.index);
      data = slots_[index]->data.data();
      have = slots_[index]->size();
    } else {
      data = constants_[index].data();
      have = static_cast<int64_t>(constants_[index].size());
    }
    check_inside(b, offset, size * element, have * element);
    return {data + offset / element, 1, size};
  }

  static void check_inside(const Buffer& b, int64_t offset, int64_t bytes, int64_t have) {
    GRADC_CHECK(offset >= 0 && offset + bytes <= have, "{}: bytes [{}, {}) of a buffer of {}",
                b.name, offset, offset + bytes, have);
  }

  const Program& program_;
  std::span<Tensor* const> slots_;
  const InterpretOptions options_;
  /// One cell per byte; an element lives in the cell of its first byte, so buffers that overlap
  /// overwrite each other as they would in memory.
  std::vector<double> arena_;
  std::vector<std::vector<double>> constants_;
  std::vector<int64_t> iterations_;
};

}  // namespace

void interpret(const Program& program, const Entry& entry, std::span<Tensor* const> slots,
               const InterpretOptions& options) {
  ProgramMachine(program, entry, slots, options).run(entry.steps);
}

}  // namespace gradc::kernel
