// `gradc compile`: a model to a native executable, library, object, assembly or LLVM IR file.
#pragma once

#include "codegen/target_info.h"
#include "driver/compiled_model.h"
#include "support/result.h"

#include <cstdint>
#include <string>

namespace gradc {

enum class EmitKind : uint8_t { kExecutable, kStatic, kShared, kObject, kAssembly, kLlvm };

struct AotOptions {
  std::string output;
  EmitKind emit = EmitKind::kExecutable;
  CompileOptions compile{};
};

/// What was written, for the report.
struct AotResult {
  std::vector<std::string> files;
  double compile_milliseconds = 0.0;
  bool stopped = false;  ///< a signal ended linking: nothing was written
};

/// Compiles all entries of the model and writes the output file, and a C header for libraries and
/// objects, whole or not at all.
Result<AotResult> compile_to_files(const Model& model, const AotOptions& options);

/// The generated C header: what `NAME.h` says of a compiled model.
std::string generated_header(const gradc_rt_model& model, const std::string& symbol);
/// Whether a file is such a header, of any model.
bool is_generated_header(const std::string& path);
/// The C source behind it: wrappers of the runtime core's functions.
std::string generated_wrappers(const std::string& symbol);
/// The functions that a generated header declares: what a library exports.
std::vector<std::string> exported_symbols(const std::string& symbol);

}  // namespace gradc
