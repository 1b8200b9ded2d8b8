// einsum_dense: a product of input and kernel by an equation such as "abc,cd->abd".
#include "frontend/layer_def.h"

#include <algorithm>
#include <utility>

namespace gradc::layers {
namespace {

constexpr OptionDef kEinsumOptions[] = {
    {.name = "equation",
     .type = OptionType::kString,
     .doc = "axes of input, kernel and result, such as \"abc,cd->abd\" or \"...x,xy->...y\""},
    {.name = "output_shape",
     .type = OptionType::kIntOrInts,
     .doc = "of the result, without the batch and what ... stands for; -1: as the input's axis",
     .min = -1},
    {.name = "bias_axes",
     .type = OptionType::kString,
     .default_json = "null",
     .doc = "axes of the result along which a trained vector is added"},
    GRADC_ACTIVATION_OPTION,
    GRADC_INITIALIZER("kernel_initializer", "glorot_uniform"),
    GRADC_INITIALIZER("bias_initializer", "zeros"),
    GRADC_REGULATED("kernel"),
    GRADC_REGULATED("bias"),
    GRADC_ACTIVITY_REGULARIZER,
};

/// The three operands of an equation, axes as letters; those of an ellipsis are 1, 2, ...
struct Equation {
  std::string input, kernel, output;
  int64_t elided = 0;        ///< axes of the ellipsis
  bool elided_left = false;  ///< it stands before the letters
};

/// The axes of one operand: letters, each once, with one ellipsis at most, at an end.
bool read_axes(std::string text, int64_t elided, std::string& axes, bool& left) {
  const size_t dots = text.find("...");
  if (dots != std::string::npos) {
    left = dots == 0;
    if (!left && dots + 3 != text.size()) return false;
    text.erase(dots, 3);
    std::string more;
    for (int64_t i = 1; i <= elided; ++i)
      more += static_cast<char>(i);
    axes = left ? more + text : text + more;
  } else {
    axes = text;
  }
  std::string sorted = text;
  std::sort(sorted.begin(), sorted.end());
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }) &&
         std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
}

std::optional<Equation> read_equation(const std::string& text, size_t input_rank) {
  const size_t comma = text.find(','), arrow = text.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || arrow < comma) return {};
  const std::string input = text.substr(0, comma);
  const std::string kernel = text.substr(comma + 1, arrow - comma - 1);
  const std::string output = text.substr(arrow + 2);
  Equation e;
  const bool elides = input.find("...") != std::string::npos;
  if (elides != (output.find("...") != std::string::npos) ||
      kernel.find("...") != std::string::npos)
    return {};
  const size_t letters = input.size() - (elides ? 3 : 0);
  if (letters > input_rank || (!elides && letters != input_rank)) return {};
  e.elided = static_cast<int64_t>(input_rank - letters);
  bool output_left = false, none = false;
  if (!read_axes(input, e.elided, e.input, e.elided_left) ||
      !read_axes(kernel, 0, e.kernel, none) ||
      !read_axes(output, e.elided, e.output, output_left) || output_left != e.elided_left)
    return {};
  return e;
}

bool has(const std::string& axes, char axis) {
  return axes.find(axis) != std::string::npos;
}

/// Axes of an operand by what becomes of them.
struct Roles {
  std::string both;      ///< of input, kernel and result
  std::string summed;    ///< of input and kernel
  std::string kept;      ///< of input and result
  std::string appended;  ///< of kernel and result
};

/// Nothing where an axis is in one operand only, or the batch is not kept in front.
std::optional<Roles> roles_of(const Equation& e) {
  Roles roles;
  for (const char axis : e.input) {
    const bool in_kernel = has(e.kernel, axis), in_output = has(e.output, axis);
    if (!in_kernel && !in_output) return {};
    (in_kernel ? in_output ? roles.both : roles.summed : roles.kept) += axis;
  }
  for (const char axis : e.kernel) {
    if (has(e.input, axis)) continue;
    if (!has(e.output, axis)) return {};
    roles.appended += axis;
  }
  for (const char axis : e.output) {
    if (!has(e.input, axis) && !has(e.kernel, axis)) return {};
  }
  const bool batch_first = !e.input.empty() && !e.output.empty() &&
                           e.input.front() == e.output.front() && has(roles.kept, e.input.front());
  return batch_first ? std::optional(roles) : std::nullopt;
}

/// Extents of all axes of the result: those that the input has, and those of "output_shape".
bool infer_output(LayerInferArgs& a, const Equation& e, Ints& output) {
  const Ints& written = a.options().ints("output_shape");
  const size_t elided = static_cast<size_t>(e.elided);
  // The axes that are written: the letters, without the batch where it is one of them.
  const std::string letters =
      e.elided_left ? e.output.substr(elided) : e.output.substr(1, e.output.size() - 1 - elided);
  for (const char axis : e.output) {
    const size_t in_input = e.input.find(axis);
    const int64_t extent = in_input == std::string::npos ? -1
                           : in_input == 0               ? a.batch_size
                                                         : a.shape()[in_input - 1];
    const size_t at = letters.find(axis);
    const int64_t given = at == std::string::npos || at >= written.size() ? -1 : written[at];
    output.push_back(extent > 0 ? extent : given);
    const bool differs = extent > 0 && given != -1 && given != extent;
    if (written.size() == letters.size() && output.back() > 0 && !differs) continue;
    return a.mismatch("has output_shape {}, which does not fit equation \"{}\" for its input {}",
                      shape_text(written), a.options().text("equation"), to_string(a.inputs[0]));
  }
  return true;
}

/// The bias has the axes from the first of bias_axes on; those that are not named are 1.
bool infer_bias(LayerInferArgs& a, const Equation& e, const Ints& output) {
  if (!a.options().has("bias_axes")) return true;
  const std::string& axes = a.options().text("bias_axes");
  size_t first = std::string::npos;
  for (const char axis : axes) {
    const size_t at = axis < 'A' ? std::string::npos : e.output.find(axis);
    if (at == std::string::npos || at == 0)
      return a.mismatch("has bias_axes \"{}\", of which the result has no \"{}\"", axes, axis);
    first = std::min(first, at);
  }
  if (first == std::string::npos) return a.mismatch("has bias_axes without an axis");
  Ints shape;
  for (size_t i = first; i < e.output.size(); ++i)
    shape.push_back(has(axes, e.output[i]) ? output[i] : 1);
  a.parameter("bias", shape);
  return true;
}

bool infer_einsum(LayerInferArgs& a) {
  const std::string& text = a.options().text("equation");
  const auto e = read_equation(text, a.shape().size() + 1);
  if (!e || !roles_of(*e)) {
    a.sink
        .error(DiagKind::kShapeMismatch, a.option_place("equation"),
               "{} has the equation \"{}\", which does not fit its input {}", a.who(), text,
               to_string(a.inputs[0]))
        .with_note(
            "input,kernel->result; every axis is a letter that stands in two of them or in all, "
            "... "
            "stands for any number of axes of input and result; the batch is the first axis of "
            "both");
    return false;
  }
  Ints output;
  if (!infer_output(a, *e, output)) return false;
  Ints kernel;
  for (const char axis : e->kernel) {
    const size_t at = e->input.find(axis);
    kernel.push_back(at == std::string::npos ? output[e->output.find(axis)] : a.shape()[at - 1]);
  }
  a.parameter("kernel", kernel);
  if (!infer_bias(a, *e, output)) return false;
  a.output.shape = {output.begin() + 1, output.end()};
  return infer_activated(a);
}

/// x with its axes in the order of the groups, each group merged into one.
Val grouped(Val x, const std::string& axes, std::initializer_list<std::string> groups) {
  Ints perm, merged;
  for (const std::string& group : groups) {
    merged.push_back(1);
    for (const char axis : group) {
      perm.push_back(static_cast<int64_t>(axes.find(axis)));
      merged.back() *= x.shape()[static_cast<int>(perm.back())];
    }
  }
  return reshape(transpose(x, perm), Shape(merged));
}

Val build_einsum(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Equation e = *read_equation(options.text("equation"), a.example_shape().size() + 1);
  const Roles roles = *roles_of(e);
  const Val kernel = a.parameter("kernel");
  const Val product = matmul(grouped(a.in(), e.input, {roles.both, roles.kept, roles.summed}),
                             grouped(kernel, e.kernel, {roles.both, roles.summed, roles.appended}));
  const std::string made = roles.both + roles.kept + roles.appended;
  Ints apart, perm;
  for (const char axis : made) {
    const size_t at = e.input.find(axis);
    apart.push_back(at == std::string::npos ? kernel.shape()[static_cast<int>(e.kernel.find(axis))]
                                            : a.in().shape()[static_cast<int>(at)]);
  }
  for (const char axis : e.output)
    perm.push_back(static_cast<int64_t>(made.find(axis)));
  Val y = transpose(reshape(product, Shape(apart)), perm);
  if (options.has("bias_axes")) y = y + broadcast_to(a.parameter("bias"), y.shape());
  return apply_activation(options.component("activation"), y);
}

}  // namespace

extern constinit const LayerDef kEinsumDense{
    .base = {.type = "einsum_dense",
             .summary = "activation(product of input and kernel by an equation + bias).",
             .options = kEinsumOptions},
    .infer = infer_einsum,
    .build = build_einsum,
};

}  // namespace gradc::layers
