// The op table: everything there is to know about an op stands in one OpDef (law 1). ir/ops.def
// lists the names; each has a `constinit const OpDef` in ir/ops/<family>.cpp, and a missing one is
// a link error.
#pragma once

#include "ir/attrs.h"
#include "ir/scalar_op.h"
#include "ir/tensor.h"
#include "ir/type.h"
#include "support/result.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

class Graph;
class Builder;
class Val;

enum class Op : uint16_t {
#define GRADC_OP(enumerator, name) enumerator,
#include "ir/ops.def"
#undef GRADC_OP
};
inline constexpr int kNumOps = 0
#define GRADC_OP(enumerator, name) +1
#include "ir/ops.def"
#undef GRADC_OP
    ;

/// How codegen treats an op; codegen switches over this, never over Op.
enum class Lowering : uint8_t {
  kScalar,     ///< one ScalarOp per element
  kReduce,     ///< a reduction over axes (ReduceAttrs)
  kMatmul,     ///< contraction, MatmulAttrs
  kConv,       ///< convolution or one of its gradients
  kPool,       ///< pooling or one of its gradients
  kGather,     ///< gather, scatter-add: data-dependent indices
  kAttention,  ///< attention in tiles, or its gradient (AttentionAttrs)
  kView,       ///< index maps: broadcast, reshape, transpose, slice, pad, concat, reverse
  kSource,     ///< no data operand: constant, iota, random bits
  kStructure,  ///< kernel (fused group), scan, update
  kComposite,  ///< expands into other ops before codegen
};
std::string_view lowering_name(Lowering lowering);

/// Properties that passes ask for, as a bit set.
enum Trait : uint32_t {
  kTraitNone = 0,
  kTraitElementwise =
      1U << 0,  ///< result element i depends on operand elements i only; equal shapes
  kTraitCommutative = 1U << 1,
  kTraitEffect = 1U << 2,  ///< must not be removed or merged (update)
  kTraitSmooth = 1U << 3,  ///< twice differentiable at the samples: second derivatives are checked
  kTraitLinear = 1U << 4,  ///< linear in every operand taken alone
  kTraitRandom = 1U << 5,  ///< a random stream: equal attributes and operands give equal numbers
  kTraitPiecewiseConstant = 1U << 6,  ///< the gradient is zero almost everywhere: none is passed on
  kTraitSameOrder = 1U << 7,  ///< result element i is operand element i, under another shape
};

/// What inference sees. Call it through infer_types(), which fills the name and checks the number
/// of operands and the kind of the attributes first.
struct InferArgs {
  std::span<const TensorType> operands;
  const AttrRef& attrs;
  const Graph* body = nullptr;
  std::string_view name = "op";
  template <class T>
  const T& attr() const {
    return attrs.as<T>();
  }
};
using Types = std::vector<TensorType>;
using InferFn = Result<Types> (*)(const InferArgs&);

/// Reference evaluation, in double; outputs come with their types set and zeroed data.
struct EvalArgs {
  std::span<const Tensor* const> inputs;
  std::span<Tensor> outputs;
  const AttrRef& attrs;
  const Graph* body = nullptr;
  const Tensor& in(size_t i) const { return *inputs[i]; }
  Tensor& out(size_t i = 0) const { return outputs[i]; }
  template <class T>
  const T& attr() const {
    return attrs.as<T>();
  }
};
using EvalFn = void (*)(const EvalArgs&);
/// One element: x holds the operands' elements.
using ScalarEvalFn = double (*)(std::span<const double> x);

/// What an op says of its body, a graph of its own. A body sees its arguments only, one for each
/// operand, and passes enter it through the pass manager.
struct BodyDef {
  /// Types of the body's arguments for these operands (`args.body` is not looked at), or what is
  /// wrong with the operands.
  InferFn arg_types = nullptr;
  /// How often one call runs the body.
  int64_t (*runs)(const AttrRef& attrs) = nullptr;
  /// Passes leave it as it is: it is what fusion made.
  bool sealed = false;
};

