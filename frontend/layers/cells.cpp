// Formulas and the order of gates are Keras's (keras/src/layers/rnn).
#include "frontend/layers/cells.h"

#include "frontend/layers/keep_mask.h"
#include "frontend/layers/step_loop.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kSimpleRnnCellOptions[] = {GRADC_SIMPLE_RNN_OPTIONS, GRADC_CELL_OPTIONS};
constexpr OptionDef kLstmCellOptions[] = {GRADC_LSTM_OPTIONS, GRADC_CELL_OPTIONS};
constexpr OptionDef kGruCellOptions[] = {GRADC_GRU_OPTIONS, GRADC_CELL_OPTIONS};

Val drop(const LayerBuildArgs& a, const char* option, int64_t width) {
  return keep_mask(a, a.options().number(option), {a.batch(), width});
}

Val whole_bias(const LayerBuildArgs& a) {
  return a.options().flag("use_bias") ? a.parameter("bias") : Val();
}

// ---- simple_rnn ---------------------------------------------------------------------------------

std::vector<Val> simple_rnn_step(const Cell& cell, Val x, std::span<const Val> states) {
  const Val u = cell.whole(cell.a.parameter("recurrent_kernel"), "u");
  return {cell.activated(x + matmul(cell.seen(states[0]), u))};
}

// ---- lstm: gates input, forget, candidate, output -----------------------------------------------

void infer_lstm_bias(LayerInferArgs& a) {
  const int64_t units = a.options().integer("units");
  a.parameter("bias", {4 * units});
  if (!a.options().flag("unit_forget_bias")) return;
  a.parameters.back().ones_begin = units;
  a.parameters.back().ones_end = 2 * units;
}

std::vector<Val> lstm_step(const Cell& cell, Val x, std::span<const Val> states) {
  const Val u = cell.whole(cell.a.parameter("recurrent_kernel"), "u");
  const Val z = x + matmul(cell.seen(states[0]), u);
  const Val taken = cell.recurrent_activated(cell.gate(z, 0)) * cell.activated(cell.gate(z, 2));
  const Val next = cell.recurrent_activated(cell.gate(z, 1)) * states[1] + taken;
  return {cell.recurrent_activated(cell.gate(z, 3)) * cell.activated(next), next};
}

// ---- gru: gates update, reset, candidate; h' = update h + (1 - update) candidate ----------------

void infer_gru_bias(LayerInferArgs& a) {
  const int64_t width = 3 * a.options().integer("units");
  a.parameter("bias", a.options().flag("reset_after") ? Ints{2, width} : Ints{width});
}

/// One of the two biases with reset_after: the input's and the state's.
Val bias_row(const LayerBuildArgs& a, int64_t row) {
  const Val both = a.parameter("bias");
  const int64_t width = both.shape()[1];
  return reshape(slice(both, {row, 0}, {row + 1, width}), Shape{width});
}

Val gru_input_bias(const LayerBuildArgs& a) {
  if (!a.options().flag("use_bias")) return {};
  return a.options().flag("reset_after") ? bias_row(a, 0) : a.parameter("bias");
}

std::vector<Val> gru_step(const Cell& cell, Val x, std::span<const Val> states) {
  const bool after = cell.a.options().flag("reset_after");
  const Val h = states[0];
  const Val u = cell.whole(cell.a.parameter("recurrent_kernel"), "u");
  const Val seen = cell.seen(h);
  Val product = matmul(seen, after ? u : cell.gate(u, 0, 2));
  if (after && cell.a.options().flag("use_bias")) {
    const Val bias = cell.whole(bias_row(cell.a, 1), "recurrent_bias");
    product = product + broadcast(bias, product.shape(), {1});
  }
  const Val update = cell.recurrent_activated(cell.gate(x, 0) + cell.gate(product, 0));
  const Val reset = cell.recurrent_activated(cell.gate(x, 1) + cell.gate(product, 1));
  const Val of_state =
      after ? reset * cell.gate(product, 2) : matmul(reset * seen, cell.gate(u, 2));
  const Val candidate = cell.activated(cell.gate(x, 2) + of_state);
  return {update * h + (1.0 - update) * candidate};
}

// ---- one step as a layer ------------------------------------------------------------------------

bool infer_step(LayerInferArgs& a, const CellKind& kind) {
  if (a.shape().size() != 1) {
    return a.mismatch("makes one step from an input [features] beside the batch, got {}",
                      to_string(a.inputs[0]));
  }
  const int64_t units = a.options().integer("units");
  if (!fits_states(a, std::vector<Ints>(kind.states, {units}))) return false;
  if (!infer_cell(a, kind, a.shape()[0])) return false;
  a.output.shape = {units};
  for (size_t i = 1; i < kind.states; ++i)
    a.result(kStateNames[i], {units});
  return true;
}

