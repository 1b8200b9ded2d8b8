#include "frontend/formula_builder.h"

#include "frontend/component_reader.h"
#include "frontend/example_values.h"
#include "frontend/families.h"
#include "frontend/formula_functions.h"
#include "frontend/layer_def.h"
#include "support/check.h"
#include "support/suggest.h"

#include <algorithm>
#include <numeric>

namespace gradc {
namespace {

using Kind = FormulaNode::Kind;

/// A number, or a value of each example.
struct Operand {
  double number = 0.0;
  Val value = {};
  bool is_number() const { return !value.valid(); }
};
using Found = std::optional<Operand>;

class FormulaBuilder {
 public:
  FormulaBuilder(const FormulaScope& scope, const Place& place, DiagnosticSink& sink)
      : scope_(scope), place_(place), sink_(sink) {}

  std::optional<FormulaValue> run(const Formula& formula) {
    const Found found = build(formula.root);
    if (!found) return std::nullopt;
    const FormulaRange all{0, formula.text.size()};
    if (found->is_number()) {
      fail(DiagKind::kBadValue, all, "the formula names no output, so it is the same for all");
      return std::nullopt;
    }
    if (!is_float(found->value.dtype())) {
      fail(DiagKind::kTypeMismatch, all,
           fmt::format("the formula is {}, but a loss is a number",
                       found->value.dtype() == DType::kBool ? "true or false" : "of integers"));
      return std::nullopt;
    }
    return FormulaValue{found->value, meets_steps_};
  }

 private:
  Diagnostic& fail(DiagKind kind, FormulaRange range, std::string message) {
    return sink_.add(make_error(kind, place_in(place_, range), "{}", message));
  }

  Found build(const FormulaNode& node) {
    switch (node.kind) {
      case Kind::kNumber:
        return Operand{.number = node.number};
      case Kind::kName:
        return name(node);
      case Kind::kMinus:
        return minus(node);
      case Kind::kInfix:
        return infix(node);
      case Kind::kCall:
        return call(node);
      case Kind::kSubscript:
        return subscript(node);
    }
    GRADC_UNREACHABLE();
  }

  // ---- names

  std::vector<std::string> known_names() const {
    std::vector<std::string> names;
    if (scope_.own) names = {"output", "target"};
    for (const ModelOutput& output : scope_.model.outputs)
      names.push_back(output.name);
    return names;
  }

  std::optional<size_t> output_named(const std::string& name) const {
    const auto& outputs = scope_.model.outputs;
    const auto found = std::ranges::find(outputs, name, &ModelOutput::name);
    if (found == outputs.end()) return std::nullopt;
    return static_cast<size_t>(found - outputs.begin());
  }

  /// The output that a name is, without a report.
  std::optional<size_t> output_of(const FormulaNode& node) const {
    if (node.kind != Kind::kName) return std::nullopt;
    if (scope_.own && !node.quoted && node.text == "output") return scope_.own;
    return output_named(node.text);
  }

  Found name(const FormulaNode& node) {
    if (scope_.own && !node.quoted && node.text == "target")
      return Operand{.value = scope_.target(*scope_.own)};
    if (const auto output = output_of(node)) return Operand{.value = scope_.output(*output)};
    if (!scope_.own && !node.quoted && (node.text == "output" || node.text == "target")) {
      fail(DiagKind::kUnknownReference, node.range,
           fmt::format("the model has {} outputs, so \"{}\" is not clear",
                       scope_.model.outputs.size(), node.text))
          .with_help(
              fmt::format("use {}", node.text == "output" ? "an output's name" : "target(NAME)"));
      return std::nullopt;
    }
    Diagnostic& problem = fail(DiagKind::kUnknownReference, node.range,
                               fmt::format("no output is named \"{}\"", node.text));
    problem.with_help(is_function(node.text)
                          ? fmt::format("\"{}\" is a function: {}(...)", node.text, node.text)
                          : suggestion(node.text, known_names()));
    return std::nullopt;
  }

  // ---- operators

