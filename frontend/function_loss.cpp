#include "frontend/function_loss.h"

#include "frontend/families.h"
#include "frontend/gir_function.h"
#include "frontend/layer_def.h"
#include "frontend/own_losses.h"
#include "ir/lexer.h"
#include "support/check.h"
#include "support/source_file.h"

#include <algorithm>
#include <array>

namespace gradc {
namespace {

constexpr std::pair<std::string_view, FunctionInput> kInputNames[] = {
    {"output", FunctionInput::kOutput},
    {"prediction", FunctionInput::kOutput},
    {"target", FunctionInput::kTarget},
    {"counts", FunctionInput::kCounts},
};
constexpr std::array kByPosition = {FunctionInput::kOutput, FunctionInput::kTarget,
                                    FunctionInput::kCounts};

/// Names of the text's inputs, in order.
std::vector<std::string> input_names(const SourceFile& file) {
  DiagnosticSink ignored;  // told when it is parsed
  const std::vector<Token> tokens = tokenize(file.text(), file.path(), ignored);
  std::vector<std::string> names;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (tokens[i].is_word("forward")) break;
    if (tokens[i].is_word("input") && tokens[i + 1].kind == TokenKind::kValue)
      names.push_back(tokens[i + 1].text);
  }
  return names;
}

bool has(std::span<const FunctionInput> inputs, FunctionInput wanted) {
  return std::ranges::find(inputs, wanted) != inputs.end();
}

/// The function for values that stand for what its inputs are.
struct Given {
  Val output, target, counts;
  Val of(FunctionInput input) const {
    switch (input) {
      case FunctionInput::kOutput:
        return output;
      case FunctionInput::kTarget:
        return target;
      case FunctionInput::kCounts:
        return counts;
    }
    GRADC_UNREACHABLE();
  }
};

Val build(const Options& options, const Given& given) {
  std::vector<Val> values;
  std::vector<TensorType> types;
  for (const FunctionInput input : function_inputs(options)) {
    values.push_back(given.of(input));
    types.push_back(values.back().type());
  }
  const Function function = instantiate(options, std::move(types)).take();
  size_t next = 0;
  const auto made =
      copy_function(*function, values.front().builder(), [&](const GraphInput& input) {
        return cast(values[next++], function->type(input.value).dtype);
      });
  return made.at(function->outputs()[0].value.index);
}

class FunctionCheck {
 public:
  FunctionCheck(const Model& model, OutputLoss& loss, DiagnosticSink& sink)
      : model_(model), loss_(loss), sink_(sink), options_(loss.loss.options) {}

  void run() {
    inputs_ = function_inputs(options_);
    if (inputs_.empty()) {
      fail(
          "takes inputs that are not those of a loss: output, target and, where it makes one "
          "number of a batch, counts");
      return;
    }
    loss_.has_target = has(inputs_, FunctionInput::kTarget);
    constexpr int64_t kBatch = 4;
    const Function graph = made_for(kBatch);
    const Function larger = graph ? made_for(kBatch + 1) : nullptr;
    if (!larger || !made_for(1)) return;
    for (const std::string& name : unused_sizes(options_, types(kBatch)))
      fail("has no extent \"{}\", of which a size is given", name);
    const bool fits = check_inputs(*graph, kBatch);
    for (const NodeId id : graph->nodes()) {
      if (is_usable(graph->node(id))) continue;
      fail("has {}, but a loss updates nothing, draws no random numbers and has no kernels",
           op_name(graph->node(id).op));
    }
    if (fits) check_result(*graph, *larger, kBatch);
  }

 private:
  template <class... Args>
  void fail(fmt::format_string<Args...> format, Args&&... args) {
    const std::string& path = options_.file(kFunctionFile.name).path();
    sink_
        .error(DiagKind::kShapeMismatch, loss_.loss.place, "the function of the loss {}",
               fmt::format(format, std::forward<Args>(args)...))
        .with_note(fmt::format("it is in \"{}\"", path), {.file = path});
  }

  std::vector<TensorType> types(int64_t batch) const {
    std::vector<TensorType> types;
    const auto add = [&](const TensorSpec& spec) {
      Ints dims = {batch};
      dims.insert(dims.end(), spec.shape.begin(), spec.shape.end());
      types.push_back({spec.dtype, Shape(dims)});
    };
    for (const FunctionInput input : inputs_) {
      switch (input) {
        case FunctionInput::kOutput: {
          TensorSpec spec = model_.spec(model_.outputs[loss_.output].value);
          spec.dtype = accumulator_dtype(spec.dtype);
          add(spec);
          break;
        }
        case FunctionInput::kTarget:
          add(model_.target_spec(loss_));
          break;
        case FunctionInput::kCounts:
          add({});
          break;
      }
    }
    return types;
  }

