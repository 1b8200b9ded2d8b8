// The loop: a body repeated over the leading axis of its inputs, with values that are carried from
// step to step.
#include "ir/ops/scan.h"

#include "ir/graph.h"
#include "ir/interpreter.h"

#include <algorithm>
#include <memory>

namespace gradc::ops {

Shape stacked_shape(int64_t steps, const Shape& shape) {
  Shape result = {steps};
  for (int64_t extent : shape)
    result.push_back(extent);
  return result;
}

namespace {

Status check_counts(const InferArgs& args) {
  const auto& attrs = args.attr<ScanAttrs>();
  const auto operands = static_cast<int64_t>(args.operands.size());
  if (attrs.steps < 1) return attr_error("scan of {} steps, at least 1 is needed", attrs.steps);
  if (attrs.carries < 0 || attrs.slices < 0 || attrs.carries > operands ||
      attrs.slices > operands - attrs.carries)
    return attr_error("scan has {} operands for {} carries and {} slices", operands, attrs.carries,
                      attrs.slices);
  return Ok{};
}

Result<Types> scan_arg_types(const InferArgs& args) {
  GRADC_TRY_STATUS(check_counts(args));
  const auto& attrs = args.attr<ScanAttrs>();
  Types types(args.operands.begin(), args.operands.end());
  for (int64_t i = attrs.carries; i < attrs.carries + attrs.slices; ++i) {
    TensorType& type = types[static_cast<size_t>(i)];
    if (type.rank() < 1 || type.shape[0] != attrs.steps)
      return shape_error("scan of {} steps over {}, whose leading axis must be the steps",
                         attrs.steps, to_string(type));
    type.shape = Shape(type.shape.dims().subspan(1));
  }
  return types;
}

Status check_args(const Types& given, const Graph& body) {
  const std::vector<GraphInput>& inputs = body.inputs();
  if (inputs.size() != given.size())
    return attr_error("scan has {} operands, its body takes {}", given.size(), inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (given[i] == body.type(inputs[i].value)) continue;
    return shape_error("scan operand {} gives each step {}, its body takes {}", i,
                       to_string(given[i]), to_string(body.type(inputs[i].value)));
  }
  return Ok{};
}

/// Results: the last values of the carries, then what each step yields beside the next ones.
Result<Types> infer_scan(const InferArgs& args) {
  GRADC_TRY(const Types given, scan_arg_types(args));
  if (args.body == nullptr) return attr_error("scan has no body");
  GRADC_TRY_STATUS(check_args(given, *args.body));
  const auto& attrs = args.attr<ScanAttrs>();
  const std::vector<GraphOutput>& outputs = args.body->outputs();
  const auto carries = static_cast<size_t>(attrs.carries);
  if (outputs.size() < std::max<size_t>(carries, 1))
    return attr_error("scan has {} carries, its body yields {} values", carries, outputs.size());
  Types results;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorType& type = args.body->type(outputs[i].value);
    if (i >= carries) {
      std::vector<int64_t> dims = {attrs.steps};
      dims.insert(dims.end(), type.shape.begin(), type.shape.end());
      GRADC_TRY(TensorType stacked, checked_type(args.name, type.dtype, dims));
      results.push_back(stacked);
    } else if (type == given[i]) {
      results.push_back(type);
    } else {
      return shape_error("scan carry {} is {}, its body yields {}", i, to_string(given[i]),
                         to_string(type));
    }
  }
  return results;
}

Tensor slice_of(const Tensor& stack, const TensorType& type, int64_t step) {
  const auto begin = stack.data.begin() + step * type.num_elements();
  return {type, std::vector<double>(begin, begin + type.num_elements())};
}

void eval_scan(const EvalArgs& e) {
  const auto& attrs = e.attr<ScanAttrs>();
  const auto carries = static_cast<size_t>(attrs.carries);
  const size_t captures = carries + static_cast<size_t>(attrs.slices);
  const std::vector<GraphInput>& inputs = e.body->inputs();
  std::vector<Tensor> state;
  for (size_t i = 0; i < carries; ++i)
    state.push_back(e.in(i));
  for (int64_t n = 0; n < attrs.steps; ++n) {
    const int64_t step = attrs.reverse ? attrs.steps - 1 - n : n;
    std::vector<Tensor> slices;
    for (size_t i = carries; i < captures; ++i)
      slices.push_back(slice_of(e.in(i), e.body->type(inputs[i].value), step));
    std::vector<const Tensor*> args;
    for (size_t i = 0; i < inputs.size(); ++i)
      args.push_back(i < carries ? &state[i] : i < captures ? &slices[i - carries] : &e.in(i));
    std::vector<Tensor> results = interpret_body(*e.body, args);
    for (size_t i = 0; i < results.size(); ++i) {
      if (i < carries) {
        state[i] = std::move(results[i]);
      } else {
        std::copy(results[i].data.begin(), results[i].data.end(),
                  e.out(i).data.begin() + step * results[i].size());
      }
    }
  }
  std::move(state.begin(), state.end(), e.outputs.begin());
}

constexpr BodyDef kScanBody{
    .arg_types = scan_arg_types,
    .runs = [](const AttrRef& attrs) { return attrs.as<ScanAttrs>().steps; },
};

// ---- samples ------------------------------------------------------------------------------------

/// A sample under construction: args of the body and the operands that give them.
class ScanSample {
 public:
  explicit ScanSample(int64_t steps, bool reverse = false) {
    attrs_.steps = steps;
    attrs_.reverse = reverse;
  }
  Val carry(const TensorType& type) {
    ++attrs_.carries;
    operands_.push_back(type);
    return arg(type, "c");
  }
  Val slice(const TensorType& type) {
    ++attrs_.slices;
    operands_.push_back(type.with(stacked_shape(attrs_.steps, type.shape)));
    return arg(type, "x");
  }
  Val capture(const TensorType& type) {
    operands_.push_back(type);
    return arg(type, "w");
  }
  Builder& builder() { return builder_; }
  Sample yield(std::initializer_list<Val> values) {
    for (const Val& value : values)
      body_->add_output("", value.id());
    return {.operands = operands_,
            .attrs = make_attrs(attrs_),
            .body = body_,
            .low = -1.0,
            .high = 1.0};
  }

