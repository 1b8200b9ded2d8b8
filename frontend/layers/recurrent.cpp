// Recurrent layers over [batch, steps, features]: simple_rnn, lstm, gru. What depends on the input
// alone is computed for all steps before the loop. Formulas and the order of gates are Keras's
// (keras/src/layers/rnn).
#include "frontend/layers/keep_mask.h"
#include "frontend/layers/loop_body.h"

namespace gradc::layers {
namespace {

constexpr OptionDef flag(std::string_view name, std::string_view initial, std::string_view doc) {
  return {.name = name, .type = OptionType::kBool, .default_json = initial, .doc = doc};
}
constexpr OptionDef rate(std::string_view name, std::string_view doc) {
  return {.name = name,
          .type = OptionType::kFloat,
          .default_json = "0",
          .doc = doc,
          .min = 0,
          .max = 1,
          .below_max = true};
}
constexpr OptionDef activation(std::string_view name, std::string_view initial,
                               std::string_view doc) {
  return {.name = name,
          .type = OptionType::kComponent,
          .default_json = initial,
          .doc = doc,
          .or_null = true,
          .family = Family::kActivation};
}
constexpr OptionDef kUnits = {
    .name = "units", .type = OptionType::kInt, .doc = "size of the state", .min = 1};
constexpr OptionDef kActivation = activation("activation", "\"tanh\"", "applied to what is new");
constexpr OptionDef kRecurrentActivation =
    activation("recurrent_activation", "\"sigmoid\"", "applied to the gates");

#define GRADC_RECURRENT_OPTIONS                                                                \
  GRADC_INITIALIZER("kernel_initializer", "glorot_uniform"),                                   \
      GRADC_INITIALIZER("recurrent_initializer", "orthogonal"),                                \
      GRADC_INITIALIZER("bias_initializer", "zeros"), GRADC_REGULARIZER("kernel_regularizer"), \
      GRADC_REGULARIZER("recurrent_regularizer"), GRADC_REGULARIZER("bias_regularizer"),       \
      rate("dropout", "share of the input's features that are 0, the same in all steps"),      \
      rate("recurrent_dropout",                                                                \
           "share of the state that the gates do not see, the same in all steps"),             \
      flag("return_sequences", "false", "the state after every step, not only the last"),      \
      flag("return_state", "false", "not supported: a layer has one result"),                  \
      flag("go_backwards", "false",                                                            \
           "from the last step to the first; the result is in that order"),                    \
      flag("stateful", "false", "not supported: every batch starts from zeros"),               \
      flag("unroll", "false", "without effect: steps cost no time of compilation")

constexpr OptionDef kSimpleRnnOptions[] = {
    kUnits,
    kActivation,
    flag("use_bias", "true", "add a trained vector"),
    GRADC_RECURRENT_OPTIONS,
};
constexpr OptionDef kLstmOptions[] = {
    kUnits,
    kActivation,
    kRecurrentActivation,
    flag("use_bias", "true", "add a trained vector"),
    flag("unit_forget_bias", "true", "the forget gate's bias starts at 1"),
    GRADC_RECURRENT_OPTIONS,
};
constexpr OptionDef kGruOptions[] = {
    kUnits,
    kActivation,
    kRecurrentActivation,
    flag("use_bias", "true", "add a trained vector, with reset_after two"),
    flag("reset_after", "true", "the reset gate works on the product with the state"),
    GRADC_RECURRENT_OPTIONS,
};

/// Whether an option is null or an activation that leaves the shape as it is.
bool keeps_shape(LayerInferArgs& a, const char* option) {
  const Component* activation = a.options().component(option);
  if (activation == nullptr) return true;
  const Ints state = {a.options().integer("units")};
  Ints result = state;
  std::string problem;
  if (!infer_activation(*activation, state, result, problem)) return a.mismatch("{}", problem);
  if (result == state) return true;
  return a.mismatch("has {} \"{}\", which makes {} of a state of {}", option,
                    activation->written_type, shape_text(result), shape_text(state));
}

bool unsupported(LayerInferArgs& a, const char* option, const char* why) {
  if (!a.options().flag(option)) return false;
  a.sink.error(DiagKind::kUnsupported, a.option_place(option), "{} has {}: {}", a.who(), option,
               why);
  return true;
}

/// Inputs behind the first are the states that the loop starts from: all of them, or none.
bool infer_initial_states(LayerInferArgs& a, size_t states) {
  if (a.inputs.size() == 1) return true;
  const Ints state = {a.options().integer("units")};
  bool fits = a.inputs.size() == 1 + states;
  for (const TensorSpec& input : a.inputs.subspan(1))
    fits = fits && input.shape == state;
  if (fits) return true;
  std::string seen;
  for (const TensorSpec& input : a.inputs.subspan(1))
    seen += (seen.empty() ? "" : " and ") + to_string(input);
  return a.mismatch("starts from {} state{} of shape {} behind its input, or from zeros; got {}",
                    states, states == 1 ? "" : "s", shape_text(state), seen);
}

/// All but the bias: the inputs, the two matrices of so many gates, and the result.
bool infer_recurrent(LayerInferArgs& a, int64_t gates) {
  if (a.shape().size() != 2) {
    return a.mismatch("needs an input [steps, features] beside the batch, got {}",
                      to_string(a.inputs[0]));
  }
  if (unsupported(a, "return_state", "a layer has one result") ||
      unsupported(a, "stateful", "every batch starts from zeros"))
    return false;
  if (!infer_initial_states(a, gates == 4 ? 2 : 1)) return false;
  if (!keeps_shape(a, "activation")) return false;
  if (a.options().defines("recurrent_activation") && !keeps_shape(a, "recurrent_activation"))
    return false;
  const int64_t units = a.options().integer("units");
  const auto width = checked_product(Ints{gates, units});
  if (!width) return a.mismatch("has {} units, which are too many", units);
  a.parameter("kernel", {a.shape()[1], *width});
  a.parameter("recurrent_kernel", {units, *width}, true, "recurrent");
  a.output.shape = {units};
  if (a.options().flag("return_sequences")) a.output.shape = {a.shape()[0], units};
  a.output_masked = a.input_masked(0) && a.options().flag("return_sequences");
  return true;
}

/// One call: the parts that all recurrent layers share.
class Recurrence {
 public:
  Recurrence(const LayerBuildArgs& a, int64_t gates)
      : a_(a),
        steps_(a.in().shape()[1]),
        units_(a.options().integer("units")),
        gates_(gates),
        body_(a.builder, steps_, a.options().flag("go_backwards")) {}