  Found minus(const FormulaNode& node) {
    Found operand = build(node.operands[0]);
    if (!operand || operand->is_number())
      return operand ? Found(Operand{.number = -operand->number}) : operand;
    return Operand{.value = -floats_of(operand->value)};
  }

  Found infix(const FormulaNode& node) {
    const Found a = build(node.operands[0]);
    const Found b = build(node.operands[1]);
    if (!a || !b) return std::nullopt;
    if (node.text == "^" && !a->is_number() && b->is_number()) {
      if (const Val product = whole_power(floats_of(a->value), b->number); product.valid())
        return Operand{.value = product};
    }
    const Op op = infix_op(node.text);
    return apply(op, {*a, *b}, node);
  }

  /// x^2 and x^3 as products, also of negative numbers.
  static Val whole_power(Val x, double exponent) {
    if (exponent == 1.0) return x;
    if (exponent == 2.0) return x * x;
    if (exponent == 3.0) return x * x * x;
    return {};
  }

  /// Operands of one shape, and of one type but for the first `kept`; an empty list after a report.
  std::vector<Val> aligned(const std::vector<Operand>& operands, const FormulaNode& node,
                           size_t kept) {
    DType dtype = DType::kF32;
    Ints shape;
    for (size_t i = 0; i < operands.size(); ++i) {
      const Operand& operand = operands[i];
      if (operand.is_number()) continue;
      if (i >= kept && operand.value.dtype() == DType::kF64) dtype = DType::kF64;
      auto both = joined_shape(shape, example_shape(operand.value));
      if (!both) {
        report_shapes(operands, node);
        return {};
      }
      shape = std::move(*both);
    }
    const Val first = first_value(operands);
    shape.insert(shape.begin(), first.shape()[0]);
    std::vector<Val> result;
    for (size_t i = 0; i < operands.size(); ++i) {
      const Operand& operand = operands[i];
      if (operand.is_number()) {
        result.push_back(first.builder().splat(operand.number, {dtype, Shape(shape)}));
        continue;
      }
      const Val typed = i < kept ? operand.value : cast(operand.value, dtype);
      result.push_back(spread_examples(typed, Shape(shape)));
    }
    return result;
  }

  static Val first_value(const std::vector<Operand>& operands) {
    for (const Operand& operand : operands)
      if (!operand.is_number()) return operand.value;
    return {};
  }

  void report_shapes(const std::vector<Operand>& operands, const FormulaNode& node) {
    std::string shapes;
    for (const Operand& operand : operands) {
      if (operand.is_number()) continue;
      if (!shapes.empty()) shapes += " and ";
      shapes += shape_text(example_shape(operand.value));
    }
    fail(DiagKind::kShapeMismatch, node.range,
         fmt::format("\"{}\" joins {}, which do not fit (shapes are of one example)", node.text,
                     shapes))
        .with_help("mean(x) and sum(x) make one number of an example, axis=-1 of its last axis");
  }

  Found apply(Op op, const std::vector<Operand>& operands, const FormulaNode& node) {
    if (!first_value(operands).valid()) return of_numbers(op, operands, node);
    const bool truths = op == Op::kAnd || op == Op::kOr || op == Op::kNot;
    const Operand& condition = operands.front();
    if (op == Op::kSelect && (condition.is_number() || condition.value.dtype() != DType::kBool)) {
      fail(DiagKind::kTypeMismatch, node.operands.front().range,
           fmt::format("\"{}\" decides by a comparison, like output < 0", node.text));
      return std::nullopt;
    }
    const size_t kept = truths ? operands.size() : op == Op::kSelect ? 1 : 0;
    std::vector<Val> values = aligned(operands, node, kept);
    if (values.empty()) return std::nullopt;
    auto made = values.front().builder().try_add(op, values);
    if (made.ok()) return Operand{.value = made.value().front()};
    fail(DiagKind::kTypeMismatch, node.range,
         fmt::format("\"{}\" does not take this: {}", node.text,
                     made.diagnostics().front().message));
    return std::nullopt;
  }

