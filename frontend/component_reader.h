// Reading options and typed objects by their tables.
#pragma once

#include "frontend/json_reader.h"
#include "frontend/options.h"

#include <memory>
#include <optional>

namespace gradc {

/// Reads every option of a table from the object; missing ones get their default or are reported.
void read_options(ObjectReader& reader, std::span<const OptionDef> table, Options& options);

/// One option value by its table entry; nothing after a report.
std::optional<OptionValue> read_option(DiagnosticSink& sink, const JsonCursor& at,
                                       const OptionDef& def);

/// "relu" or {"type": "relu", ...}; a plain number is a constant learning-rate schedule. Null after
/// a report.
std::shared_ptr<const Component> read_component(DiagnosticSink& sink, const JsonCursor& at,
                                                Family family);

/// An option's default, read as every other text: without the process's locale.
OwnJson default_value(const OptionDef& def);

/// Sets every option that has a default to it; required ones stay unset.
void fill_defaults(std::span<const OptionDef> table, Options& options);

}  // namespace gradc