  bool has_bias() const { return a_.options().flag("use_bias"); }
  Val state(std::string_view hint) {
    const size_t input = states_.size() + 1;
    states_.push_back(body_.carry(input < a_.inputs.size() ? a_.in(input) : zeros(), hint));
    return states_.back();
  }

  /// The slice of x kernel + bias, made for all steps at once. Steps come first.
  Val projected(Val bias) {
    const int64_t features = a_.in().shape()[2];
    Val x = transpose(a_.in(), {1, 0, 2});
    if (const Val mask = dropout("dropout", {a_.batch(), features}); mask.valid())
      x = x * broadcast(mask, x.shape(), {1, 2});
    Val y = matmul(reshape(x, Shape{steps_ * a_.batch(), features}), a_.parameter("kernel"));
    if (bias.valid()) y = y + broadcast(bias, y.shape(), {1});
    const Val slice = body_.slice(reshape(y, Shape{steps_, a_.batch(), gates_ * units_}), "x");
    if (a_.mask.valid()) counts_ = body_.slice(transpose(a_.mask, {1, 0}), "counts");
    return slice;
  }

  Val whole(Val value, std::string_view hint) { return body_.whole(value, hint); }

  /// What the gates see of a state; the mask is the same in all steps.
  Val seen(Val state) {
    const Val mask = dropout("recurrent_dropout", {a_.batch(), units_});
    return mask.valid() ? state * body_.whole(mask, "mask") : state;
  }

  /// Columns of gate `first` up to `last` of all gates.
  Val gate(Val all, int64_t first, int64_t last) const {
    return slice(all, {0, first * units_}, {all.shape()[0], last * units_});
  }
  Val gate(Val all, int64_t number) const { return gate(all, number, number + 1); }

  Val activated(Val x) const { return apply_activation(a_.options().component("activation"), x); }
  Val recurrent_activated(Val x) const {
    return apply_activation(a_.options().component("recurrent_activation"), x);
  }

  /// The loop; the first state is the result. A step that does not count leaves the states as they
  /// are.
  Val run(std::vector<Val> next) {
    const bool sequences = a_.options().flag("return_sequences");
    Val result = next.front();
    if (counts_.valid()) {
      const Val counts = broadcast(counts_, next.front().shape(), {0});
      for (size_t i = 0; i < next.size(); ++i)
        next[i] = select(counts, next[i], states_[i]);
      if (!a_.zero_masked)
        result = next.front();
      else if (sequences)
        result = select(counts, result, 0.0);
    }
    for (const Val& state : next)
      body_.yield(state);
    if (sequences) body_.yield(result);
    const std::vector<Val> results = body_.run();
    if (!sequences) return results.front();
    Val all = results.back();
    if (a_.options().flag("go_backwards")) all = reverse(all, {0});
    return transpose(all, {1, 0, 2});
  }

 private:
  Val zeros() const {
    return a_.builder.splat(0.0, TensorType{a_.in().dtype(), Shape{a_.batch(), units_}});
  }

  Val dropout(const char* option, Ints shape) const {
    return keep_mask(a_, a_.options().number(option), std::move(shape));
  }