  /// What an op makes of numbers alone.
  Found of_numbers(Op op, const std::vector<Operand>& operands, const FormulaNode& node) {
    std::vector<double> numbers;
    for (const Operand& operand : operands)
      numbers.push_back(operand.number);
    if (def(op).eval_scalar != nullptr) return Operand{.number = def(op).eval_scalar(numbers)};
    fail(DiagKind::kTypeMismatch, node.range, "a number stands where an output should");
    return std::nullopt;
  }

  // ---- functions

  Found call(const FormulaNode& node) {
    if (node.text == "target") return target_of(node);
    const FormulaFunction function = find_function(node.text, node.operands.size());
    using Group = FormulaFunction::Group;
    switch (function.group) {
      case Group::kNone:
        fail(DiagKind::kUnknownName, node.range, fmt::format("unknown function \"{}\"", node.text))
            .with_help(suggestion(node.text, function_names()));
        return std::nullopt;
      case Group::kReduction:
        return reduction(node);
      case Group::kScalar:
        return scalar(function.op, node);
      case Group::kSquare:
        return square(node);
      case Group::kActivation:
        return activation(*function.component, node);
      case Group::kLoss:
        return loss(*function.component, node);
    }
    GRADC_UNREACHABLE();
  }

  bool counts(const FormulaNode& node, size_t least, size_t most) {
    const size_t given = node.operands.size();
    if (given >= least && given <= most) return true;
    fail(
        DiagKind::kWrongInputCount, node.range,
        fmt::format("{} takes {}{} value{}, got {}", node.text, least,
                    least == most ? "" : fmt::format(" to {}", most), most == 1 ? "" : "s", given));
    return false;
  }

  bool takes_no_keywords(const FormulaNode& node) {
    if (node.keywords.empty()) return true;
    fail(DiagKind::kUnknownOption, node.keywords.front().range,
         fmt::format("{} has no option \"{}\"", node.text, node.keywords.front().name));
    return false;
  }

  Found target_of(const FormulaNode& node) {
    if (!counts(node, 1, 1) || !takes_no_keywords(node)) return std::nullopt;
    if (const auto output = output_of(node.operands[0]))
      return Operand{.value = scope_.target(*output)};
    Diagnostic& problem = fail(DiagKind::kUnknownReference, node.operands[0].range,
                               node.operands[0].kind == Kind::kName
                                   ? fmt::format("no output is named \"{}\"", node.operands[0].text)
                                   : std::string("target(NAME) takes the name of an output"));
    if (node.operands[0].kind == Kind::kName)
      problem.with_help(suggestion(node.operands[0].text, known_names()));
    return std::nullopt;
  }

  Found scalar(Op op, const FormulaNode& node) {
    if (!takes_no_keywords(node)) return std::nullopt;
    const Arity arity = gradc::arity(def(op));
    const bool any = op == Op::kMax || op == Op::kMin;
    if (!counts(node, arity.min, any ? 8 : arity.max)) return std::nullopt;
    std::vector<Operand> operands;
    for (const FormulaNode& operand : node.operands) {
      const Found found = build(operand);
      if (!found) return std::nullopt;
      operands.push_back(*found);
    }
    if (!any || operands.size() == 2) return apply(op, operands, node);
    Found result = operands.front();
    for (size_t i = 1; i < operands.size() && result; ++i)
      result = apply(op, {*result, operands[i]}, node);
    return result;
  }

  Found square(const FormulaNode& node) {
    if (!takes_no_keywords(node) || !counts(node, 1, 1)) return std::nullopt;
    const Found x = build(node.operands[0]);
    return x ? apply(Op::kMul, {*x, *x}, node) : x;
  }

  Found activation(const ComponentDef& def, const FormulaNode& node) {
    if (!takes_no_keywords(node) || !counts(node, 1, 1)) return std::nullopt;
    const auto x = value(node.operands[0]);
    if (!x) return std::nullopt;
    const Component component = default_component(Family::kActivation, def.type);
    Ints result;
    std::string problem;
    if (!infer_activation(component, example_shape(*x), result, problem)) {
      fail(DiagKind::kShapeMismatch, node.range, problem);
      return std::nullopt;
    }
    if (x->rank() == 2 && component.options.defines("axis")) meets_steps_ = true;
    return Operand{.value = build_activation(component, *x)};
  }

