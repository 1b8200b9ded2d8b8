#include "frontend/watch_reader.h"

#include "frontend/component_reader.h"
#include "support/suggest.h"

#include <algorithm>

namespace gradc {
namespace {

constexpr OptionDef kMonitor = {.name = "monitor",
                                .type = OptionType::kString,
                                .default_json = "\"val_loss\"",
                                .doc = "what is watched"};
constexpr OptionDef kMode = {
    .name = "mode",
    .type = OptionType::kEnum,
    .default_json = "\"auto\"",
    .doc = "which direction is better; auto: as the metric says, smaller for losses",
    .choices = "auto min max"};

constexpr OptionDef kEarlyStoppingOptions[] = {
    kMonitor,
    {.name = "patience",
     .type = OptionType::kInt,
     .default_json = "0",
     .doc = "epochs without improvement before stopping",
     .min = 0,
     .max = 1e9},
    {.name = "min_delta",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "least change that counts",
     .min = 0},
    kMode,
    {.name = "restore_best_weights",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "end with the best epoch's weights"},
};

constexpr OptionDef kReduceOnPlateauOptions[] = {
    kMonitor,
    {.name = "factor",
     .type = OptionType::kFloat,
     .default_json = "0.1",
     .doc = "of the learning rate, each time",
     .min = 0,
     .max = 1,
     .above_min = true,
     .below_max = true},
    {.name = "patience",
     .type = OptionType::kInt,
     .default_json = "10",
     .doc = "epochs without improvement before the rate falls",
     .min = 1,
     .max = 1e9},
    {.name = "min_delta",
     .type = OptionType::kFloat,
     .default_json = "0.0001",
     .doc = "least change that counts",
     .min = 0},
    kMode,
    {.name = "cooldown",
     .type = OptionType::kInt,
     .default_json = "0",
     .doc = "epochs after the rate fell that are not waited for",
     .min = 0,
     .max = 1e9},
    {.name = "min_learning_rate",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "below which the rate does not fall; of a schedule, below which its highest does not",
     .min = 0},
};

/// The common part: what is watched, and whether it is better when larger.
bool read_monitor(const JsonCursor& at, const Options& options, DiagnosticSink& sink,
                  std::string_view who, const Monitors& monitors) {
  const std::string& monitor = options.text("monitor");
  const std::optional<Better> better = monitors.better(monitor);
  if (!better && !sink.has_errors()) {
    sink.error(DiagKind::kUnknownReference, at.member("monitor").place(),
               "{} monitors \"{}\", which is no loss or metric of this model", who, monitor)
        .with_help(suggestion(monitor, monitors.names()));
  }
  const std::string& mode = options.text("mode");
  return mode == "auto" ? better == Better::kLarger : mode == "max";
}

}  // namespace

std::vector<std::string> Monitors::names() const {
  std::vector<std::string> names;
  for (const Monitor& monitor : all_)
    names.push_back(monitor.name);
  for (const Monitor& monitor : all_)
    names.push_back("val_" + monitor.name);
  return names;
}

std::optional<Better> Monitors::better(std::string_view name) const {
  const auto found = std::find_if(all_.begin(), all_.end(), [&](const Monitor& monitor) {
    return name == monitor.name || name == "val_" + monitor.name;
  });
  if (found == all_.end()) return std::nullopt;
  return found->better;
}

EarlyStopping read_early_stopping(const JsonCursor& at, DiagnosticSink& sink,
                                  const Monitors& monitors) {
  ObjectReader reader(sink, at, "\"early_stopping\"");
  Options options;
  read_options(reader, kEarlyStoppingOptions, options);
  reader.finish();
  EarlyStopping stopping;
  stopping.monitor = options.text("monitor");
  stopping.patience = options.integer("patience");
  stopping.min_delta = options.number("min_delta");
  stopping.restore_best_weights = options.flag("restore_best_weights");
  stopping.larger_is_better = read_monitor(at, options, sink, "early stopping", monitors);
  return stopping;
}

ReduceOnPlateau read_reduce_on_plateau(const JsonCursor& at, DiagnosticSink& sink,
                                       const Monitors& monitors) {
  constexpr std::string_view kName = "\"reduce_on_plateau\"";
  ObjectReader reader(sink, at, std::string(kName));
  Options options;
  read_options(reader, kReduceOnPlateauOptions, options);
  reader.finish();
  ReduceOnPlateau plateau;
  plateau.monitor = options.text("monitor");
  plateau.factor = options.number("factor");
  plateau.patience = options.integer("patience");
  plateau.min_delta = options.number("min_delta");
  plateau.cooldown = options.integer("cooldown");
  plateau.min_learning_rate = options.number("min_learning_rate");
  plateau.larger_is_better = read_monitor(at, options, sink, kName, monitors);
  return plateau;
}

std::span<const OptionDef> early_stopping_options() {
  return kEarlyStoppingOptions;
}
std::span<const OptionDef> reduce_on_plateau_options() {
  return kReduceOnPlateauOptions;
}

}  // namespace gradc
