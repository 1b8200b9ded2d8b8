// `gradc compile`: a model to a native executable, library, object, assembly or LLVM IR file.
#pragma once

#include "codegen/target_info.h"
#include "driver/compiled_model.h"
#include "support/result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gradc {

enum class EmitKind : uint8_t { kExecutable, kStatic, kShared, kObject, kAssembly, kLlvm };

/// What a library has for hosts that train by hand, beside train_step, evaluate and predict.
struct HostCalls {
  bool gradients = false;  ///< of parameters from the model's loss; apply_gradients
  bool losses = false;     ///< of the host's own: forward and backward; apply_gradients
  bool inputs = false;   ///< gradients of inputs, by whichever of these there are, or else by both
  bool numbers = false;  ///< set_hyperparameter
  bool operator==(const HostCalls&) const = default;
};

/// The entries behind them.
std::vector<EntryPoint> entries_for(const HostCalls& calls);

struct AotOptions {
  std::string output;
  EmitKind emit = EmitKind::kExecutable;
  HostCalls hosts{};
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