  /// An operand that must be a value of floats.
  std::optional<Val> value(const FormulaNode& node) {
    const Found found = build(node);
    if (!found) return std::nullopt;
    if (!found->is_number()) return floats_of(found->value);
    fail(DiagKind::kTypeMismatch, node.range, "a number stands where an output should");
    return std::nullopt;
  }

  // ---- reductions

  Found reduction(const FormulaNode& node) {
    if (!counts(node, 1, 1)) return std::nullopt;
    const auto x = value(node.operands[0]);
    if (!x) return std::nullopt;
    const auto axes = reduced_axes(node, *x);
    if (!axes) return std::nullopt;
    if (axes->empty()) return Operand{.value = *x};
    if (axes->front() == 1) meets_steps_ = true;
    if (node.text == "mean") return Operand{.value = reduce_mean(*x, *axes)};
    if (node.text == "sum") return Operand{.value = reduce_sum(*x, *axes)};
    return Operand{.value = node.text == "max" ? reduce_max(*x, *axes) : reduce_min(*x, *axes)};
  }

  /// Axes of the value, the batch among them.
  std::optional<Ints> reduced_axes(const FormulaNode& node, Val x) {
    Ints axes(static_cast<size_t>(x.rank() - 1));
    std::iota(axes.begin(), axes.end(), 1);
    if (node.keywords.empty()) return axes;
    const FormulaNode::Keyword& keyword = node.keywords.front();
    if (keyword.name != "axis" || node.keywords.size() > 1) {
      const FormulaNode::Keyword& wrong = keyword.name != "axis" ? keyword : node.keywords[1];
      fail(DiagKind::kUnknownOption, wrong.range,
           fmt::format("{} has no option \"{}\"", node.text, wrong.name))
          .with_help("\"axis\" is one of an example's axes, from 0 or, from the end, -1");
      return std::nullopt;
    }
    const auto rank = static_cast<double>(axes.size());
    const double axis = keyword.number;
    const bool good = !keyword.is_truth && axis == static_cast<double>(static_cast<int>(axis)) &&
                      axis >= -rank && axis < rank;
    if (!good) {
      fail(DiagKind::kShapeMismatch, keyword.range,
           fmt::format("{} is none of the {} axes of an example of shape {}", axis, axes.size(),
                       shape_text(example_shape(x))));
      return std::nullopt;
    }
    return Ints{static_cast<int64_t>(axis < 0 ? axis + rank : axis) + 1};
  }

  // ---- losses

  Found loss(const ComponentDef& def, const FormulaNode& node) {
    if (!counts(node, 1, 2)) return std::nullopt;
    Component component = default_component(Family::kLoss, def.type);
    for (const FormulaNode::Keyword& keyword : node.keywords)
      if (!set_option(component, keyword, node)) return std::nullopt;
    const auto output = value(node.operands[0]);
    if (!output) return std::nullopt;
    Val target;
    if (node.operands.size() == 2) {
      const Found found = build(node.operands[1]);
      if (!found) return std::nullopt;
      target = found->is_number() ? output->builder().splat(found->number, output->type())
                                  : found->value;
    } else if (const auto named = output_of(node.operands[0])) {
      target = scope_.target(*named);
    } else {
      fail(DiagKind::kWrongInputCount, node.range,
           fmt::format("{} of what is no output needs its target beside it: {}(x, t)", node.text,
                       node.text));
      return std::nullopt;
    }
    return loss_of(component, *output, target, node);
  }