/// What OpDef::axes sees.
struct AxesArgs {
  std::span<const TensorType> operands;
  const AttrRef& attrs;
  template <class T>
  const T& attr() const {
    return attrs.as<T>();
  }
  int rank(size_t operand) const { return operands[operand].rank(); }
};
/// For each axis of each operand the axis of the results that it becomes: what stands at an index
/// there is made of what stands at the same index here, and of nothing at another. kMeets: elements
/// along it meet.
inline constexpr int64_t kMeets = -1;
using OperandAxes = std::vector<std::vector<int64_t>>;
using AxesFn = OperandAxes (*)(const AxesArgs&);

struct GradArgs;
struct ExpandArgs;
struct StackArgs;
/// One gradient per operand; an empty Val where there is none (integer operands, or not needed).
using Grads = std::vector<Val>;
using GradFn = Grads (*)(const GradArgs&);
/// The results in terms of other ops.
using ExpandFn = std::vector<Val> (*)(const ExpandArgs&);
/// All steps of a loop at once: operands may have one more leading axis, then the results have it.
/// Empty where there is no such form.
using StackFn = std::vector<Val> (*)(const StackArgs&);

/// One example call of an op, from which the generic tests are made: gradient check, round trip,
/// evaluation against compiled code. Float operands are drawn from [low, high] with a minimum
/// distance between elements where asked.
struct Sample {
  std::vector<TensorType> operands;
  AttrRef attrs;
  std::shared_ptr<Graph> body = nullptr;  ///< to be cloned
  double low = -2.0;
  double high = 2.0;
  int64_t index_limit = 0;  ///< integer operands are drawn from [0, index_limit)
  bool distinct = false;    ///< elements at least 1e-2 apart (max, sort-like ops; kinks)
  bool away_from_zero = false;
};
using SamplesFn = std::vector<Sample> (*)();

struct OpDef {
  Op op{};
  std::string_view name = {};
  std::string_view summary = {};  ///< one sentence
  std::string_view formula = {};  ///< optional
  /// Names, separated by spaces; "name..." (last) stands for any number.
  std::string_view operands = {};
  std::string_view results = "result";
  const AttrVtable* attrs = nullptr;
  uint32_t traits = kTraitNone;
  InferFn infer = nullptr;
  EvalFn eval = nullptr;
  ScalarEvalFn eval_scalar = nullptr;  ///< for elementwise ops, in place of eval
  GradFn grad = nullptr;
  std::string_view no_grad =
      {};  ///< why there is no gradient; exactly one of grad, expand-inherited, no_grad
  ExpandFn expand = nullptr;      ///< composites need one, primitives may have one
  StackFn stack = nullptr;        ///< elementwise ops need none
  StackFn sum_steps = nullptr;    ///< the sum of the results over all steps, as one call
  const BodyDef* body = nullptr;  ///< for ops that have a body
  Lowering lowering = Lowering::kScalar;
  ScalarOp scalar = ScalarOp::kNone;  ///< kScalar: the function; kReduce: what combines elements
  SamplesFn samples = nullptr;
  AxesFn axes = nullptr;  ///< kTraitElementwise, kTraitSameOrder need none; else none: all meet

  bool has(Trait trait) const { return (traits & trait) != 0; }
  /// Has a body that passes enter: it is a graph like others, not one kernel.
  bool has_open_body() const { return body != nullptr && !body->sealed; }
};

/// The number of operands an entry takes; max is SIZE_MAX for variadic ops.
struct Arity {
  size_t min = 0;
  size_t max = 0;
};
Arity arity(const OpDef& entry);

/// Result types of a call, or diagnostics that name the op and both shapes. Safe for any input:
/// checks operand count and attribute kind before the entry's own rule.
Result<Types> infer_types(Op op, std::span<const TensorType> operands, const AttrRef& attrs,
                          const Graph* body = nullptr);

/// The types of the body's arguments, for an op that has a body; checks what infer_types() checks.
Result<Types> body_arg_types(Op op, std::span<const TensorType> operands, const AttrRef& attrs);

const OpDef& def(Op op);
const OpDef* find_op(std::string_view name);
std::string_view op_name(Op op);
/// All entries in the order of ops.def.
std::span<const OpDef* const> all_ops();

}  // namespace gradc
