// Ops around other ops: the update of a parameter or state, and fused kernels with a body.
#include "ir/graph.h"
#include "ir/interpreter.h"
#include "ir/ops/common.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradc::ops {

namespace {

// ---- update -------------------------------------------------------------------------------------

Result<Types> infer_update(const InferArgs& args) {
  if (args.operands[0] != args.operands[1])
    return shape_error("update of a {} to a {}", to_string(args.operands[0]),
                       to_string(args.operands[1]));
  return Types{};
}

// The new value is an operand; whoever runs the graph reads it there.
void eval_update(const EvalArgs&) {}

Samples update_samples() {
  return {sample({f32({2, 3}), f32({2, 3})})};
}

// ---- kernel -------------------------------------------------------------------------------------

Result<Types> kernel_arg_types(const InferArgs& args) {
  return Types(args.operands.begin(), args.operands.end());
}

constexpr BodyDef kKernelBody{.arg_types = kernel_arg_types,
                              .runs = [](const AttrRef&) -> int64_t { return 1; },
                              .sealed = true};

Status check_rows(const InferArgs& args, const Types& results) {
  const int64_t rows = args.attr<KernelAttrs>().rows;
  if (rows < 0) return Ok{};
  if (rows >= static_cast<int64_t>(args.operands.size()))
    return attr_error("kernel has {} operands, none is number {}", args.operands.size(), rows);
  const TensorType& count = args.operands[static_cast<size_t>(rows)];
  if (!is_integer(count.dtype) || count.num_elements() != 1)
    return shape_error("the number of a kernel's rows is {}, not an integer", to_string(count));
  for (const TensorType& result : results) {
    if (result.rank() < 1) return shape_error("{} has no rows", to_string(result));
  }
  return Ok{};
}

Result<Types> infer_kernel(const InferArgs& args) {
  if (args.body == nullptr) return attr_error("kernel has no body");
  const std::vector<GraphInput>& inputs = args.body->inputs();
  if (inputs.size() != args.operands.size())
    return attr_error("kernel has {} operands, its body takes {}", args.operands.size(),
                      inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorType& expected = args.body->type(inputs[i].value);
    if (args.operands[i] != expected)
      return shape_error("kernel operand {} is {}, its body takes {}", i,
                         to_string(args.operands[i]), to_string(expected));
  }
  Types results;
  for (const GraphOutput& output : args.body->outputs())
    results.push_back(args.body->type(output.value));
  GRADC_TRY_STATUS(check_rows(args, results));
  return results;
}

/// Rows that are not specified are NaN (or 0), so that a reader shows.
void forget_rows(Tensor& result, int64_t specified) {
  const int64_t rows = result.type.shape[0];
  const int64_t width = result.size() / std::max<int64_t>(rows, 1);
  const double what = is_float(result.type.dtype) ? std::numeric_limits<double>::quiet_NaN() : 0.0;
  for (int64_t i = std::clamp(specified, int64_t{0}, rows) * width; i < result.size(); ++i)
    result[i] = what;
}

void eval_kernel(const EvalArgs& e) {
  std::vector<Tensor> results = interpret_body(*e.body, e.inputs);
  const int64_t rows = e.attr<KernelAttrs>().rows;
  if (rows >= 0) {
    const auto specified = static_cast<int64_t>(e.in(static_cast<size_t>(rows))[0]);
    for (Tensor& result : results)
      forget_rows(result, specified);
  }
  std::move(results.begin(), results.end(), e.outputs.begin());
}

// A kernel's samples would need bodies; the fusion tests make them.
Samples no_samples() {
  return {};
}

}  // namespace

constinit const OpDef kUpdate{
    .op = Op::kUpdate,
    .name = "update",
    .summary = "Names the next value of a parameter or state; reads in this graph see the old one.",
    .operands = "target value",
    .results = "",
    .traits = kTraitEffect,
    .infer = infer_update,
    .eval = eval_update,
    .no_grad = "updates come after the gradients",
    .lowering = Lowering::kStructure,
    .samples = update_samples,
};

constinit const OpDef kKernel{
    .op = Op::kKernel,
    .name = "kernel",
    .summary = "A fused group: its body applied to the operands.",
    .operands = "inputs...",
    .results = "outputs...",
    .attrs = &kAttrVtable<KernelAttrs>,
    .infer = infer_kernel,
    .eval = eval_kernel,
    .no_grad = "fusion comes after differentiation",
    .body = &kKernelBody,
    .lowering = Lowering::kStructure,
    .samples = no_samples,
};

}  // namespace gradc::ops