  Function made_for(int64_t batch) {
    Result<Function> made = instantiate(options_, types(batch));
    if (made.ok()) return made.take();
    for (Diagnostic problem : made.diagnostics()) {
      problem.with_note("the loss is here; its function must fit every batch", loss_.loss.place);
      sink_.add(std::move(problem));
    }
    return nullptr;
  }

  bool check_inputs(const Graph& graph, int64_t batch) {
    const std::vector<TensorType> given = types(batch);
    bool fits = true;
    size_t next = 0;
    for (const GraphInput& input : graph.inputs()) {
      const TensorType& type = graph.type(input.value);
      if (input.kind != InputKind::kInput) {
        fail("has a parameter or state %{}, which a loss has not", graph.value(input.value).name);
        return false;
      }
      const TensorType& wanted = given[next++];
      const bool same_kind =
          type.dtype == wanted.dtype || (is_float(type.dtype) && is_float(wanted.dtype));
      if (type.shape == wanted.shape && same_kind) continue;
      fail("is given {} for %{} : {}", to_string(wanted), graph.value(input.value).name,
           to_string(type));
      fits = false;
    }
    return fits;
  }

  void check_result(const Graph& graph, const Graph& larger, int64_t batch) {
    if (graph.outputs().size() != 1)
      return fail("returns {} values, not one", graph.outputs().size());
    const ValueId value = graph.outputs()[0].value;
    const TensorType& type = graph.type(value);
    if (!is_float(type.dtype)) return fail("returns {}, which are no floats", to_string(type));
    if (has(inputs_, FunctionInput::kCounts)) {
      if (type.rank() > 0)
        fail("takes %counts, so it is of a batch and returns one number, not {}", to_string(type));
      return;
    }
    if (type.rank() == 0) {
      return fail(
          "returns one number of a batch, so it must take %counts : f32[B] as well: 1 for what "
          "counts, 0 for what fills up the last batch");
    }
    if (!follows_batch(type, larger.type(larger.outputs()[0].value), batch)) {
      return fail("returns {}, whose first axis, and no other, must be the batch of {}",
                  to_string(type), batch);
    }
    if (rows_in(larger, graph)[value.index].mixed()) {
      return fail(
          "returns {}, of which a row sees other rows of the batch: one number of the batch, made "
          "with %counts, may",
          to_string(type));
    }
    const Ints values = without_batch(type.shape);
    loss_.values = values;
    const Ints& output = model_.spec(model_.outputs[loss_.output].value).shape;
    const bool by_steps = !values.empty() && !output.empty() && values.front() == output.front();
    if (model_.masked(model_.outputs[loss_.output].value) && !by_steps)
      fail("returns {}, but some steps of the output do not count: it must have a value for each",
           to_string(type));
  }

  const Model& model_;
  OutputLoss& loss_;
  DiagnosticSink& sink_;
  const Options& options_;
  std::vector<FunctionInput> inputs_;
};

}  // namespace

std::vector<FunctionInput> function_inputs(const Options& options) {
  const std::vector<std::string> names = input_names(options.file(kFunctionFile.name));
  std::vector<FunctionInput> by_name;
  for (const std::string& name : names) {
    const auto known = std::ranges::find(kInputNames, name, [](const auto& e) { return e.first; });
    if (known != std::end(kInputNames) && !has(by_name, known->second))
      by_name.push_back(known->second);
  }
  if (by_name.size() == names.size() && has(by_name, FunctionInput::kOutput)) return by_name;
  if (names.empty() || names.size() > kByPosition.size()) return {};
  return {kByPosition.begin(), kByPosition.begin() + static_cast<ptrdiff_t>(names.size())};
}

bool function_of_batch(const Options& options) {
  return has(function_inputs(options), FunctionInput::kCounts);
}

Val build_function_loss(const Options& options, Val output, Val target) {
  return build(options, {.output = output, .target = target, .counts = {}});
}

Val build_function_of_batch(const WholeLossArgs& args) {
  const TensorType type{DType::kF32, Shape{args.output.shape()[0]}};
  const Val counts = args.examples.valid() ? cast(args.examples, DType::kF32)
                                           : args.output.builder().splat(1.0, type);
  return build(args.options, {.output = args.output, .target = args.target, .counts = counts});
}

void check_function_loss(const Model& model, OutputLoss& loss, DiagnosticSink& sink) {
  FunctionCheck(model, loss, sink).run();
}

}  // namespace gradc
