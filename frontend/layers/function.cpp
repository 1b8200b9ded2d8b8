// "gir": a function in the IR's text form (docs/ir.md) as a layer. The text's inputs are the
// layer's with the batch as their first axis, its params and states are the layer's parameters, its
// results the layer's; names of extents take over what the inputs have.
#include "frontend/families.h"
#include "frontend/layer_def.h"
#include "ir/op_attrs.h"
#include "ir/parser.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace gradc::layers {
namespace {

constexpr OptionDef kFunctionOptions[] = {
    {.name = "file",
     .type = OptionType::kFile,
     .doc = "a text of one graph, the path relative to this file"},
    {.name = "sizes",
     .type = OptionType::kNamedInts,
     .default_json = "{}",
     .doc = "numbers of the names in it that no input says",
     .min = 1},
};

using Function = std::shared_ptr<Graph>;

/// The function for inputs of these types.
Result<Function> instantiate(const Options& options, std::vector<TensorType> inputs) {
  const SourceFile& file = options.file("file");
  ExtentNames names{options.named_ints("sizes"), std::move(inputs)};
  return parse_graph(file.text(), file.path(), names);
}

std::vector<TensorType> batched(std::span<const TensorSpec> specs, int64_t batch) {
  std::vector<TensorType> types;
  for (const TensorSpec& spec : specs) {
    Ints dims = {batch};
    dims.insert(dims.end(), spec.shape.begin(), spec.shape.end());
    types.push_back({spec.dtype, Shape(dims)});
  }
  return types;
}

Ints without_batch(const Shape& shape) {
  return {shape.begin() + 1, shape.end()};
}

bool is_plain(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

/// The values that are made of several rows of the batch, found in the same function for two
/// batches: the axis of the batch shows in both.
class MixedRows {
 public:
  MixedRows(const Graph& graph, const Graph& larger) : graph_(graph), larger_(larger) {
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      if (graph.inputs()[i].kind == InputKind::kInput)
        add(graph.inputs()[i].value, larger.inputs()[i].value);
    }
    const std::vector<NodeId> nodes = list(graph), others = list(larger);
    for (size_t i = 0; i < nodes.size(); ++i)
      visit(graph.node(nodes[i]), larger.node(others[i]));
  }

  bool contains(ValueId value) const { return mixed_.contains(value.index); }

 private:
  static std::vector<NodeId> list(const Graph& graph) {
    std::vector<NodeId> nodes;
    for (const NodeId id : graph.nodes())
      nodes.push_back(id);
    return nodes;
  }

  /// A value that is made of inputs: its one axis that follows the batch, or it is mixed.
  void add(ValueId value, ValueId other) {
    const Shape &shape = graph_.type(value).shape, &in_larger = larger_.type(other).shape;
    Ints follow;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      if (shape[axis] != in_larger[axis]) follow.push_back(axis);
    }
    axes_[value.index] = follow.empty() ? -1 : follow[0];
    if (follow.size() != 1) mixed_.insert(value.index);
  }

  int64_t before(ValueId value) const {
    int64_t product = 1;
    for (int64_t axis = 0; axis < axes_.at(value.index); ++axis)
      product *= graph_.type(value).shape[static_cast<int>(axis)];
    return product;
  }

  void visit(const Node& node, const Node& other) {
    bool made_of_inputs = false, mixes = false;
    for (size_t i = 0; i < node.operands.size(); ++i) {
      const ValueId operand = node.operands[i];
      if (!axes_.contains(operand.index)) continue;
      made_of_inputs = true;
      mixes = mixes || contains(operand) || works_along(node, other, i, axes_[operand.index]);
    }
    if (!made_of_inputs) return;
    for (size_t i = 0; i < node.results.size(); ++i) {
      const ValueId result = node.results[i];
      add(result, other.results[i]);
      if (mixes || (node.op == Op::kReshape && before(result) != before(node.operands[0])))
        mixed_.insert(result.index);
    }
  }

  /// Of the rows along this axis of an operand, some lead to others.
  bool works_along(const Node& node, const Node& other, size_t operand, int64_t axis) const {
    const auto i = static_cast<size_t>(axis);
    const int64_t rank = graph_.type(node.operands[operand]).rank();
    if (axis < 0) return true;
    if (node.op == Op::kSoftmax || node.op == Op::kLogSoftmax || node.op == Op::kConcat)
      return node.attrs.as<AxisAttrs>().axis == axis;
    if (node.op == Op::kReverse) {
      const Ints& axes = node.attrs.as<AxesAttrs>().axes;
      return std::find(axes.begin(), axes.end(), axis) != axes.end();
    }
    if (node.op == Op::kSlice) {
      const auto& attrs = node.attrs.as<SliceAttrs>();
      return attrs.start[i] != 0 || (!attrs.stride.empty() && attrs.stride[i] != 1);
    }
    if (node.op == Op::kPad) {
      const auto& attrs = node.attrs.as<PadAttrs>();
      return attrs.low[i] != 0 || (!attrs.interior.empty() && attrs.interior[i] != 0);
    }
    if (node.op == Op::kLayerNorm) return axis >= rank - node.attrs.as<LayerNormAttrs>().num_axes;
    if (node.op == Op::kScan)
      return node.attrs.as<ScanAttrs>().steps != other.attrs.as<ScanAttrs>().steps;
    if (node.op == Op::kGather) return operand == 0;
    if (node.op == Op::kBatchNorm || node.op == Op::kScatterAdd || node.op == Op::kPartition ||
        node.op == Op::kDistinct || node.op == Op::kPutRows)
      return true;
    const Lowering lowering = def(node.op).lowering;
    return axis != 0 && (lowering == Lowering::kConv || lowering == Lowering::kPool ||
                         lowering == Lowering::kAttention);
  }