  Found loss_of(const Component& component, Val output, Val target, const FormulaNode& node) {
    const Ints shape = example_shape(output);
    std::string problem;
    if (!loss_fits(component, shape, problem)) {
      fail(DiagKind::kShapeMismatch, node.range, problem);
      return std::nullopt;
    }
    const Ints wanted = loss_target_shape(component, shape);
    const bool classes = loss_target(component) != TargetKind::kSameShape;
    if (example_shape(target) != wanted || (classes && is_float(target.dtype()))) {
      Diagnostic& report =
          fail(DiagKind::kShapeMismatch, node.range,
               fmt::format("{} of {} takes {} {}, got {}", node.text, shape_text(shape),
                           classes ? "class numbers" : "values", shape_text(wanted),
                           to_string(TensorSpec{target.dtype(), example_shape(target)})));
      if (classes) report.with_help("\"target\": \"class\" beside the formula");
      return std::nullopt;
    }
    if (!classes) target = cast(target, output.dtype());
    const Val values = build_loss(component, output, target);
    const bool elementwise = values.rank() == output.rank();
    if (shape.size() <= 1) meets_steps_ = true;
    if (!elementwise || values.rank() == 1) return Operand{.value = values};
    return Operand{.value = reduce_mean(values, {values.rank() - 1})};
  }

  bool set_option(Component& component, const FormulaNode::Keyword& keyword,
                  const FormulaNode& node) {
    const auto options = component.def->options;
    const auto option = std::ranges::find_if(options, [&](const OptionDef& def) {
      return def.name == keyword.name &&
             (def.type == OptionType::kFloat || def.type == OptionType::kBool);
    });
    if (option == options.end()) {
      std::vector<std::string> names;
      for (const OptionDef& def : options)
        if (def.type == OptionType::kFloat || def.type == OptionType::kBool)
          names.emplace_back(def.name);
      fail(DiagKind::kUnknownOption, keyword.range,
           fmt::format("{} has no option \"{}\" in a formula", node.text, keyword.name))
          .with_help(suggestion(keyword.name, names));
      return false;
    }
    const Json json = keyword.is_truth ? Json(keyword.number != 0.0) : Json(keyword.number);
    DiagnosticSink problems;
    auto value = read_option(problems, JsonCursor(json, place_.file, "/" + keyword.name), *option);
    for (Diagnostic problem : problems.take()) {
      problem.place = place_in(place_, keyword.range);
      sink_.add(std::move(problem));
    }
    if (value) component.options.set(option->name, std::move(*value));
    return value.has_value();
  }

  // ---- subscripts

  Found subscript(const FormulaNode& node) {
    const auto x = value(node.operands[0]);
    if (!x) return std::nullopt;
    const Ints shape = example_shape(*x);
    if (node.subscripts.size() > shape.size()) {
      fail(DiagKind::kShapeMismatch, node.range,
           fmt::format("{} subscripts of an example of shape {}", node.subscripts.size(),
                       shape_text(shape)));
      return std::nullopt;
    }
    std::vector<TakenRange> ranges;
    for (size_t i = 0; i < node.subscripts.size(); ++i) {
      const int64_t extent = shape[i];
      const FormulaSubscript& at = node.subscripts[i];
      const auto from_start = [&](int64_t index) { return index < 0 ? index + extent : index; };
      const int64_t first = from_start(at.first.value_or(0));
      const int64_t last = at.one ? first + 1 : at.last ? from_start(*at.last) : extent;
      if (first < 0 || last > extent || first >= last) {
        fail(DiagKind::kShapeMismatch, at.range,
             fmt::format("the subscript takes nothing, or what is not there, of axis {} of {}", i,
                         shape_text(shape)));
        return std::nullopt;
      }
      ranges.push_back({first, last, at.one});
      if (i == 0 && (at.one || last - first < extent)) meets_steps_ = true;
    }
    return Operand{.value = take_of_examples(*x, ranges)};
  }

  const FormulaScope& scope_;
  const Place& place_;
  DiagnosticSink& sink_;
  bool meets_steps_ = false;
};

}  // namespace

std::optional<FormulaValue> build_formula(const Formula& formula, const FormulaScope& scope,
                                          const Place& place, DiagnosticSink& sink) {
  return FormulaBuilder(scope, place, sink).run(formula);
}

}  // namespace gradc
