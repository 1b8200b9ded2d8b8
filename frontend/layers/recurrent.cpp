// Recurrent layers over [batch, steps, features]: simple_rnn, lstm, gru, and rnn of any cells, one
// above the other. What depends on the input alone is computed for all steps before the loop.
#include "frontend/layers/cells.h"
#include "frontend/layers/keep_mask.h"
#include "frontend/layers/step_loop.h"

#include <set>

namespace gradc::layers {
namespace {

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

/// The states of all cells, in order.
std::vector<LoopState> states_of(const std::vector<CellSize>& cells) {
  std::vector<LoopState> states;
  for (size_t c = 0; c < cells.size(); ++c) {
    for (size_t i = 0; i < cells[c].kind->states; ++i)
      states.push_back({state_name(c, i), {cells[c].units}});
  }
  return states;
}

bool infer_cells(LayerInferArgs& a, const std::vector<CellSize>& cells) {
  return infer_loop(a, states_of(cells), {cells.back().units});
}

bool infer_layer(LayerInferArgs& a, const CellKind& kind) {
  return takes_steps(a) && infer_cell(a, kind, a.shape()[1]) &&
         infer_cells(a, {{&kind, a.options().integer("units")}});
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
  return infer_cells(a, sizes);
}

// ---- graph --------------------------------------------------------------------------------------

/// A cell with what it builds itself from.
struct CellUse {
  const CellKind* kind;
  LayerBuildArgs args;
};

std::vector<LoopState> states_of(std::span<const CellUse> cells) {
  std::vector<CellSize> sizes;
  for (const CellUse& use : cells)
    sizes.push_back({use.kind, use.args.options().integer("units")});
  return states_of(sizes);
}

/// x kernel + bias of the first cell, made for all steps at once: [steps, batch, units of gates].
Val projected(const LayerBuildArgs& a, const CellUse& first) {
  const Val bias = first.kind->input_bias(first.args);
  const int64_t features = a.in().shape()[2];
  Val x = steps_first(a.in());
  const Val mask =
      keep_mask(first.args, first.args.options().number("dropout"), {a.batch(), features});
  if (mask.valid()) x = x * broadcast(mask, x.shape(), {1, 2});
  const int64_t steps = x.shape()[0];
  Val y = matmul(reshape(x, Shape{steps * a.batch(), features}), first.args.parameter("kernel"));
  if (bias.valid()) y = y + broadcast(bias, y.shape(), {1});
  return reshape(y, Shape{steps, a.batch(), y.shape()[1]});
}

/// The loop around its cells.
Val repeated(const LayerBuildArgs& a, std::span<const CellUse> cells) {
  StepLoop loop(a, states_of(cells));
  Val x = loop.slice(projected(a, cells.front()), "x");
  std::vector<Val> next;
  for (const CellUse& use : cells) {
    const Cell cell{use.args,
                    [&](Val value, std::string_view hint) { return loop.whole(value, hint); }};
    if (!next.empty()) x = cell.projected(x, use.kind->input_bias(use.args));
    const std::vector<Val> stepped =
        use.kind->step(cell, x, loop.states().subspan(next.size(), use.kind->states));
    x = stepped.front();
    next.insert(next.end(), stepped.begin(), stepped.end());
  }
  const size_t given = next.size() - cells.back().kind->states;
  return loop.run(std::move(next), given);
}

Val build_layer(const LayerBuildArgs& a, const CellKind& kind) {
  const CellUse cell{&kind, a};
  return repeated(a, std::span(&cell, 1));
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
  return repeated(a, cells);
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