 private:
  Val arg(const TensorType& type, std::string_view hint) {
    return builder_.input(InputKind::kArg, type, "", hint);
  }

  std::shared_ptr<Graph> body_ = std::make_shared<Graph>("step");
  Builder builder_{*body_};
  ScanAttrs attrs_;
  Types operands_;
};

/// A plain recurrence: h = tanh(x w + h u + b).
Sample recurrence(int64_t steps, bool reverse) {
  ScanSample s(steps, reverse);
  const Val h = s.carry(f32({2, 3}));
  const Val x = s.slice(f32({2, 4}));
  const Val w = s.capture(f32({4, 3}));
  const Val u = s.capture(f32({3, 3}));
  const Val b = s.capture(f32({3}));
  const Val next = tanh(matmul(x, w) + matmul(h, u) + broadcast_to(b, {2, 3}));
  return s.yield({next, next});
}

/// Two carries through gates; only what the last step gives is seen, and one output on the way.
Sample gated(bool reverse) {
  ScanSample s(3, reverse);
  const Val h = s.carry(f32({2, 2}));
  const Val c = s.carry(f32({2, 2}));
  const Val x = s.slice(f32({2, 2}));
  const Val u = s.capture(f32({2, 2}));
  const Val p = s.capture(f32({2}));
  const Val z = x + matmul(h, u);
  const Val forget = sigmoid(z + c * broadcast_to(p, {2, 2}));
  const Val cell = forget * c + (1.0 - forget) * sin(z);
  const Val next = forget * cell;
  return s.yield({next, cell, exp(next)});
}

/// No carries: the same function of every slice, of whole operands of both sides of a product.
Sample map_over_slices() {
  ScanSample s(3);
  const Val x = s.slice(f32({2, 3}));
  const Val y = s.slice(f32({3}));
  const Val left = s.capture(f32({4, 2}));
  const Val right = s.capture(f32({5, 3}));
  const Val product = matmul(matmul(left, x), right, false, true);
  const Val row = reduce_sum(x, {0}) * y + reduce_sum(transpose(right, {1, 0}), {1});
  return s.yield({product, row, y});
}

/// No slices: powers of a matrix; the first carry is yielded as it was before the step.
Sample powers() {
  ScanSample s(4);
  const Val c = s.carry(f32({2, 2}));
  const Val w = s.capture(f32({2, 2}));
  return s.yield({matmul(c, w), c, w});
}

/// Carries that change places, one of integers, one that decides.
Sample exchange() {
  ScanSample s(5, true);
  const Val a = s.carry(f32({3}));
  const Val b = s.carry(f32({3}));
  const Val n = s.carry(typed(DType::kI32, {}));
  const Val x = s.slice(f32({3}));
  const Val rows = s.capture(f32({5, 3}));
  const Val row = a.builder().add(Op::kGather, {rows, reshape(n, {1})});
  const Val mixed = a * 0.5 + reshape(row, {3}) * x;
  const Val next = n + s.builder().splat(1.0, n.type());
  return s.yield({b, select(greater(x, 0.0), mixed, b * x), next, mixed, n});
}

/// A loop in a loop: the inner one starts from the outer carry and runs over the outer's slice.
Sample nested() {
  ScanSample inner(3);
  const Val c = inner.carry(f32({2}));
  const Val x = inner.slice(f32({2}));
  const Val w = inner.capture(f32({2}));
  const Val next = sin(c * w + x);
  const Sample body = inner.yield({next, next * c});
  ScanSample s(2);
  const Val state = s.carry(f32({2}));
  const Val xs = s.slice(f32({3, 2}));
  const Val scale = s.capture(f32({2}));
  const std::vector<Val> results =
      s.builder().add_multi(Op::kScan, {state, xs, scale}, body.attrs, "", body.body);
  return s.yield({results[0], reduce_sum(results[1], {0}) * scale});
}

Samples scan_samples() {
  return {recurrence(4, false),
          recurrence(3, true),
          recurrence(1, false),
          gated(false),
          gated(true),
          map_over_slices(),
          powers(),
          with_indices(exchange(), 1),
          nested()};
}

}  // namespace

constinit const OpDef kScan{
    .op = Op::kScan,
    .name = "scan",
    .summary =
        "A loop: its body applied once for each slice of the inputs' leading axis, from the "
        "first to the last or in reverse. The body takes the carries, one slice of each of "
        "the next `slices` operands and the other operands whole; it yields the next carries "
        "and what is stacked to the outputs.",
    .operands = "inputs...",
    .results = "outputs...",
    .attrs = &kAttrVtable<ScanAttrs>,
    .traits = kTraitSmooth,
    .infer = infer_scan,
    .eval = eval_scan,
    .grad = scan_grad,
    .body = &kScanBody,
    .lowering = Lowering::kStructure,
    .samples = scan_samples,
};

}  // namespace gradc::ops
