// Cells: what a recurrence does at one step. simple_rnn, lstm, gru and rnn repeat them over the
// steps (recurrent.cpp); as layers of their own they do one.
#pragma once

#include "frontend/layer_def.h"

#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace gradc::layers {

/// A cell at work: its options and parameters, and how a value of the outside is seen where it
/// computes, in the body of a loop or not.
struct Cell {
  const LayerBuildArgs& a;
  std::function<Val(Val, std::string_view)> whole;

  int64_t units() const { return a.options().integer("units"); }
  /// Columns of gate `first` up to `last` of all gates.
  Val gate(Val all, int64_t first, int64_t last) const;
  Val gate(Val all, int64_t number) const { return gate(all, number, number + 1); }
  Val activated(Val x) const;
  Val recurrent_activated(Val x) const;
  /// What the gates see of a state; the mask is the same in all steps.
  Val seen(Val state) const;
  /// x kernel + bias for one step.
  Val projected(Val x, Val bias) const;
};

struct CellKind {
  int64_t gates = 1;
  size_t states = 1;
  void (*infer_bias)(LayerInferArgs&) = nullptr;
  /// What is added to x kernel; empty without a bias.
  Val (*input_bias)(const LayerBuildArgs&) = nullptr;
  /// The next states from x kernel + bias and the states; the first is the result.
  std::vector<Val> (*step)(const Cell&, Val x, std::span<const Val> states) = nullptr;
};

extern const CellKind kSimpleRnnKind, kLstmKind, kGruKind;
/// The kind of a cell layer; null for other layers.
const CellKind* cell_kind(const LayerDef& def);

/// Declares the parameters of a cell for inputs of so many features; false after a report.
bool infer_cell(LayerInferArgs& a, const CellKind& kind, int64_t features);
/// Whether an option is null or an activation that leaves a state's shape as it is.
bool keeps_shape(LayerInferArgs& a, const char* option, const Ints& state);

// ---- options ------------------------------------------------------------------------------------

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
inline constexpr OptionDef kUnits = {
    .name = "units", .type = OptionType::kInt, .doc = "size of the state", .min = 1};
inline constexpr OptionDef kActivation =
    activation("activation", "\"tanh\"", "applied to what is new");
inline constexpr OptionDef kRecurrentActivation =
    activation("recurrent_activation", "\"sigmoid\"", "applied to the gates");

#define GRADC_SIMPLE_RNN_OPTIONS \
  kUnits, kActivation, flag("use_bias", "true", "add a trained vector")
#define GRADC_LSTM_OPTIONS                                                                     \
  kUnits, kActivation, kRecurrentActivation, flag("use_bias", "true", "add a trained vector"), \
      flag("unit_forget_bias", "true", "the forget gate's bias starts at 1")
#define GRADC_GRU_OPTIONS                                                     \
  kUnits, kActivation, kRecurrentActivation,                                  \
      flag("use_bias", "true", "add a trained vector, with reset_after two"), \
      flag("reset_after", "true", "the reset gate works on the product with the state")
#define GRADC_CELL_OPTIONS                                                                \
  GRADC_INITIALIZER("kernel_initializer", "glorot_uniform"),                              \
      GRADC_INITIALIZER("recurrent_initializer", "orthogonal"),                           \
      GRADC_INITIALIZER("bias_initializer", "zeros"), GRADC_REGULATED("kernel"),          \
      GRADC_REGULATED("recurrent"), GRADC_REGULATED("bias"),                              \
      rate("dropout", "share of the input's features that are 0, the same in all steps"), \
      rate("recurrent_dropout",                                                           \
           "share of the state that the gates do not see, the same in all steps")

#define GRADC_LOOP_OPTIONS                                                                      \
  flag("return_sequences", "false", "the state after every step, not only the last"),           \
      flag("return_state", "false",                                                             \
           "the last states are results too: NAME.state_h, and of an lstm NAME.state_c"),       \
      flag("go_backwards", "false",                                                             \
           "from the last step to the first; the result is in that order"),                     \
      flag("stateful", "false",                                                                 \
           "a batch starts from the last states of the one before, each example from its own"), \
      flag("unroll", "false", "without effect: steps cost no time of compilation")

}  // namespace gradc::layers
