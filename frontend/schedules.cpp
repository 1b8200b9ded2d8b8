// Learning-rate schedules: functions of the iteration, built as graph ops so that the compiled step
// needs no host. Formulas are Keras 3's; `warmup` wraps any of them.
//
// Steps are f64, which counts them exactly, and so are quotients, floors and comparisons of them: a
// boundary is where the numbers say, not a rounding away. Powers and cosines are f32's, which need
// no libm.
#include "frontend/families.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace gradc {
namespace {

constexpr OptionDef rate(std::string_view name, std::string_view doc,
                         std::string_view initial = {}) {
  return {.name = name, .type = OptionType::kFloat, .default_json = initial, .doc = doc, .min = 0};
}
constexpr OptionDef steps(std::string_view name, std::string_view doc,
                          std::string_view initial = {}) {
  return {.name = name, .type = OptionType::kInt, .default_json = initial, .doc = doc, .min = 1};
}
constexpr OptionDef flag(std::string_view name, std::string_view doc) {
  return {.name = name, .type = OptionType::kBool, .default_json = "false", .doc = doc};
}
constexpr OptionDef divisor(std::string_view name, std::string_view doc, std::string_view initial) {
  OptionDef option = rate(name, doc, initial);
  option.above_min = true;
  return option;
}
constexpr OptionDef kInitial = rate("initial_learning_rate", "where it starts");
constexpr OptionDef kDecaySteps = steps("decay_steps", "steps of one decay");

constexpr OptionDef kConstantOptions[] = {rate("learning_rate", "the rate at every step")};
constexpr OptionDef kDecayOptions[] = {kInitial, kDecaySteps,
                                       rate("decay_rate", "factor of one decay"),
                                       flag("staircase", "in whole decays only")};
constexpr OptionDef kStepOptions[] = {kInitial, steps("step_size", "steps between two drops"),
                                      rate("factor", "factor of each drop", "0.1")};
constexpr OptionDef kPolynomialOptions[] = {
    kInitial, kDecaySteps, rate("end_learning_rate", "where it ends", "0.0001"),
    rate("power", "exponent", "1"), flag("cycle", "start again with longer cycles")};
constexpr OptionDef kPiecewiseOptions[] = {
    {.name = "boundaries",
     .type = OptionType::kInts,
     .doc = "last steps of each value, increasing",
     .min = 0},
    {.name = "values",
     .type = OptionType::kFloats,
     .doc = "one rate more than boundaries",
     .min = 0},
};
constexpr OptionDef kCosineOptions[] = {
    kInitial,
    kDecaySteps,
    rate("alpha", "least rate as a share of the first", "0"),
    {.name = "warmup_target",
     .type = OptionType::kFloat,
     .default_json = "null",
     .doc = "rate after a linear warm-up",
     .min = 0},
    {.name = "warmup_steps",
     .type = OptionType::kInt,
     .default_json = "0",
     .doc = "steps of the warm-up",
     .min = 0},
};
constexpr OptionDef kRestartOptions[] = {
    kInitial,
    steps("first_decay_steps", "steps of the first cosine"),
    {.name = "t_mul",
     .type = OptionType::kFloat,
     .default_json = "2",
     .doc = "each cosine is longer by this factor",
     .min = 1},
    rate("m_mul", "each cosine starts at this share of the last", "1"),
    rate("alpha", "least rate as a share of the first", "0"),
};
constexpr OptionDef kWarmupOptions[] = {
    steps("warmup_steps", "steps of the linear rise"),
    rate("initial_learning_rate", "rate at step 0", "0"),
    {.name = "learning_rate",
     .type = OptionType::kComponent,
     .doc = "number or schedule that follows; its steps begin after the warm-up",
     .family = Family::kSchedule},
};
constexpr OptionDef kOneCycleOptions[] = {
    rate("max_learning_rate", "the highest rate"),
    steps("total_steps", "steps of the whole cycle; the last rate stays"),
    {.name = "pct_start",
     .type = OptionType::kFloat,
     .default_json = "0.3",
     .doc = "share of the steps that rise",
     .min = 0,
     .max = 1},
    {.name = "anneal_strategy",
     .type = OptionType::kEnum,
     .default_json = "\"cos\"",
     .doc = "half a cosine or a line from rate to rate",
     .choices = "cos linear"},
    divisor("div_factor", "the first rate is the highest through this", "25"),
    divisor("final_div_factor", "the last rate is the first through this", "10000"),
    flag("three_phase", "fall to the first rate as long as it rose, then to the last"),
};

struct ScheduleDef {
  ComponentDef base;
  Val (*build)(const Options&, Val step);
  double (*highest)(const Options&);  ///< the largest rate that it gives
};

double initial_rate(const Options& o) {
  return o.number("initial_learning_rate");
}

double integer(const Options& o, std::string_view name) {
  return static_cast<double>(o.integer(name));
}
Val floor_of(Val x) {
  return x.builder().add(Op::kFloor, {x});
}
Val constant(Val like, double value) {
  return like.builder().splat(value, like.type());
}
Val single(Val x) {
  return cast(x, DType::kF32);
}
/// base^x for a constant base.
Val power_of(double base, Val x) {
  const Val power = single(x);
  return cast(pow(power.builder().splat(base, power.type()), power), x.dtype());
}
/// base^n for a whole n from 0 to `most`, exact where f64 holds it: by squares.
Val whole_power_of(double base, Val n, double most) {
  Val result = constant(n, 1.0);
  for (double square = base; most >= 1.0 && std::isfinite(square); square *= square) {
    const Val half = floor_of(n * 0.5);
    result = select(greater(n, half * 2.0), result * square, result);
    n = half;
    most = std::floor(most * 0.5);
  }
  return result;
}

Val decays(const Options& o, Val step) {
  const Val count = step / integer(o, "decay_steps");
  return o.flag("staircase") ? floor_of(count) : count;
}

Val build_exponential(const Options& o, Val step) {
  return power_of(o.number("decay_rate"), decays(o, step)) * o.number("initial_learning_rate");
}

Val build_inverse_time(const Options& o, Val step) {
  return o.number("initial_learning_rate") / (decays(o, step) * o.number("decay_rate") + 1.0);
}

Val build_step(const Options& o, Val step) {
  return power_of(o.number("factor"), floor_of(step / integer(o, "step_size"))) *
         o.number("initial_learning_rate");
}

Val build_polynomial(const Options& o, Val step) {
  const double last = integer(o, "decay_steps");
  const double start = o.number("initial_learning_rate");
  const double end = o.number("end_learning_rate");
  Val length = constant(step, last);
  if (o.flag("cycle")) {
    const Val cycles = step.builder().add(Op::kCeil, {step / last});
    length = maximum(cycles, 1.0) * last;
  } else {
    step = minimum(step, last);
  }
  const Val left = maximum(1.0 - step / length, 0.0);
  const double power = o.number("power");
  const Val shape = power == 1.0 ? left : cast(pow(single(left), power), left.dtype());
  return shape * (start - end) + end;
}

Val build_piecewise(const Options& o, Val step) {
  const Ints& boundaries = o.ints("boundaries");
  const std::vector<double>& values = o.numbers("values");
  Val result = constant(step, values.back());
  for (size_t i = boundaries.size(); i-- > 0;) {
    result = select(less_equal(step, static_cast<double>(boundaries[i])), constant(step, values[i]),
                    result);
  }
  return result;
}

/// 1 to 0 along half a cosine while `progress` goes from 0 to 1.
Val half_cosine(Val progress) {
  return cast((cos(single(progress) * std::numbers::pi) + 1.0) * 0.5, progress.dtype());
}

Val build_cosine(const Options& o, Val step) {
  const double length = integer(o, "decay_steps");
  const double alpha = o.number("alpha");
  const double warm = integer(o, "warmup_steps");
  const double start = o.number("initial_learning_rate");
  const bool warms = o.has("warmup_target") && warm > 0;
  const double top = o.has("warmup_target") ? o.number("warmup_target") : start;
  const Val since = warms ? maximum(step - warm, 0.0) : step;
  const Val decayed = (half_cosine(minimum(since, length) / length) * (1.0 - alpha) + alpha) * top;
  if (!warms) return decayed;
  const Val rising = (step / warm) * (top - start) + start;
  return select(less(step, warm), rising, decayed);
}

// Cycle i has length first t_mul^i and begins after (t_mul^i - 1) / (t_mul - 1) first cycles. The
// logarithm that turns this around only guesses i; where the cycles begin decides.
Val cycle_of(Val done, double t_mul, double most) {
  const auto begin = [&](Val i) {
    return (whole_power_of(t_mul, i, most + 1.0) - 1.0) / (t_mul - 1.0);
  };
  const Val guess = log(single(done * (t_mul - 1.0) + 1.0)) * (1.0 / std::log(t_mul));
  Val i = maximum(floor_of(cast(guess, done.dtype())), 0.0);
  i = select(less(done, begin(i)), maximum(i - 1.0, 0.0), i);
  return select(greater_equal(done, begin(i + 1.0)), i + 1.0, i);
}

Val build_restarts(const Options& o, Val step) {
  const double t_mul = o.number("t_mul");
  const Val done = step / integer(o, "first_decay_steps");
  Val cycle = floor_of(done);
  Val progress = done - cycle;
  if (t_mul != 1.0) {
    constexpr double kMostSteps = 0x1p63;
    const double most = std::ceil(std::log1p(kMostSteps * (t_mul - 1.0)) / std::log(t_mul));
    cycle = cycle_of(done, t_mul, most);
    const Val scale = whole_power_of(t_mul, cycle, most);
    progress = (done - (scale - 1.0) / (t_mul - 1.0)) / scale;
  }
  const double alpha = o.number("alpha");
  const Val height = power_of(o.number("m_mul"), cycle);
  return (half_cosine(progress) * height * (1.0 - alpha) + alpha) *
         o.number("initial_learning_rate");
}

Val build_warmup(const Options& o, Val step) {
  const double warm = integer(o, "warmup_steps");
  const Component& then = *o.component("learning_rate");
  const Val top = build_schedule(then, constant(step, 0.0));
  const Val after = build_schedule(then, maximum(step - warm, 0.0));
  const double start = o.number("initial_learning_rate");
  const Val rising = (step / warm) * (top - start) + start;
  return select(less(step, warm), rising, after);
}

// Smith, Topin: "Super-convergence", 2018, as PyTorch's OneCycleLR counts: a phase of n steps ends
// at step n - 1.
Val build_one_cycle(const Options& o, Val step) {
  struct Phase {
    double end, from, to;
  };
  const double top = o.number("max_learning_rate");
  const double first = top / o.number("div_factor");
  const double last = first / o.number("final_div_factor");
  const double rise = o.number("pct_start") * integer(o, "total_steps");
  std::vector<Phase> phases = {{rise - 1.0, first, top}};
  if (o.flag("three_phase")) phases.push_back({2.0 * rise - 2.0, top, first});
  phases.push_back({integer(o, "total_steps") - 1.0, phases.back().to, last});
  const auto rate_in = [&](size_t i) {
    const double begin = i == 0 ? 0.0 : phases[i - 1].end;
    const auto& [end, from, to] = phases[i];
    if (end <= begin) return constant(step, i == 0 ? from : to);
    const Val done = minimum((step - begin) / (end - begin), 1.0);
    return (o.text("anneal_strategy") == "cos" ? half_cosine(done) : 1.0 - done) * (from - to) + to;
  };
  Val result = rate_in(phases.size() - 1);
  for (size_t i = phases.size() - 1; i-- > 0;)
    result = select(less_equal(step, phases[i].end), rate_in(i), result);
  return result;
}

double highest_value(const Options& o) {
  const std::vector<double>& values = o.numbers("values");
  return *std::max_element(values.begin(), values.end());
}

constexpr ScheduleDef kSchedules[] = {
    {{"constant", "the same rate at every step", kConstantOptions},
     [](const Options& o, Val step) { return constant(step, o.number("learning_rate")); },
     [](const Options& o) { return o.number("learning_rate"); }},
    {{"exponential_decay", "initial decay_rate^(step / decay_steps)", kDecayOptions, "exponential"},
     build_exponential,
     initial_rate},
    {{"inverse_time_decay", "initial / (1 + decay_rate step / decay_steps)", kDecayOptions,
      "inverse_time"},
     build_inverse_time,
     initial_rate},
    {{"step_decay", "initial factor^floor(step / step_size)", kStepOptions, "step"},
     build_step,
     initial_rate},
    {{"polynomial_decay", "(initial - end) (1 - step / decay_steps)^power + end",
      kPolynomialOptions, "polynomial"},
     build_polynomial,
     [](const Options& o) { return std::max(initial_rate(o), o.number("end_learning_rate")); }},
    {{"piecewise_constant_decay", "values[i] until boundaries[i]", kPiecewiseOptions,
      "piecewise_constant piecewise"},
     build_piecewise,
     highest_value},
    {{"cosine_decay", "half a cosine from initial to alpha initial, after an optional warm-up",
      kCosineOptions, "cosine"},
     build_cosine,
     [](const Options& o) { return std::max(initial_rate(o), o.number_or("warmup_target", 0)); }},
    {{"cosine_decay_restarts", "cosines one after another", kRestartOptions, "cosine_restarts"},
     build_restarts,
     initial_rate},
    {{"warmup", "linear rise, then another schedule", kWarmupOptions, "warm_up"},
     build_warmup,
     [](const Options& o) {
       return std::max(initial_rate(o), highest_rate(*o.component("learning_rate")));
     }},
    {{"one_cycle", "rise to the highest rate, then fall far below where it began, as PyTorch's",
      kOneCycleOptions, "one_cycle_lr"},
     build_one_cycle,
     [](const Options& o) { return o.number("max_learning_rate"); }},
};

}  // namespace

std::span<const ComponentDef* const> schedule_components() {
  static const auto list = [] {
    std::array<const ComponentDef*, std::size(kSchedules)> pointers{};
    for (size_t i = 0; i < pointers.size(); ++i)
      pointers[i] = &kSchedules[i].base;
    return pointers;
  }();
  return list;
}

double highest_rate(const Component& schedule) {
  for (const ScheduleDef& def : kSchedules) {
    if (&def.base == schedule.def) return def.highest(schedule.options);
  }
  GRADC_UNREACHABLE();
}

Val build_schedule(const Component& schedule, Val step) {
  for (const ScheduleDef& def : kSchedules) {
    if (&def.base == schedule.def) return def.build(schedule.options, step);
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc
