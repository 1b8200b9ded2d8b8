// The optimizer family: Keras 3's options and defaults. An optimizer's rule has the numbers of its
// options' names (ir/step_rule.h).
#include "frontend/families.h"
#include "support/check.h"

#include <array>

namespace gradc {
namespace {

constexpr OptionDef kClipNorm = {.name = "clipnorm",
                                 .type = OptionType::kFloat,
                                 .default_json = "null",
                                 .doc = "largest L2 norm of each gradient",
                                 .min = 0,
                                 .above_min = true};
constexpr OptionDef kClipValue = {.name = "clipvalue",
                                  .type = OptionType::kFloat,
                                  .default_json = "null",
                                  .doc = "largest size of each gradient element",
                                  .min = 0,
                                  .above_min = true};
constexpr OptionDef kGlobalClipNorm = {.name = "global_clipnorm",
                                       .type = OptionType::kFloat,
                                       .default_json = "null",
                                       .doc = "largest L2 norm of all gradients together",
                                       .min = 0,
                                       .above_min = true};
constexpr OptionDef kEpsilon = {.name = "epsilon",
                                .type = OptionType::kFloat,
                                .default_json = "1e-7",
                                .doc = "keeps divisions finite",
                                .min = 0};

constexpr OptionDef kEpsilonAs = {.name = "epsilon_as",
                                  .type = OptionType::kEnum,
                                  .default_json = "\"keras\"",
                                  .doc = "whose formula says where epsilon is added",
                                  .choices = "keras pytorch tensorflow_js"};

constexpr OptionDef learning_rate(std::string_view initial) {
  return {.name = "learning_rate",
          .type = OptionType::kComponent,
          .default_json = initial,
          .doc = "a number or a schedule",
          .family = Family::kSchedule};
}
constexpr OptionDef share(std::string_view name, std::string_view initial, std::string_view doc,
                          bool one_allowed = false) {
  return {.name = name,
          .type = OptionType::kFloat,
          .default_json = initial,
          .doc = doc,
          .min = 0,
          .max = 1,
          .below_max = !one_allowed};
}
constexpr OptionDef flag(std::string_view name, std::string_view initial, std::string_view doc) {
  return {.name = name, .type = OptionType::kBool, .default_json = initial, .doc = doc};
}

constexpr OptionDef decay(std::string_view initial) {
  return {.name = "weight_decay",
          .type = OptionType::kFloat,
          .default_json = initial,
          .doc = "decoupled: w -= learning_rate weight_decay w",
          .min = 0};
}

constexpr OptionDef kUndecayed = {
    .name = "exclude_from_weight_decay",
    .type = OptionType::kString,
    .default_json = "null",
    .doc = "words, separated by spaces: parameters with one of them in their name do not decay"};
constexpr OptionDef kAccumulated = {
    .name = "gradient_accumulation_steps",
    .type = OptionType::kInt,
    .default_json = "null",
    .doc = "the mean gradient of so many steps makes one update; schedules count updates",
    .min = 1,
    .max = 1e9};
constexpr OptionDef kUseEma =
    flag("use_ema", "false",
         "moving averages of the weights, which are evaluated and written in the end");
constexpr OptionDef kEmaMomentum =
    share("ema_momentum", "0.99", "share of the average that is kept in a step", true);
constexpr OptionDef kEmaOverwrite = {
    .name = "ema_overwrite_frequency",
    .type = OptionType::kInt,
    .default_json = "null",
    .doc = "the averages replace the weights every so many updates",
    .min = 1,
    .max = 1e9};

constexpr std::string_view kMeanDoc = "share of the mean that is kept";
constexpr std::string_view kSquareDoc = "share of the mean square that is kept";
constexpr OptionDef kMomentum = share("momentum", "0", "share of the last step that is kept", true);
constexpr OptionDef kAmsgrad = flag("amsgrad", "false", "divide by the largest mean square so far");

/// Behind its own options, every optimizer clips gradients, and so on.
template <class... Own>
constexpr auto with_common(Own... own) {
  return std::array{own...,       kUndecayed, kClipNorm,    kClipValue,   kGlobalClipNorm,
                    kAccumulated, kUseEma,    kEmaMomentum, kEmaOverwrite};
}
/// And most do not decay weights unless asked.
template <class... Own>
constexpr auto with_decay_and_clips(Own... own) {
  return with_common(own..., decay("null"));
}

constexpr auto sgd_options(std::string_view momentum, std::string_view nesterov) {
  OptionDef kept = kMomentum;
  kept.default_json = momentum;
  return with_decay_and_clips(learning_rate("0.01"), kept,
                              flag("nesterov", nesterov, "look ahead"));
}

constexpr auto kSgdOptions = sgd_options("0", "false");
constexpr auto kMomentumOptions = sgd_options("0.9", "false");
constexpr auto kNesterovOptions = sgd_options("0.9", "true");
constexpr auto kAdagradOptions =
    with_decay_and_clips(learning_rate("0.001"),
                         OptionDef{.name = "initial_accumulator_value",
                                   .type = OptionType::kFloat,
                                   .default_json = "0.1",
                                   .doc = "where the sum of squares starts",
                                   .min = 0},
                         kEpsilon, kEpsilonAs);
constexpr auto kAdadeltaOptions =
    with_decay_and_clips(learning_rate("0.001"),
                         share("rho", "0.95", "share of the mean squares that is kept"), kEpsilon);
constexpr auto kRmspropOptions = with_decay_and_clips(
    learning_rate("0.001"), share("rho", "0.9", kSquareDoc), kMomentum, kEpsilon, kEpsilonAs,
    flag("centered", "false", "subtract the squared mean gradient"));
constexpr auto kAdamOptions =
    with_decay_and_clips(learning_rate("0.001"), share("beta_1", "0.9", kMeanDoc),
                         share("beta_2", "0.999", kSquareDoc), kEpsilon, kEpsilonAs, kAmsgrad);
constexpr auto kAdamwOptions =
    with_common(learning_rate("0.001"), decay("0.004"), share("beta_1", "0.9", kMeanDoc),
                share("beta_2", "0.999", kSquareDoc), kEpsilon, kEpsilonAs, kAmsgrad);
constexpr auto kAdamaxOptions = with_decay_and_clips(
    learning_rate("0.001"), share("beta_1", "0.9", kMeanDoc),
    share("beta_2", "0.999", "share of the largest size that is kept"), kEpsilon, kEpsilonAs);
constexpr auto kNadamOptions =
    with_decay_and_clips(learning_rate("0.001"), share("beta_1", "0.9", kMeanDoc),
                         share("beta_2", "0.999", kSquareDoc), kEpsilon);
constexpr auto kLionOptions = with_decay_and_clips(
    learning_rate("0.001"), share("beta_1", "0.9", "share of the mean in the step"),
    share("beta_2", "0.99", kMeanDoc));
constexpr auto kAdafactorOptions = with_decay_and_clips(
    learning_rate("0.001"),
    OptionDef{.name = "beta_2_decay",
              .type = OptionType::kFloat,
              .default_json = "-0.8",
              .doc = "the share of the mean squares that is kept is 1 - t^beta_2_decay",
              .max = 0},
    OptionDef{.name = "epsilon_1",
              .type = OptionType::kFloat,
              .default_json = "1e-30",
              .doc = "added to squared gradients",
              .min = 0},
    OptionDef{.name = "epsilon_2",
              .type = OptionType::kFloat,
              .default_json = "0.001",
              .doc = "least root mean square of a parameter that its steps are in proportion to",
              .min = 0},
    OptionDef{.name = "clip_threshold",
              .type = OptionType::kFloat,
              .default_json = "1.0",
              .doc = "largest root mean square of a step before the rate",
              .min = 0,
              .above_min = true},
    flag("relative_step", "true", "as in Keras without effect: the rate is at most 1 / sqrt(t)"));

constexpr auto kLambOptions =
    with_decay_and_clips(learning_rate("0.001"), share("beta_1", "0.9", kMeanDoc),
                         share("beta_2", "0.999", kSquareDoc), kEpsilon);

constexpr std::string_view kNewtonSchulzSteps = "ns_steps";

constexpr OptionDef polynomial(std::string_view name, std::string_view initial) {
  return {.name = name,
          .type = OptionType::kFloat,
          .default_json = initial,
          .doc = "of a s + b s^3 + c s^5, which a Newton-Schulz step makes of a singular value"};
}
constexpr auto kMuonOptions = with_common(
    learning_rate("0.001"), decay("0.1"), share("adam_beta_1", "0.9", kMeanDoc),
    share("adam_beta_2", "0.999", kSquareDoc), kEpsilon,
    OptionDef{.name = "exclude_layers",
              .type = OptionType::kString,
              .default_json = "null",
              .doc = "words, separated by spaces: parameters with one of them in their name follow "
                     "adamw"},
    flag("exclude_embeddings", "true", "parameters with \"embedding\" in their name follow adamw"),
    polynomial("muon_a", "3.4445"), polynomial("muon_b", "-4.775"), polynomial("muon_c", "2.0315"),
    OptionDef{.name = "adam_lr_ratio",
              .type = OptionType::kFloat,
              .default_json = "0.1",
              .doc = "adamw's learning rate is so many times Muon's",
              .min = 0},
    share("momentum", "0.95", "share of the sum of gradients that is kept"),
    OptionDef{.name = kNewtonSchulzSteps,
              .type = OptionType::kInt,
              .default_json = "6",
              .doc = "Newton-Schulz steps",
              .min = 0,
              .max = 100},
    flag("nesterov", "true", "look ahead"));

constexpr OptionDef strength(std::string_view name, std::string_view doc) {
  return {.name = name, .type = OptionType::kFloat, .default_json = "0", .doc = doc, .min = 0};
}
constexpr auto kFtrlOptions = with_decay_and_clips(
    learning_rate("0.001"),
    OptionDef{.name = "learning_rate_power",
              .type = OptionType::kFloat,
              .default_json = "-0.5",
              .doc = "how the rate falls with the sum of squares; 0: it does not",
              .max = 0},
    OptionDef{.name = "initial_accumulator_value",
              .type = OptionType::kFloat,
              .default_json = "0.1",
              .doc = "where the sum of squares starts",
              .min = 0},
    strength("l1_regularization_strength", "weights smaller than it allows are 0"),
    strength("l2_regularization_strength", "pulls weights to 0"),
    strength("l2_shrinkage_regularization_strength", "adds twice this times w to the gradient"),
    strength("beta", "added to the root of the sum of squares"));

struct OptimizerDef {
  ComponentDef base;
  RateRange usual_rates;                        ///< others get a warning
  StepAttrs (*make)(const Options&) = nullptr;  ///< null: the rule of its name
};

/// Steps in proportion to the gradient may be long; those of its sign alone may not.
constexpr RateRange kRatesOfGradients = {1e-7, 10.0};
constexpr RateRange kRatesOfSigns = {1e-7, 0.1};

// Where the others differ from Keras: PyTorch adds epsilon to the root, never under it, and to the
// bias-corrected root where there is a correction; TensorFlow.js differs in Adam alone.
bool as_pytorch(const Options& o) {
  return o.text("epsilon_as") == "pytorch";
}

/// The rule with its numbers from the options of the same names, where there are such.
StepAttrs step_of(std::string_view rule, const Options& o) {
  StepAttrs step(rule);
  for (const StepNumber& number : step.rule().numbers) {
    if (!o.defines(number.name) || number.name == kNewtonSchulzSteps) continue;
    step.set(number.name,
             number.is_flag ? static_cast<double>(o.flag(number.name)) : o.number(number.name));
  }
  step.set("weight_decay", o.number_or("weight_decay", 0.0));
  return step;
}

StepAttrs make_sgd(const Options& o) {
  // Nesterov without momentum is the plain step.
  return step_of(o.number("momentum") == 0.0 ? "sgd" : "momentum", o);
}

StepAttrs make_adagrad(const Options& o) {
  StepAttrs step = step_of("adagrad", o);
  step.set("epsilon_outside", static_cast<double>(as_pytorch(o)));
  return step;
}
StepAttrs make_rmsprop(const Options& o) {
  StepAttrs step = step_of("rmsprop", o);
  step.set("epsilon_outside", static_cast<double>(as_pytorch(o)));
  return step;
}
StepAttrs make_adam(const Options& o) {
  StepAttrs step = step_of("adam", o);
  step.set("corrected_epsilon", static_cast<double>(o.text("epsilon_as") != "keras"));
  return step;
}
StepAttrs make_adamax(const Options& o) {
  StepAttrs step = step_of("adamax", o);
  step.set("epsilon_inside", static_cast<double>(as_pytorch(o)));
  return step;
}

StepAttrs make_muon(const Options& o) {
  StepAttrs step = step_of("muon", o);
  step.set(kNewtonSchulzSteps, static_cast<double>(o.integer(kNewtonSchulzSteps)));
  return step;
}

constexpr OptimizerDef kOptimizers[] = {
    {{"sgd", "w -= learning_rate g, with optional momentum", kSgdOptions, "gradient_descent"},
     kRatesOfGradients,
     make_sgd},
    {{"momentum", "sgd with momentum 0.9", kMomentumOptions}, kRatesOfGradients, make_sgd},
    {{"nesterov", "sgd with Nesterov momentum 0.9", kNesterovOptions}, kRatesOfGradients, make_sgd},
    {{"adagrad", "w -= learning_rate g / sqrt(a + epsilon), a += g^2", kAdagradOptions, "ada_grad"},
     kRatesOfGradients,
     make_adagrad},
    {{"adadelta",
      "w -= learning_rate sqrt(e + epsilon) / sqrt(s + epsilon) g, s and e the moving "
      "means of squared gradients and steps",
      kAdadeltaOptions, "ada_delta"},
     kRatesOfGradients},
    {{"rmsprop", "w -= learning_rate g / sqrt(v + epsilon), v the moving mean of g^2",
      kRmspropOptions, "rms_prop"},
     kRatesOfSigns,
     make_rmsprop},
    {{"adam", "w -= learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)",
      kAdamOptions},
     kRatesOfSigns,
     make_adam},
    {{"adamw", "adam with weight decay 0.004", kAdamwOptions, "adam_w"}, kRatesOfSigns, make_adam},
    {{"adamax", "w -= learning_rate / (1 - beta_1^t) m / (u + epsilon), u = max(beta_2 u, |g|)",
      kAdamaxOptions, "ada_max"},
     kRatesOfSigns,
     make_adamax},
    {{"nadam", "adam with Nesterov momentum", kNadamOptions}, kRatesOfSigns},
    {{"lion", "w -= learning_rate sign(beta_1 m + (1 - beta_1) g)", kLionOptions}, kRatesOfSigns},
    {{"adafactor", "steps in proportion to the parameter, second moments by rows and columns",
      kAdafactorOptions, "ada_factor"},
     kRatesOfGradients},
    {{"ftrl", "follow the regularised leader (McMahan et al. 2013)", kFtrlOptions},
     kRatesOfGradients},
    {{"muon",
      "matrices: w -= learning_rate sqrt(max(1, rows / columns)) o(m), where o makes all singular "
      "values nearly 1; other parameters and embeddings: adamw (Jordan et al. 2024)",
      kMuonOptions},
     kRatesOfSigns,
     make_muon},
    {{"lamb", "adam with steps in proportion to the parameter (You et al. 2019)", kLambOptions},
     kRatesOfGradients},
};

}  // namespace

std::span<const ComponentDef* const> optimizer_components() {
  static const auto list = [] {
    std::array<const ComponentDef*, std::size(kOptimizers)> pointers{};
    for (size_t i = 0; i < pointers.size(); ++i)
      pointers[i] = &kOptimizers[i].base;
    return pointers;
  }();
  return list;
}

RateRange usual_learning_rates(const Component& optimizer) {
  for (const OptimizerDef& def : kOptimizers) {
    if (&def.base == optimizer.def) return def.usual_rates;
  }
  GRADC_UNREACHABLE();
}

OptimizerSpec make_optimizer_spec(const Component& optimizer) {
  for (const OptimizerDef& def : kOptimizers) {
    if (&def.base != optimizer.def) continue;
    OptimizerSpec spec;
    spec.step = def.make == nullptr ? step_of(def.base.type, optimizer.options)
                                    : def.make(optimizer.options);
    spec.clip_norm = optimizer.options.number_or("clipnorm", 0.0);
    spec.clip_value = optimizer.options.number_or("clipvalue", 0.0);
    spec.global_clip_norm = optimizer.options.number_or("global_clipnorm", 0.0);
    return spec;
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc
