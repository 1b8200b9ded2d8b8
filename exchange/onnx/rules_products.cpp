// Reductions, products, windows, rows by index, and loops.
#include "exchange/onnx/rule_parts.h"

#include <algorithm>

namespace gradc::exchange::onnx {

// ---- reductions, products, windows, rows ----

Status Rules::reduce(Emitter& e, const Node& a, const Node& b, std::string_view op) {
  const Rules r{e, a, b};
  const Ints& axes = r.attr<AxesAttrs>().axes;
  GRADC_TRY(const std::string x, r.name());
  if (op == "ReduceSum") return r.give(op, {x, r.graph().ints(axes)}, {{"keepdims", int64_t{0}}});
  return r.give(op, {x}, {{"axes", axes}, {"keepdims", int64_t{0}}});
}

Status Rules::argmax(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string x, r.name());
  const std::string index =
      r.graph().add("ArgMax", {x}, {{"axis", r.attr<AxisAttrs>().axis}, {"keepdims", int64_t{0}}});
  return r.give("Cast", {index}, {{"to", type_number(e.dtype(r.out()))}});
}

Status Rules::matmul(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<MatmulAttrs>();
  Names names;
  for (const size_t i : {size_t{0}, size_t{1}}) {
    GRADC_TRY(std::string name, r.name(i));
    if (i == 0 ? attrs.transpose_a : attrs.transpose_b) {
      Ints perm;
      const int rank = e.shape(r.in(i)).rank();
      for (int64_t axis = 0; axis + 2 < rank; ++axis)
        perm.push_back(axis);
      perm.push_back(rank - 1);
      perm.push_back(rank - 2);
      name = r.graph().add("Transpose", {name}, {{"perm", perm}});
    }
    names.push_back(std::move(name));
  }
  return r.give("MatMul", names);
}

std::string Rules::filter(const Rules& r, const std::string& name, int rank) {
  Ints perm = {rank - 1, rank - 2};
  for (int64_t axis = 0; axis + 2 < rank; ++axis)
    perm.push_back(axis);
  return r.graph().add("Transpose", {name}, {{"perm", perm}});
}

Ints Rules::joined(const Ints& low, const Ints& high) {
  Ints pads = low;
  pads.insert(pads.end(), high.begin(), high.end());
  return pads;
}

/// What an op's attributes leave out is the same for every spatial axis.
Ints Rules::or_all(const Ints& given, int rank, int64_t otherwise) {
  return given.empty() ? Ints(static_cast<size_t>(rank - 2), otherwise) : given;
}

Status Rules::conv(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<ConvAttrs>();
  const int rank = e.shape(r.in()).rank();
  GRADC_TRY(const std::string x, r.name(0));
  GRADC_TRY(const std::string w, r.name(1));
  const std::string y = r.graph().add(
      "Conv", {e.to_first(x, rank), filter(r, w, rank)},
      {{"strides", or_all(attrs.strides, rank, 1)},
       {"pads", joined(or_all(attrs.pad_low, rank, 0), or_all(attrs.pad_high, rank, 0))},
       {"dilations", or_all(attrs.dilation, rank, 1)},
       {"group", attrs.groups}});
  return r.give(e.to_last(y, rank, r.hint()));
}

Status Rules::conv_transpose(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<ConvAttrs>();
  const int rank = e.shape(r.in()).rank();
  const Ints strides = or_all(attrs.strides, rank, 1);
  const Ints dilation = or_all(attrs.dilation, rank, 1);
  const Ints low = or_all(attrs.pad_low, rank, 0);
  Ints high = or_all(attrs.pad_high, rank, 0);
  Ints more;
  for (int i = 0; i + 2 < rank; ++i) {
    const auto axis = static_cast<size_t>(i);
    const int64_t window = (e.shape(r.in(1))[i] - 1) * dilation[axis] + 1;
    const int64_t made =
        strides[axis] * (e.shape(r.in())[i + 1] - 1) + window - low[axis] - high[axis];
    const int64_t missing = e.shape(r.out())[i + 1] - made;
    if (missing < 0) high[axis] -= missing;
    more.push_back(std::max<int64_t>(missing, 0));
  }
  GRADC_TRY(const std::string x, r.name(0));
  GRADC_TRY(const std::string w, r.name(1));
  const std::string y = r.graph().add("ConvTranspose", {e.to_first(x, rank), filter(r, w, rank)},
                                      {{"strides", strides},
                                       {"pads", joined(low, high)},
                                       {"output_padding", more},
                                       {"dilations", dilation},
                                       {"group", attrs.groups}});
  return r.give(e.to_last(y, rank, r.hint()));
}

