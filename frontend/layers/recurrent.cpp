// Recurrent layers over [batch, steps, features]: simple_rnn, lstm, gru, and rnn of any cells, one
// above the other. What depends on the input alone is computed for all steps before the loop.
#include "frontend/layers/cells.h"
#include "frontend/layers/keep_mask.h"
#include "frontend/layers/loop_body.h"

#include <set>

namespace gradc::layers {
namespace {

#define GRADC_LOOP_OPTIONS                                                                      \
  flag("return_sequences", "false", "the state after every step, not only the last"),           \
      flag("return_state", "false",                                                             \
           "the last states are results too: NAME.state_h, and of an lstm NAME.state_c"),       \
      flag("go_backwards", "false",                                                             \
           "from the last step to the first; the result is in that order"),                     \
      flag("stateful", "false",                                                                 \
           "a batch starts from the last states of the one before, each example from its own"), \
      flag("unroll", "false", "without effect: steps cost no time of compilation")

constexpr OptionDef kSimpleRnnOptions[] = {GRADC_SIMPLE_RNN_OPTIONS, GRADC_CELL_OPTIONS,
                                           GRADC_ACTIVITY_REGULARIZER, GRADC_LOOP_OPTIONS};
constexpr OptionDef kLstmOptions[] = {GRADC_LSTM_OPTIONS, GRADC_CELL_OPTIONS,
                                      GRADC_ACTIVITY_REGULARIZER, GRADC_LOOP_OPTIONS};
constexpr OptionDef kGruOptions[] = {GRADC_GRU_OPTIONS, GRADC_CELL_OPTIONS,
                                     GRADC_ACTIVITY_REGULARIZER, GRADC_LOOP_OPTIONS};
constexpr OptionDef kRnnOptions[] = {
    {.name = "cell",
     .type = OptionType::kLayers,
     .doc = "a cell, or a list of them: each takes the result of the one before"},
    GRADC_LOOP_OPTIONS,
};

// ---- shapes -------------------------------------------------------------------------------------

/// "state_h", and of further cells "state_h_1".
std::string state_name(size_t cell, size_t state) {
  const std::string name(kStateNames[state]);
  return cell == 0 ? name : fmt::format("{}_{}", name, cell);
}

/// A cell in a loop: its kind and its units.
struct CellSize {
  const CellKind* kind;
  int64_t units;
};

bool takes_steps(LayerInferArgs& a) {
  if (a.shape().size() == 2) return true;
  return a.mismatch("needs an input [steps, features] beside the batch, got {}",
                    to_string(a.inputs[0]));
}

/// The states that the loop starts from, its results and what it carries.
bool infer_loop(LayerInferArgs& a, const std::vector<CellSize>& cells) {
  std::vector<int64_t> widths;
  for (const CellSize& cell : cells)
    widths.insert(widths.end(), cell.kind->states, cell.units);
  if (a.inputs.size() > 1 && !fits_states(a, widths)) return false;
  const bool sequences = a.options().flag("return_sequences");
  a.output.shape = {cells.back().units};
  if (sequences) a.output.shape.insert(a.output.shape.begin(), a.shape()[0]);
  a.output_masked = a.input_masked(0) && sequences;
  for (size_t c = 0; c < cells.size(); ++c) {
    for (size_t i = 0; i < cells[c].kind->states; ++i) {
      if (a.options().flag("return_state")) a.result(state_name(c, i), {cells[c].units});
      if (a.options().flag("stateful")) a.carry(state_name(c, i), {cells[c].units});
    }
  }
  return true;
}

bool infer_layer(LayerInferArgs& a, const CellKind& kind) {
  return takes_steps(a) && infer_cell(a, kind, a.shape()[1]) &&
         infer_loop(a, {{&kind, a.options().integer("units")}});
}

/// What stands before the names of each cell's parameters: "lstm_cell/", "lstm_cell_1/".
std::vector<std::string> cell_prefixes(const Options& options) {
  std::vector<std::string> prefixes;
  std::set<std::string> taken;
  for (const auto& cell : options.layers("cell")) {
    std::string name = cell->name;
    for (int n = 1; !taken.insert(name).second; ++n)
      name = fmt::format("{}_{}", cell->name, n);
    prefixes.push_back(name + "/");
  }
  return prefixes;
}

bool infer_rnn(LayerInferArgs& a) {
  if (!takes_steps(a)) return false;
  const std::vector<std::string> prefixes = cell_prefixes(a.options());
  std::vector<CellSize> sizes;
  int64_t features = a.shape()[1];
  for (size_t c = 0; c < prefixes.size(); ++c) {
    Layer cell = *a.options().layers("cell")[c];
    const CellKind* kind = cell_kind(*cell.def);
    if (kind == nullptr) {
      a.sink
          .error(DiagKind::kUnsupported, cell.place, "{} repeats cells, but \"{}\" is none",
                 a.who(), cell.component.written_type)
          .with_help("the cells are simple_rnn_cell, lstm_cell and gru_cell");
      return false;
    }
    cell.policy = a.layer.policy;
    LayerInferArgs inner{.layer = cell,
                         .inputs = a.inputs,
                         .sink = a.sink,
                         .place = cell.place,
                         .batch_size = a.batch_size,
                         .output = {},
                         .parameters = {}};
    if (!infer_cell(inner, *kind, features)) return false;
    for (ParameterSpec& spec : inner.parameters) {
      spec.name = prefixes[c] + spec.name;
      spec.trainable = spec.trainable && a.layer.trainable;
      a.parameters.push_back(std::move(spec));
    }
    features = cell.component.options.integer("units");
    sizes.push_back({kind, features});
  }
  return infer_loop(a, sizes);
}

// ---- graph --------------------------------------------------------------------------------------

/// A cell with what it builds itself from.
struct CellUse {
  const CellKind* kind;
  LayerBuildArgs args;
};

/// One call: the loop around its cells.
class Recurrence {
 public:
  Recurrence(const LayerBuildArgs& a, std::span<const CellUse> cells)
      : a_(a),
        cells_(cells),
        steps_(a.in().shape()[1]),
        body_(a.builder, steps_, a.options().flag("go_backwards")) {}