Val build_step(const LayerBuildArgs& a, const CellKind& kind) {
  const Cell cell{a, [](Val value, std::string_view) { return value; }};
  const Val x = cell.projected(a.in(), kind.input_bias(a));
  const std::vector<Val> next = kind.step(cell, x, a.inputs.subspan(1));
  for (size_t i = 1; i < next.size(); ++i)
    a.give(kStateNames[i], next[i]);
  return next.front();
}

}  // namespace

extern constinit const CellKind kSimpleRnnKind{
    .gates = 1,
    .states = 1,
    .infer_bias = [](LayerInferArgs& a) { a.parameter("bias", {a.options().integer("units")}); },
    .input_bias = whole_bias,
    .step = simple_rnn_step};
extern constinit const CellKind kLstmKind{.gates = 4,
                                          .states = 2,
                                          .infer_bias = infer_lstm_bias,
                                          .input_bias = whole_bias,
                                          .step = lstm_step};
extern constinit const CellKind kGruKind{.gates = 3,
                                         .states = 1,
                                         .infer_bias = infer_gru_bias,
                                         .input_bias = gru_input_bias,
                                         .step = gru_step};

Val Cell::gate(Val all, int64_t first, int64_t last) const {
  return slice(all, {0, first * units()}, {all.shape()[0], last * units()});
}
Val Cell::activated(Val x) const {
  return apply_activation(a.options().component("activation"), x);
}
Val Cell::recurrent_activated(Val x) const {
  return apply_activation(a.options().component("recurrent_activation"), x);
}
Val Cell::seen(Val state) const {
  const Val mask = drop(a, "recurrent_dropout", units());
  return mask.valid() ? state * whole(mask, "mask") : state;
}
Val Cell::projected(Val x, Val bias) const {
  if (const Val mask = drop(a, "dropout", x.shape()[1]); mask.valid())
    x = x * whole(mask, "input_mask");
  const Val y = matmul(x, whole(a.parameter("kernel"), "kernel"));
  return bias.valid() ? y + broadcast(whole(bias, "bias"), y.shape(), {1}) : y;
}

bool keeps_shape(LayerInferArgs& a, const char* option, const Ints& state) {
  const Component* activation = a.options().component(option);
  if (activation == nullptr) return true;
  Ints result = state;
  std::string problem;
  if (!infer_activation(*activation, state, result, problem)) return a.mismatch("{}", problem);
  if (result == state) return true;
  return a.mismatch("has {} \"{}\", which makes {} of a state of {}", option,
                    activation->written_type, shape_text(result), shape_text(state));
}

bool infer_cell(LayerInferArgs& a, const CellKind& kind, int64_t features) {
  const int64_t units = a.options().integer("units");
  if (!keeps_shape(a, "activation", {units})) return false;
  if (a.options().defines("recurrent_activation") &&
      !keeps_shape(a, "recurrent_activation", {units}))
    return false;
  const auto width = checked_product(Ints{kind.gates, units});
  if (!width) return a.mismatch("has {} units, which are too many", units);
  a.parameter("kernel", {features, *width});
  a.parameter("recurrent_kernel", {units, *width}, true, "recurrent");
  if (a.options().flag("use_bias")) kind.infer_bias(a);
  return true;
}

extern constinit const LayerDef kSimpleRnnCell{
    .base = {.type = "simple_rnn_cell",
             .summary = "One step of simple_rnn over [features]: a cell of rnn, or by itself. "
                        "Inputs: the step's features, and h.",
             .options = kSimpleRnnCellOptions},
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = [](LayerInferArgs& a) { return infer_step(a, kSimpleRnnKind); },
    .build = [](const LayerBuildArgs& a) { return build_step(a, kSimpleRnnKind); },
};

extern constinit const LayerDef kLstmCell{
    .base = {.type = "lstm_cell",
             .summary = "One step of lstm over [features]: a cell of rnn, or by itself; then its "
                        "next c is the result NAME.state_c. Inputs: the step's features, h and c.",
             .options = kLstmCellOptions},
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = [](LayerInferArgs& a) { return infer_step(a, kLstmKind); },
    .build = [](const LayerBuildArgs& a) { return build_step(a, kLstmKind); },
};

extern constinit const LayerDef kGruCell{
    .base = {.type = "gru_cell",
             .summary = "One step of gru over [features]: a cell of rnn, or by itself. Inputs: the "
                        "step's features, and h.",
             .options = kGruCellOptions},
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = [](LayerInferArgs& a) { return infer_step(a, kGruKind); },
    .build = [](const LayerBuildArgs& a) { return build_step(a, kGruKind); },
};

const CellKind* cell_kind(const LayerDef& def) {
  if (&def == &kSimpleRnnCell) return &kSimpleRnnKind;
  if (&def == &kLstmCell) return &kLstmKind;
  return &def == &kGruCell ? &kGruKind : nullptr;
}

}  // namespace gradc::layers
