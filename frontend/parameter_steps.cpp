#include "frontend/parameter_steps.h"

#include "frontend/families.h"
#include "ir/optimizer_spec.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr const char* kNoDecay = "exclude_from_weight_decay";
constexpr const char* kNoMatrix = "exclude_layers";

std::vector<std::string> words_of(const Component& optimizer, const char* option) {
  const bool given = optimizer.options.defines(option) && optimizer.options.has(option);
  return given ? split_words(optimizer.options.text(option)) : std::vector<std::string>{};
}

std::string full_name(const Layer& layer, const ParameterSpec& parameter) {
  return layer.name + "/" + parameter.name;
}

bool names_it(const std::vector<std::string>& words, const std::string& name) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return name.find(word) != std::string::npos; });
}

bool is_embedding(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name.find("embedding") != std::string::npos;
}

}  // namespace

double rate_multiplier(const Layer& layer) {
  const Options& options = layer.component.options;
  return options.defines(kRateMultiplier.name) ? options.number(kRateMultiplier.name) : 1.0;
}

StepAttrs step_of(const Component& optimizer, const Layer& layer, const ParameterSpec& parameter) {
  StepAttrs step = make_optimizer_spec(optimizer).step;
  const std::string name = full_name(layer, parameter);
  if (!decays(optimizer, layer, parameter)) step.set("weight_decay", 0.0);
  if (optimizer.options.defines(kNoMatrix)) {
    const bool table = optimizer.options.flag("exclude_embeddings") && is_embedding(name);
    if (table || names_it(words_of(optimizer, kNoMatrix), name)) step.set("as_matrix", 0.0);
  }
  return step;
}

bool decays(const Component& optimizer, const Layer& layer, const ParameterSpec& parameter) {
  return !names_it(words_of(optimizer, kNoDecay), full_name(layer, parameter));
}

int64_t accumulated_steps(const Component& optimizer) {
  constexpr const char* kSteps = "gradient_accumulation_steps";
  return optimizer.options.has(kSteps) ? optimizer.options.integer(kSteps) : 1;
}

Val rate_of_step(const Training& training, Val iteration) {
  Builder& builder = iteration.builder();
  const int64_t steps = accumulated_steps(training.optimizer);
  const Val update =
      steps > 1 ? builder.add(Op::kFloor, {iteration / static_cast<double>(steps)}) : iteration;
  const Val rate = build_schedule(*training.optimizer.options.component("learning_rate"), update);
  if (!training.reduce_on_plateau) return rate;
  InitSpec one;
  one.kind = "ones";
  return rate *
         builder.input(InputKind::kState, {DType::kF64, {}}, kRateFactorInput, "rate_factor", one);
}

std::optional<AverageOptions> average_options(const Component& optimizer) {
  if (!optimizer.options.flag("use_ema")) return std::nullopt;
  AverageOptions result{.momentum = optimizer.options.number("ema_momentum"), .overwrite = {}};
  constexpr const char* kOverwrite = "ema_overwrite_frequency";
  if (optimizer.options.has(kOverwrite)) result.overwrite = optimizer.options.integer(kOverwrite);
  return result;
}

void check_left_out(const Model& model, const Component& optimizer, DiagnosticSink& sink) {
  for (const char* option : {kNoDecay, kNoMatrix}) {
    for (const std::string& word : words_of(optimizer, option)) {
      const bool used =
          std::any_of(model.layers.begin(), model.layers.end(), [&](const Layer& layer) {
            return std::any_of(layer.parameters.begin(), layer.parameters.end(),
                               [&](const ParameterSpec& parameter) {
                                 return parameter.trainable &&
                                        names_it({word}, full_name(layer, parameter));
                               });
          });
      if (used) continue;
      Place at = optimizer.place;
      at.pointer += std::string("/") + option;
      sink.error(DiagKind::kUnknownReference, at,
                 "\"{}\" of \"{}\" is in the name of no parameter that is trained", word, option)
          .with_help("gradc summary lists them; they are named <layer>/<parameter>");
    }
  }
}

}  // namespace gradc