  Val run() {
    for (size_t c = 0; c < cells_.size(); ++c) {
      for (size_t i = 0; i < cells_[c].kind->states; ++i)
        states_.push_back(body_.carry(first_state(c, i), i == 0 ? "h" : "c"));
    }
    Val x = projected();
    std::vector<Val> next;
    for (size_t c = 0; c < cells_.size(); ++c) {
      const CellUse& use = cells_[c];
      const Cell cell{
          use.args, [this](Val value, std::string_view hint) { return body_.whole(value, hint); }};
      if (c > 0) x = cell.projected(x, use.kind->input_bias(use.args));
      const auto states = std::span(states_).subspan(next.size(), use.kind->states);
      const std::vector<Val> stepped = use.kind->step(cell, x, states);
      x = stepped.front();
      next.insert(next.end(), stepped.begin(), stepped.end());
    }
    return loop(std::move(next), x);
  }

 private:
  /// The given one, or that of the batch before, or zeros.
  Val first_state(size_t cell, size_t state) const {
    const size_t input = states_.size() + 1;
    if (input < a_.inputs.size()) return a_.in(input);
    if (a_.options().flag("stateful")) return a_.parameter(state_name(cell, state));
    const int64_t units = cells_[cell].args.options().integer("units");
    return a_.builder.splat(0.0, TensorType{a_.in().dtype(), Shape{a_.batch(), units}});
  }

  /// The slice of x kernel + bias of the first cell, made for all steps at once. Steps come first.
  Val projected() {
    const LayerBuildArgs& cell = cells_.front().args;
    const Val bias = cells_.front().kind->input_bias(cell);
    const int64_t features = a_.in().shape()[2];
    Val x = transpose(a_.in(), {1, 0, 2});
    const Val mask = keep_mask(cell, cell.options().number("dropout"), {a_.batch(), features});
    if (mask.valid()) x = x * broadcast(mask, x.shape(), {1, 2});
    Val y = matmul(reshape(x, Shape{steps_ * a_.batch(), features}), cell.parameter("kernel"));
    if (bias.valid()) y = y + broadcast(bias, y.shape(), {1});
    const Val slice = body_.slice(reshape(y, Shape{steps_, a_.batch(), y.shape()[1]}), "x");
    if (a_.mask.valid()) counts_ = body_.slice(transpose(a_.mask, {1, 0}), "counts");
    return slice;
  }