Status Rules::pool(Emitter& e, const Node& a, const Node& b, std::string_view op) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<PoolAttrs>();
  const int rank = e.shape(r.in()).rank();
  GRADC_TRY(const std::string x, r.name());
  const std::string y = r.graph().add(
      op, {e.to_first(x, rank)},
      {{"kernel_shape", attrs.window},
       {"strides", or_all(attrs.strides, rank, 1)},
       {"pads", joined(or_all(attrs.pad_low, rank, 0), or_all(attrs.pad_high, rank, 0))}});
  return r.give(e.to_last(y, rank, r.hint()));
}

Status Rules::gather(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string table, r.name(0));
  GRADC_TRY(const std::string indices, r.name(1));
  return r.give("Gather", {table, indices}, {{"axis", int64_t{0}}});
}

Status Rules::softmax(Emitter& e, const Node& a, const Node& b, std::string_view op) {
  const Rules r{e, a, b};
  GRADC_TRY(const std::string x, r.name());
  return r.give(op, {x}, {{"axis", int64_t{-1}}});
}

Status Rules::layer_norm(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<LayerNormAttrs>();
  Names names;
  for (size_t i = 0; i < a.operands.size(); ++i) {
    GRADC_TRY(std::string name, r.name(i));
    names.push_back(std::move(name));
  }
  return r.give("LayerNormalization", names,
                {{"axis", -attrs.num_axes}, {"epsilon", attrs.epsilon}});
}

// ---- loops ----

Status Rules::scan(Emitter& e, const Node& a, const Node& b) {
  const Rules r{e, a, b};
  const auto& attrs = r.attr<ScanAttrs>();
  const auto carries = static_cast<size_t>(attrs.carries);
  const size_t captures = carries + static_cast<size_t>(attrs.slices);
  const auto body = std::make_shared<Graph>(&r.graph());
  const Twin twin{*a.body, *b.body, e.twin_.first_batch, e.twin_.second_batch};
  Emitter inner(*body, twin, e.batch_);
  Names inputs;
  for (size_t i = 0; i < a.operands.size(); ++i) {
    GRADC_TRY(std::string outer, r.name(i));
    const ValueId arg = a.body->inputs()[i].value;
    if (i >= captures) {
      inner.bind(arg, outer);
      continue;
    }
    inputs.push_back(std::move(outer));
    const std::string own = r.graph().fresh("step");
    GRADC_TRY(const Extents extents, inner.extents_of(arg));
    body->input(own, a.body->type(arg).dtype, extents);
    inner.bind(arg, own);
  }
  int64_t slices = attrs.slices;
  if (slices == 0) {  // ONNX's loop counts what it runs over
    Ints steps(static_cast<size_t>(attrs.steps), 0);
    inputs.push_back(r.graph().ints(steps));
    body->input(r.graph().fresh("step"), DType::kI64, {});
    slices = 1;
  }
  GRADC_TRY_STATUS(inner.run());
  Names outputs;
  for (size_t i = 0; i < a.body->outputs().size(); ++i) {
    const ValueId value = a.body->outputs()[i].value;
    GRADC_TRY(const std::string name, inner.name_of(value));
    GRADC_TRY(const Extents extents, inner.extents_of(value));
    body->output(body->add("Identity", {name}), a.body->type(value).dtype, extents);
    outputs.push_back(r.graph().fresh(e.hint(a.results[i])));
    e.set(a.results[i], outputs.back());
  }
  const int64_t direction = attrs.reverse ? 1 : 0;
  r.graph().add("Scan", inputs, outputs,
                {{"body", body},
                 {"num_scan_inputs", slices},
                 {"scan_input_directions", Ints(static_cast<size_t>(slices), direction)},
                 {"scan_output_directions", Ints(outputs.size() - carries, direction)}});
  return Ok{};
}

}  // namespace gradc::exchange::onnx