  const Graph& graph_;
  const Graph& larger_;
  std::unordered_map<uint32_t, int64_t> axes_;
  std::unordered_set<uint32_t> mixed_;
};

/// Checks a function, and says what a layer makes of it. Problems are reported at the layer, with a
/// note of the place in the text.
class Inference {
 public:
  Inference(LayerInferArgs& a, const Graph& graph, const Graph& larger)
      : a_(a), graph_(graph), larger_(larger) {}

  bool run() {
    const size_t errors = a_.sink.all().size();
    const bool fits = check_inputs();
    check_nodes();
    for (size_t i = 0; i < graph_.inputs().size(); ++i)
      declare(graph_.inputs()[i], larger_.inputs()[i]);
    if (fits) check_results();  // what does not follow the batch is said once
    return a_.sink.all().size() == errors;
  }

 private:
  template <class... Args>
  void fail(fmt::format_string<Args...> format, Args&&... args) {
    a_.sink
        .error(DiagKind::kShapeMismatch, a_.place, "{} {}", a_.who(),
               fmt::format(format, std::forward<Args>(args)...))
        .with_note(fmt::format("its function is @{} of \"{}\"", graph_.name(),
                               a_.options().file("file").path()),
                   {.file = a_.options().file("file").path()});
  }

  std::string text(ValueId value) const {
    return fmt::format("%{} : {}", graph_.value(value).name, to_string(graph_.type(value)));
  }

  bool check_inputs() {
    bool fits = true;
    const std::vector<TensorType> given = batched(a_.inputs, a_.batch_size);
    size_t count = 0;
    for (const GraphInput& input : graph_.inputs()) {
      if (input.kind != InputKind::kInput) continue;
      const size_t i = count++;
      if (i >= given.size()) continue;
      const TensorType& type = graph_.type(input.value);
      const bool same_kind =
          type.dtype == given[i].dtype || (is_float(type.dtype) && is_float(given[i].dtype));
      if (type.shape == given[i].shape && same_kind) continue;
      fail("is given {} for {}", to_string(given[i]), text(input.value));
      fits = false;
    }
    if (count != given.size()) fail("takes {} inputs, got {}", count, given.size());
    return fits;
  }

  void check_nodes() {
    for (const NodeId id : graph_.nodes()) {
      const Node& node = graph_.node(id);
      const OpDef& op = def(node.op);
      const bool moves =
          node.op == Op::kUpdate && graph_.input_of(node.operands[0]).kind == InputKind::kState;
      const bool usable =
          !op.has(kTraitEffect) && !op.has(kTraitRandom) && (!op.body || !op.body->sealed);
      if (moves || usable) continue;
      fail("has {}, but a function updates states only, draws no random numbers and has no kernels",
           op.name);
    }
  }

  void declare(const GraphInput& input, const GraphInput& in_larger) {
    if (input.kind == InputKind::kInput) return;
    if (input.kind == InputKind::kArg)
      return fail("has the arg {}, but a function has inputs, params and states",
                  text(input.value));
    const TensorType& type = graph_.type(input.value);
    const Ints shape = type.shape.to_vector();
    const auto init = make_init_spec(input.init, shape);
    if (!is_plain(input.name))
      fail("has a parameter \"{}\": letters, digits and \"_\" are possible", input.name);
    if (!is_float(type.dtype))
      fail("has a parameter {}, which is not of floats", text(input.value));
    if (type != larger_.type(in_larger.value))
      fail("has a parameter {}, whose shape follows the batch", text(input.value));
    if (!init) {
      fail(
          "has {} without a usable init, such as {{init=zeros}} or "
          "{{init=variance_scaling(a=1.0, mode=fan_avg, distribution=uniform)}}",
          text(input.value));
      return;
    }
    ParameterSpec spec;
    spec.name = input.name;
    spec.dtype = type.dtype;
    spec.shape = shape;
    spec.initializer = default_component(Family::kInitializer, "zeros");
    spec.init = std::make_shared<const InitSpec>(*init);
    spec.trainable = input.kind == InputKind::kParam && a_.layer.trainable;
    a_.parameters.push_back(std::move(spec));
  }

