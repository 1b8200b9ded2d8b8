// The initializer family: all of Keras's, translated to the runtime's few kinds.
#include "frontend/families.h"
#include "support/check.h"

#include <algorithm>
#include <array>

namespace gradc {
namespace {

constexpr OptionDef kSeed = {.name = "seed",
                             .type = OptionType::kInt,
                             .default_json = "null",
                             .doc = "replaces the run's seed for this parameter"};
constexpr OptionDef kValueOptions[] = {
    {.name = "value", .type = OptionType::kFloat, .default_json = "0", .doc = "of every element"},
};
constexpr OptionDef kNormalOptions[] = {
    {.name = "mean", .type = OptionType::kFloat, .default_json = "0", .doc = "centre"},
    {.name = "stddev",
     .type = OptionType::kFloat,
     .default_json = "0.05",
     .doc = "standard deviation",
     .min = 0},
    kSeed,
};
constexpr OptionDef kUniformOptions[] = {
    {.name = "minval", .type = OptionType::kFloat, .default_json = "-0.05", .doc = "least value"},
    {.name = "maxval", .type = OptionType::kFloat, .default_json = "0.05", .doc = "upper bound"},
    kSeed,
};
constexpr OptionDef kScalingOptions[] = {
    {.name = "scale",
     .type = OptionType::kFloat,
     .default_json = "1",
     .doc = "variance times fan",
     .min = 0,
     .above_min = true},
    {.name = "mode",
     .type = OptionType::kEnum,
     .default_json = "\"fan_in\"",
     .doc = "which fan",
     .choices = "fan_in fan_out fan_avg"},
    {.name = "distribution",
     .type = OptionType::kEnum,
     .default_json = "\"truncated_normal\"",
     .doc = "which distribution",
     .choices = "truncated_normal untruncated_normal uniform"},
    kSeed,
};
constexpr OptionDef kSeedOptions[] = {kSeed};
constexpr OptionDef kOrthogonalOptions[] = {
    {.name = "gain", .type = OptionType::kFloat, .default_json = "1", .doc = "factor"},
    kSeed,
};
constexpr OptionDef kGainOptions[] = {
    {.name = "gain", .type = OptionType::kFloat, .default_json = "1", .doc = "factor"},
};

struct InitializerDef {
  ComponentDef base;
  InitSpec (*make)(const Options&);
};

InitSpec scaling(double scale, const char* mode, const char* distribution) {
  InitSpec spec;
  spec.kind = "variance_scaling";
  spec.a = scale;
  spec.mode = mode;
  spec.distribution = distribution;
  return spec;
}

InitSpec two(const char* kind, double a, double b) {
  InitSpec spec;
  spec.kind = kind;
  spec.a = a;
  spec.b = b;
  return spec;
}

constexpr InitializerDef kInitializers[] = {
    {{"zeros", "all 0", {}, "zero"}, [](const Options&) { return two("zeros", 0, 0); }},
    {{"ones", "all 1", {}, "one"}, [](const Options&) { return two("ones", 0, 0); }},
    {{"constant", "all the same value", kValueOptions},
     [](const Options& o) { return two("constant", o.number("value"), 0); }},
    {{"random_normal", "normal distribution", kNormalOptions, "normal"},
     [](const Options& o) { return two("random_normal", o.number("mean"), o.number("stddev")); }},
    {{"random_uniform", "uniform between minval and maxval", kUniformOptions, "uniform"},
     [](const Options& o) {
       return two("random_uniform", o.number("minval"), o.number("maxval"));
     }},
    {{"truncated_normal", "normal distribution, redrawn beyond two standard deviations",
      kNormalOptions},
     [](const Options& o) {
       return two("truncated_normal", o.number("mean"), o.number("stddev"));
     }},
    {{"variance_scaling", "variance scale / fan", kScalingOptions},
     [](const Options& o) {
       return scaling(o.number("scale"), o.text("mode").c_str(), o.text("distribution").c_str());
     }},
    {{"glorot_uniform", "uniform within sqrt(6 / (fan_in + fan_out))", kSeedOptions,
      "xavier_uniform"},
     [](const Options&) { return scaling(1, "fan_avg", "uniform"); }},
    {{"glorot_normal", "truncated normal of variance 2 / (fan_in + fan_out)", kSeedOptions,
      "xavier_normal"},
     [](const Options&) { return scaling(1, "fan_avg", "truncated_normal"); }},
    {{"he_uniform", "uniform within sqrt(6 / fan_in)", kSeedOptions},
     [](const Options&) { return scaling(2, "fan_in", "uniform"); }},
    {{"he_normal", "truncated normal of variance 2 / fan_in", kSeedOptions},
     [](const Options&) { return scaling(2, "fan_in", "truncated_normal"); }},
    {{"lecun_uniform", "uniform within sqrt(3 / fan_in)", kSeedOptions},
     [](const Options&) { return scaling(1, "fan_in", "uniform"); }},
    {{"lecun_normal", "truncated normal of variance 1 / fan_in", kSeedOptions},
     [](const Options&) { return scaling(1, "fan_in", "truncated_normal"); }},
    {{"orthogonal", "orthogonal rows or columns", kOrthogonalOptions, "orthogonal_initializer"},
     [](const Options& o) { return two("orthogonal", o.number("gain"), 0); }},
    {{"identity", "gain on the diagonal of a matrix", kGainOptions, "identity_initializer"},
     [](const Options& o) { return two("identity", o.number("gain"), 0); }},
};

/// Keras's compute_fans: the last two axes times the receptive field of those before.
void set_fans(InitSpec& spec, const Ints& shape) {
  int64_t field = 1;
  for (size_t i = 0; i + 2 < shape.size(); ++i)
    field *= shape[i];
  if (shape.empty()) {
    spec.fan_in = spec.fan_out = 1;
  } else if (shape.size() == 1) {
    spec.fan_in = spec.fan_out = shape[0];
  } else {
    spec.fan_in = field * shape[shape.size() - 2];
    spec.fan_out = field * shape.back();
  }
}

}  // namespace

std::span<const ComponentDef* const> initializer_components() {
  static const auto list = [] {
    std::array<const ComponentDef*, std::size(kInitializers)> pointers{};
    for (size_t i = 0; i < pointers.size(); ++i)
      pointers[i] = &kInitializers[i].base;
    return pointers;
  }();
  return list;
}

InitSpec make_init_spec(const Component& initializer, const Ints& shape) {
  for (const InitializerDef& def : kInitializers) {
    if (&def.base != initializer.def) continue;
    InitSpec spec = def.make(initializer.options);
    set_fans(spec, shape);
    for (const OptionDef& option : def.base.options) {
      if (option.name != "seed" || !initializer.options.has("seed")) continue;
      spec.has_seed = true;
      spec.seed = initializer.options.integer("seed");
    }
    return spec;
  }
  GRADC_UNREACHABLE();
}

std::optional<InitSpec> make_init_spec(const InitSpec& written, const Ints& shape) {
  InitSpec spec = written;
  if (spec.kind == "variance_scaling") {
    const auto is_choice = [](const OptionDef& def, const std::string& text) {
      const std::vector<std::string> choices = split_words(def.choices);
      return std::find(choices.begin(), choices.end(), text) != choices.end();
    };
    if (!is_choice(kScalingOptions[1], spec.mode) ||
        !is_choice(kScalingOptions[2], spec.distribution))
      return std::nullopt;
  }
  if (spec.fan_in == 0 && spec.fan_out == 0) set_fans(spec, shape);
  for (const InitializerDef& def : kInitializers) {
    const Component initializer = default_component(Family::kInitializer, def.base.type);
    if (def.make(initializer.options).kind != spec.kind) continue;
    if (initializer_fits(initializer, shape.size())) return spec;
  }
  return std::nullopt;
}

bool initializer_fits(const Component& initializer, size_t rank) {
  if (initializer.def->type == "identity") return rank == 2;
  if (initializer.def->type == "orthogonal") return rank >= 2;
  return true;
}

}  // namespace gradc