  const LayerBuildArgs& a_;
  int64_t steps_;
  int64_t units_;
  int64_t gates_;
  LoopBody body_;
  std::vector<Val> states_;
  Val counts_;  ///< bool[batch]: whether a row's step counts
};

/// The mask of the states after every step.
Val recurrent_mask(const LayerBuildArgs& a) {
  return a.options().flag("go_backwards") ? reverse(a.mask, {1}) : a.mask;
}

bool infer_simple_rnn(LayerInferArgs& a) {
  if (!infer_recurrent(a, 1)) return false;
  if (a.options().flag("use_bias")) a.parameter("bias", {a.options().integer("units")});
  return true;
}

Val build_simple_rnn(const LayerBuildArgs& a) {
  Recurrence r(a, 1);
  const Val h = r.state("h");
  const Val x = r.projected(r.has_bias() ? a.parameter("bias") : Val());
  const Val u = r.whole(a.parameter("recurrent_kernel"), "u");
  return r.run({r.activated(x + matmul(r.seen(h), u))});
}

bool infer_lstm(LayerInferArgs& a) {
  if (!infer_recurrent(a, 4)) return false;
  if (!a.options().flag("use_bias")) return true;
  const int64_t units = a.options().integer("units");
  a.parameter("bias", {4 * units});
  if (!a.options().flag("unit_forget_bias")) return true;
  a.parameters.back().ones_begin = units;
  a.parameters.back().ones_end = 2 * units;
  return true;
}

// Gates: input, forget, candidate, output.
Val build_lstm(const LayerBuildArgs& a) {
  Recurrence r(a, 4);
  const Val h = r.state("h");
  const Val c = r.state("c");
  const Val x = r.projected(r.has_bias() ? a.parameter("bias") : Val());
  const Val u = r.whole(a.parameter("recurrent_kernel"), "u");
  const Val z = x + matmul(r.seen(h), u);
  const Val taken = r.recurrent_activated(r.gate(z, 0)) * r.activated(r.gate(z, 2));
  const Val next = r.recurrent_activated(r.gate(z, 1)) * c + taken;
  return r.run({r.recurrent_activated(r.gate(z, 3)) * r.activated(next), next});
}

bool infer_gru(LayerInferArgs& a) {
  if (!infer_recurrent(a, 3)) return false;
  if (!a.options().flag("use_bias")) return true;
  const int64_t width = 3 * a.options().integer("units");
  a.parameter("bias", a.options().flag("reset_after") ? Ints{2, width} : Ints{width});
  return true;
}

/// One of the two biases of a gru with reset_after: the input's and the state's.
Val bias_row(const LayerBuildArgs& a, int64_t row) {
  const Val both = a.parameter("bias");
  const int64_t width = both.shape()[1];
  return reshape(slice(both, {row, 0}, {row + 1, width}), Shape{width});
}

// Gates: update, reset, candidate. h' = update h + (1 - update) candidate.
Val build_gru(const LayerBuildArgs& a) {
  const bool after = a.options().flag("reset_after");
  Recurrence r(a, 3);
  const Val h = r.state("h");
  Val bias;
  if (r.has_bias()) bias = after ? bias_row(a, 0) : a.parameter("bias");
  const Val x = r.projected(bias);
  const Val u = r.whole(a.parameter("recurrent_kernel"), "u");
  const Val seen = r.seen(h);
  Val product = matmul(seen, after ? u : r.gate(u, 0, 2));
  if (after && r.has_bias()) {
    product = product + broadcast(r.whole(bias_row(a, 1), "recurrent_bias"), product.shape(), {1});
  }
  const Val update = r.recurrent_activated(r.gate(x, 0) + r.gate(product, 0));
  const Val reset = r.recurrent_activated(r.gate(x, 1) + r.gate(product, 1));
  const Val of_state = after ? reset * r.gate(product, 2) : matmul(reset * seen, r.gate(u, 2));
  const Val candidate = r.activated(r.gate(x, 2) + of_state);
  return r.run({update * h + (1.0 - update) * candidate});
}

}  // namespace

extern constinit const LayerDef kSimpleRnn{
    .base = {.type = "simple_rnn",
             .summary = "h' = activation(x kernel + h recurrent_kernel + bias), step by step over "
                        "[steps, features]. Inputs: the steps, and the first h unless zeros.",
             .options = kSimpleRnnOptions},
    .max_inputs = 2,
    .masks = MaskRule::kKnows,
    .infer = infer_simple_rnn,
    .build = build_simple_rnn,
    .build_mask = recurrent_mask,
};

extern constinit const LayerDef kLstm{
    .base = {.type = "lstm",
             .summary = "Long short-term memory over [steps, features]; gates in the order input, "
                        "forget, candidate, output. Inputs: the steps, and the first h and c "
                        "unless zeros.",
             .options = kLstmOptions},
    .max_inputs = 3,
    .masks = MaskRule::kKnows,
    .infer = infer_lstm,
    .build = build_lstm,
    .build_mask = recurrent_mask,
};

extern constinit const LayerDef kGru{
    .base = {.type = "gru",
             .summary = "Gated recurrent unit over [steps, features]; gates in the order update, "
                        "reset, candidate. Inputs: the steps, and the first h unless zeros.",
             .options = kGruOptions},
    .max_inputs = 2,
    .masks = MaskRule::kKnows,
    .infer = infer_gru,
    .build = build_gru,
    .build_mask = recurrent_mask,
};

}  // namespace gradc::layers
