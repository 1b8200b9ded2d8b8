// The optimizer family: Keras 3's options and defaults, translated to step ops.
#include "frontend/families.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <array>

namespace gradc {
namespace {

constexpr OptionDef kWeightDecay = {.name = "weight_decay",
                                    .type = OptionType::kFloat,
                                    .default_json = "null",
                                    .doc = "decoupled: w -= learning_rate weight_decay w",
                                    .min = 0};
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

constexpr std::string_view kMomentumDoc = "share of the last step that is kept";

constexpr OptionDef kSgdOptions[] = {
    learning_rate("0.01"),
    share("momentum", "0", kMomentumDoc, true),
    flag("nesterov", "false", "look ahead"),
    kWeightDecay,
    kClipNorm,
    kClipValue,
    kGlobalClipNorm,
};
constexpr OptionDef kMomentumOptions[] = {
    learning_rate("0.01"),
    share("momentum", "0.9", kMomentumDoc, true),
    flag("nesterov", "false", "look ahead"),
    kWeightDecay,
    kClipNorm,
    kClipValue,
    kGlobalClipNorm,
};
constexpr OptionDef kNesterovOptions[] = {
    learning_rate("0.01"),
    share("momentum", "0.9", kMomentumDoc, true),
    flag("nesterov", "true", "look ahead"),
    kWeightDecay,
    kClipNorm,
    kClipValue,
    kGlobalClipNorm,
};
constexpr OptionDef kAdagradOptions[] = {
    learning_rate("0.001"),
    {.name = "initial_accumulator_value",
     .type = OptionType::kFloat,
     .default_json = "0.1",
     .doc = "where the sum of squares starts",
     .min = 0},
    kEpsilon,
    kEpsilonAs,
    kWeightDecay,
    kClipNorm,
    kClipValue,
    kGlobalClipNorm,
};
constexpr OptionDef kRmspropOptions[] = {
    learning_rate("0.001"),
    share("rho", "0.9", "share of the mean square that is kept"),
    share("momentum", "0", kMomentumDoc, true),
    kEpsilon,
    kEpsilonAs,
    flag("centered", "false", "subtract the squared mean gradient"),
    kWeightDecay,
    kClipNorm,
    kClipValue,
    kGlobalClipNorm,
};
constexpr OptionDef kAdamOptions[] = {
    learning_rate("0.001"),
    share("beta_1", "0.9", "share of the mean that is kept"),
    share("beta_2", "0.999", "share of the mean square that is kept"),
    kEpsilon,
    kEpsilonAs,
    flag("amsgrad", "false", "divide by the largest mean square so far"),
    kWeightDecay,
    kClipNorm,
    kClipValue,
    kGlobalClipNorm,
};
constexpr OptionDef kAdamwOptions[] = {
    learning_rate("0.001"),
    {.name = "weight_decay",
     .type = OptionType::kFloat,
     .default_json = "0.004",
     .doc = "decoupled: w -= learning_rate weight_decay w",
     .min = 0},
    share("beta_1", "0.9", "share of the mean that is kept"),
    share("beta_2", "0.999", "share of the mean square that is kept"),
    kEpsilon,
    kEpsilonAs,
    flag("amsgrad", "false", "divide by the largest mean square so far"),
    kClipNorm,
    kClipValue,
    kGlobalClipNorm,
};

constexpr OptionDef kAdamaxOptions[] = {
    learning_rate("0.001"),
    share("beta_1", "0.9", "share of the mean that is kept"),
    share("beta_2", "0.999", "share of the largest size that is kept"),
    kEpsilon,
    kEpsilonAs,
    kWeightDecay,
    kClipNorm,
    kClipValue,
    kGlobalClipNorm,
};

struct OptimizerDef {
  ComponentDef base;
  void (*make)(const Options&, OptimizerSpec&);
  RateRange usual_rates;  ///< others get a warning
};

/// Steps in proportion to the gradient may be long; those of its sign alone may not.
constexpr RateRange kRatesOfGradients = {1e-7, 10.0};
constexpr RateRange kRatesOfSigns = {1e-7, 0.1};

// Where the others differ from Keras: PyTorch adds epsilon to the root, never under it, and to the
// bias-corrected root where there is a correction; TensorFlow.js differs in Adam alone.
bool as_pytorch(const Options& o) {
  return o.text("epsilon_as") == "pytorch";
}

void make_sgd(const Options& o, OptimizerSpec& spec) {
  const double decay = o.number_or("weight_decay", 0.0);
  const double momentum = o.number("momentum");
  if (momentum == 0.0) {  // nesterov without momentum is the plain step
    spec.step = Op::kSgdStep;
    spec.attrs = make_attrs(SgdAttrs{.weight_decay = decay});
    return;
  }
  spec.step = Op::kMomentumStep;
  spec.attrs = make_attrs(
      MomentumAttrs{.momentum = momentum, .nesterov = o.flag("nesterov"), .weight_decay = decay});
  spec.slots = {{"momentum", 0.0}};
}

void make_adagrad(const Options& o, OptimizerSpec& spec) {
  spec.step = Op::kAdagradStep;
  spec.attrs = make_attrs(AdagradAttrs{.epsilon = o.number("epsilon"),
                                       .weight_decay = o.number_or("weight_decay", 0.0),
                                       .epsilon_outside = as_pytorch(o)});
  spec.slots = {{"accumulator", o.number("initial_accumulator_value")}};
}

void make_rmsprop(const Options& o, OptimizerSpec& spec) {
  spec.step = Op::kRmspropStep;
  spec.attrs = make_attrs(RmspropAttrs{.rho = o.number("rho"),
                                       .momentum = o.number("momentum"),
                                       .epsilon = o.number("epsilon"),
                                       .centered = o.flag("centered"),
                                       .weight_decay = o.number_or("weight_decay", 0.0),
                                       .epsilon_outside = as_pytorch(o)});
  spec.slots = {{"velocity", 0.0}};
  if (o.flag("centered")) spec.slots.push_back({"average_gradient", 0.0});
  if (o.number("momentum") > 0.0) spec.slots.push_back({"momentum", 0.0});
}

void make_adam(const Options& o, OptimizerSpec& spec) {
  spec.step = Op::kAdamStep;
  spec.attrs = make_attrs(AdamAttrs{.beta_1 = o.number("beta_1"),
                                    .beta_2 = o.number("beta_2"),
                                    .epsilon = o.number("epsilon"),
                                    .amsgrad = o.flag("amsgrad"),
                                    .weight_decay = o.number_or("weight_decay", 0.0),
                                    .corrected_epsilon = o.text("epsilon_as") != "keras"});
  spec.slots = {{"momentum", 0.0}, {"velocity", 0.0}};
  if (o.flag("amsgrad")) spec.slots.push_back({"velocity_hat", 0.0});
}

void make_adamax(const Options& o, OptimizerSpec& spec) {
  spec.step = Op::kAdamaxStep;
  spec.attrs = make_attrs(AdamaxAttrs{.beta_1 = o.number("beta_1"),
                                      .beta_2 = o.number("beta_2"),
                                      .epsilon = o.number("epsilon"),
                                      .weight_decay = o.number_or("weight_decay", 0.0),
                                      .epsilon_inside = as_pytorch(o)});
  spec.slots = {{"momentum", 0.0}, {"norm", 0.0}};
}

constexpr OptimizerDef kOptimizers[] = {
    {{"sgd", "w -= learning_rate g, with optional momentum", kSgdOptions, "gradient_descent"},
     make_sgd,
     kRatesOfGradients},
    {{"momentum", "sgd with momentum 0.9", kMomentumOptions}, make_sgd, kRatesOfGradients},
    {{"nesterov", "sgd with Nesterov momentum 0.9", kNesterovOptions}, make_sgd, kRatesOfGradients},
    {{"adagrad", "w -= learning_rate g / sqrt(a + epsilon), a += g^2", kAdagradOptions, "ada_grad"},
     make_adagrad,
     kRatesOfGradients},
    {{"rmsprop", "w -= learning_rate g / sqrt(v + epsilon), v the moving mean of g^2",
      kRmspropOptions, "rms_prop"},
     make_rmsprop,
     kRatesOfSigns},
    {{"adam", "w -= learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)",
      kAdamOptions},
     make_adam,
     kRatesOfSigns},
    {{"adamw", "adam with weight decay 0.004", kAdamwOptions, "adam_w"}, make_adam, kRatesOfSigns},
    {{"adamax", "w -= learning_rate / (1 - beta_1^t) m / (u + epsilon), u = max(beta_2 u, |g|)",
      kAdamaxOptions, "ada_max"},
     make_adamax,
     kRatesOfSigns},
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
    spec.name = std::string(def.base.type);
    def.make(optimizer.options, spec);
    spec.clip_norm = optimizer.options.number_or("clipnorm", 0.0);
    spec.clip_value = optimizer.options.number_or("clipvalue", 0.0);
    spec.global_clip_norm = optimizer.options.number_or("global_clipnorm", 0.0);
    return spec;
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc
