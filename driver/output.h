// Writing files with diagnostics: runtime/output_file.h for the driver and the tools.
#pragma once

#include "runtime/output_file.h"
#include "support/result.h"
#include "support/source_file.h"

#include <string>
#include <string_view>

namespace gradc {

/// kFileUnwritable if the runtime's status is a failure.
Status from_output(const rt::Status& status);

/// Refuses what cannot be written, before work is spent on it.
Status check_output(const std::string& path);

/// Refuses an output that would take the place of the input.
Status check_apart(const std::string& output, const std::string& input);
/// The same of all descriptions that a model was read from, by the names that they were read by.
Status check_apart(const std::string& output, const SourceSet& sources);

/// Writes a whole file, or to standard output for "-".
Status write_output(const std::string& path, std::string_view bytes);

}  // namespace gradc
