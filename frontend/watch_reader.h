// What a training section does when a loss or a metric no longer gets better.
#pragma once

#include "frontend/families.h"
#include "frontend/json_reader.h"
#include "frontend/model.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// Losses and metrics by their names in the log, each also with "val_" in front.
class Monitors {
 public:
  void add(std::string name, Better better) { all_.push_back({std::move(name), better}); }
  std::vector<std::string> names() const;
  /// None if there is none of that name.
  std::optional<Better> better(std::string_view name) const;

 private:
  struct Monitor {
    std::string name;
    Better better;
  };
  std::vector<Monitor> all_;
};

EarlyStopping read_early_stopping(const JsonCursor& at, DiagnosticSink& sink,
                                  const Monitors& monitors);
ReduceOnPlateau read_reduce_on_plateau(const JsonCursor& at, DiagnosticSink& sink,
                                       const Monitors& monitors);

/// The option tables, for the schema and the reference.
std::span<const OptionDef> early_stopping_options();
std::span<const OptionDef> reduce_on_plateau_options();

}  // namespace gradc