  void check_results() {
    if (graph_.outputs().empty()) return fail("returns nothing");
    const MixedRows mixed(graph_, larger_);
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const GraphOutput& output = graph_.outputs()[i];
      const TensorType& type = graph_.type(output.value);
      const TensorType& in_larger = larger_.type(larger_.outputs()[i].value);
      const bool follows = type.rank() > 0 && in_larger.rank() == type.rank() &&
                           type.shape[0] == a_.batch_size &&
                           in_larger.shape[0] == a_.batch_size + 1 &&
                           without_batch(type.shape) == without_batch(in_larger.shape);
      if (!follows) {
        fail(
            "returns {}, whose first axis, and no other, must be the batch of {}: give it a name "
            "in the text",
            text(output.value), a_.batch_size);
      } else if (mixed.contains(output.value)) {
        fail(
            "returns {}, of which a row sees other rows of the batch: a last batch that is not "
            "full is padded, so that each must be made of its own",
            text(output.value));
      } else if (i == 0) {
        a_.output = {type.dtype, without_batch(type.shape)};
      } else if (type.dtype != a_.output.dtype || !is_plain(output.name)) {
        fail("returns {}, but further results have names and the type of the first",
             text(output.value));
      } else {
        a_.result(output.name, without_batch(type.shape));
      }
    }
  }

  LayerInferArgs& a_;
  const Graph& graph_;
  const Graph& larger_;
};

/// Names of "sizes" that say nothing.
bool check_sizes(LayerInferArgs& a) {
  bool good = true;
  const SourceFile& file = a.options().file("file");
  for (const auto& [name, value] : a.options().named_ints("sizes")) {
    ExtentNames others{a.options().named_ints("sizes"), batched(a.inputs, a.batch_size)};
    others.values.erase(name);
    const bool unused =
        parse_graph(file.text(), file.path(), others).ok() && !others.values.contains(name);
    if (!unused) continue;
    a.sink.error(DiagKind::kUnknownName, a.place,
                 "{} has a size of \"{}\", but \"{}\" has no extent of this name", a.who(), name,
                 file.path());
    good = false;
  }
  return good;
}

bool infer_function(LayerInferArgs& a) {
  std::vector<Function> made;
  for (const int64_t batch : {a.batch_size, a.batch_size + 1, int64_t{1}}) {
    Result<Function> one = instantiate(a.options(), batched(a.inputs, batch));
    if (one.ok()) {
      made.push_back(one.take());
      continue;
    }
    for (Diagnostic problem : one.diagnostics()) {
      problem.with_note(
          batch == a.batch_size
              ? fmt::format("{} is here", a.who())
              : fmt::format("{} is here; it must fit every batch, and does not fit one of {}",
                            a.who(), batch),
          a.place);
      a.sink.add(std::move(problem));
    }
    return false;
  }
  return check_sizes(a) && Inference(a, *made[0], *made[1]).run();
}

Val build_function(const LayerBuildArgs& a) {
  std::vector<TensorType> types;
  for (const Val input : a.inputs)
    types.push_back(input.type());
  std::optional<Function> larger;
  if (a.training && a.tail_weight.valid()) {
    std::vector<TensorType> more = types;
    for (TensorType& type : more)
      ++type.shape[0];
    larger = instantiate(a.options(), std::move(more)).take();
  }
  const Function function = instantiate(a.options(), std::move(types)).take();
  const Graph& graph = *function;
  std::unordered_map<uint32_t, Val> made;
  size_t next = 0;
  for (const GraphInput& input : graph.inputs()) {
    const bool given = input.kind == InputKind::kInput;
    made[input.value.index] =
        given ? cast(a.inputs[next++], graph.type(input.value).dtype) : a.parameter(input.name);
  }
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.op == Op::kUpdate) continue;
    std::vector<Val> operands;
    for (const ValueId operand : node.operands)
      operands.push_back(made.at(operand.index));
    const std::vector<Val> results = a.builder.add_multi(
        node.op, std::move(operands), node.attrs, {}, node.body ? node.body->clone() : nullptr);
    for (size_t i = 0; i < results.size(); ++i) {
      a.builder.graph().set_name_hint(results[i].id(), graph.value(node.results[i]).name);
      made[node.results[i].index] = results[i];
    }
  }
  std::optional<MixedRows> mixed;
  if (larger) mixed.emplace(graph, **larger);
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    // What sees the padding of a last batch is no state's next value.
    if (mixed && node.op == Op::kUpdate && mixed->contains(node.operands[1])) continue;
    if (node.op != Op::kUpdate || !a.training || !a.layer.trainable) continue;
    a.update_state(graph.input_of(node.operands[0]).name, made.at(node.operands[1].index));
  }
  for (size_t i = 1; i < graph.outputs().size(); ++i)
    a.give(graph.outputs()[i].name, made.at(graph.outputs()[i].value.index));
  return made.at(graph.outputs()[0].value.index);
}

}  // namespace

extern constinit const LayerDef kFunction{
    .base = {.type = "gir",
             .summary =
                 "A function in the IR's text form (docs/ir.md): its inputs are the layer's, "
                 "the batch first, its params and states the layer's parameters. Further "
                 "results are called NAME.<result>.",
             .options = kFunctionOptions},
    .max_inputs = -1,
    .integers = true,
    .infer = infer_function,
    .build = build_function,
};

}  // namespace gradc::layers
