// "gir": a function in the IR's text form (docs/ir.md) as a layer. The text's inputs are the
// layer's with the batch as their first axis, its params and states are the layer's parameters, its
// results the layer's; names of extents take over what the inputs have.
#include "frontend/families.h"
#include "frontend/gir_function.h"
#include "frontend/layer_def.h"

#include <algorithm>
#include <vector>

namespace gradc::layers {
namespace {

constexpr OptionDef kFunctionOptions[] = {kFunctionFile, kFunctionSizes};

std::vector<TensorType> batched(std::span<const TensorSpec> specs, int64_t batch) {
  std::vector<TensorType> types;
  for (const TensorSpec& spec : specs) {
    Ints dims = {batch};
    dims.insert(dims.end(), spec.shape.begin(), spec.shape.end());
    types.push_back({spec.dtype, Shape(dims)});
  }
  return types;
}

bool is_plain(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

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
      const bool moves =
          node.op == Op::kUpdate && graph_.input_of(node.operands[0]).kind == InputKind::kState;
      if (moves || is_usable(node)) continue;
      fail("has {}, but a function updates states only, draws no random numbers and has no kernels",
           op_name(node.op));
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
    const std::vector<RowPlace> rows = rows_in(larger_, graph_);
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const GraphOutput& output = graph_.outputs()[i];
      const TensorType& type = graph_.type(output.value);
      const TensorType& in_larger = larger_.type(larger_.outputs()[i].value);
      if (!follows_batch(type, in_larger, a_.batch_size)) {
        fail(
            "returns {}, whose first axis, and no other, must be the batch of {}: give it a name "
            "in the text",
            text(output.value), a_.batch_size);
      } else if (rows[output.value.index].mixed()) {
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
  const auto unused = unused_sizes(a.options(), batched(a.inputs, a.batch_size));
  for (const std::string& name : unused) {
    a.sink.error(DiagKind::kUnknownName, a.place,
                 "{} has a size of \"{}\", but \"{}\" has no extent of this name", a.who(), name,
                 a.options().file("file").path());
  }
  return unused.empty();
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
  size_t next = 0;
  const auto made = copy_function(graph, a.builder, [&](const GraphInput& input) {
    return input.kind == InputKind::kInput ? cast(a.inputs[next++], graph.type(input.value).dtype)
                                           : a.parameter(input.name);
  });
  std::vector<RowPlace> rows;
  if (larger) rows = rows_in(**larger, graph);
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    // What sees the padding of a last batch is no state's next value.
    if (larger && node.op == Op::kUpdate && rows[node.operands[1].index].mixed()) continue;
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