  /// A step that does not count leaves the states as they are.
  Val loop(std::vector<Val> next, Val result) {
    const bool sequences = a_.options().flag("return_sequences");
    size_t last = next.size() - cells_.back().kind->states;
    if (counts_.valid()) {
      for (size_t i = 0; i < next.size(); ++i)
        next[i] = select(broadcast(counts_, next[i].shape(), {0}), next[i], states_[i]);
      if (!a_.zero_masked)
        result = next[last];
      else if (sequences)
        result = select(broadcast(counts_, result.shape(), {0}), result, 0.0);
    }
    for (const Val& state : next)
      body_.yield(state);
    if (sequences) body_.yield(result);
    const std::vector<Val> results = body_.run();
    keep(results);
    if (!sequences) return results[last];
    Val all = results.back();
    if (a_.options().flag("go_backwards")) all = reverse(all, {0});
    return transpose(all, {1, 0, 2});
  }

  void keep(const std::vector<Val>& last) const {
    size_t next = 0;
    for (size_t c = 0; c < cells_.size(); ++c) {
      for (size_t i = 0; i < cells_[c].kind->states; ++i, ++next) {
        if (a_.options().flag("return_state")) a_.give(state_name(c, i), last[next]);
        if (a_.options().flag("stateful")) a_.update_state(state_name(c, i), last[next]);
      }
    }
  }

  const LayerBuildArgs& a_;
  std::span<const CellUse> cells_;
  int64_t steps_;
  LoopBody body_;
  std::vector<Val> states_;
  Val counts_;  ///< bool[batch]: whether a row's step counts
};

Val build_layer(const LayerBuildArgs& a, const CellKind& kind) {
  const CellUse cell{&kind, a};
  return Recurrence(a, std::span(&cell, 1)).run();
}

Val build_rnn(const LayerBuildArgs& a) {
  std::vector<Layer> layers;
  for (const auto& cell : a.options().layers("cell")) {
    layers.push_back(*cell);
    layers.back().policy = a.layer.policy;
  }
  const std::vector<std::string> prefixes = cell_prefixes(a.options());
  std::vector<CellUse> cells;
  for (size_t c = 0; c < layers.size(); ++c) {
    LayerBuildArgs inner{.layer = layers[c], .inputs = a.inputs, .builder = a.builder};
    inner.training = a.training;
    inner.seed = a.seed;
    inner.iteration = a.iteration;
    inner.next_stream = a.next_stream;
    inner.parameter = [&a, prefix = prefixes[c]](std::string_view name) {
      return a.parameter(prefix + std::string(name));
    };
    cells.push_back({cell_kind(*layers[c].def), std::move(inner)});
  }
  return Recurrence(a, cells).run();
}

/// The mask of the states after every step.
Val recurrent_mask(const LayerBuildArgs& a) {
  return a.options().flag("go_backwards") ? reverse(a.mask, {1}) : a.mask;
}

}  // namespace

extern constinit const LayerDef kSimpleRnn{
    .base = {.type = "simple_rnn",
             .summary = "h' = activation(x kernel + h recurrent_kernel + bias), step by step over "
                        "[steps, features]. Inputs: the steps, and the first h unless zeros.",
             .options = kSimpleRnnOptions},
    .max_inputs = 2,
    .masks = MaskRule::kKnows,
    .infer = [](LayerInferArgs& a) { return infer_layer(a, kSimpleRnnKind); },
    .build = [](const LayerBuildArgs& a) { return build_layer(a, kSimpleRnnKind); },
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
    .infer = [](LayerInferArgs& a) { return infer_layer(a, kLstmKind); },
    .build = [](const LayerBuildArgs& a) { return build_layer(a, kLstmKind); },
    .build_mask = recurrent_mask,
};

extern constinit const LayerDef kGru{
    .base = {.type = "gru",
             .summary = "Gated recurrent unit over [steps, features]; gates in the order update, "
                        "reset, candidate. Inputs: the steps, and the first h unless zeros.",
             .options = kGruOptions},
    .max_inputs = 2,
    .masks = MaskRule::kKnows,
    .infer = [](LayerInferArgs& a) { return infer_layer(a, kGruKind); },
    .build = [](const LayerBuildArgs& a) { return build_layer(a, kGruKind); },
    .build_mask = recurrent_mask,
};

extern constinit const LayerDef kRnn{
    .base = {.type = "rnn",
             .summary = "A cell over the steps of [steps, features], or several, each above the "
                        "one before. Inputs: the steps, and the first states of all cells unless "
                        "zeros. Parameters are called <cell>/kernel, ..., of equal cells "
                        "<cell>_1/kernel; states of return_state NAME.state_h, of further cells "
                        "NAME.state_h_1.",
             .options = kRnnOptions},
    .max_inputs = -1,
    .masks = MaskRule::kKnows,
    .infer = infer_rnn,
    .build = build_rnn,
    .build_mask = recurrent_mask,
};

}  // namespace gradc::layers
