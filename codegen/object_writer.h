// Compiles a kernel program to a file's contents: object code, assembly, or LLVM IR text. The
// machine code is that of jit.h for the same TargetInfo.
#pragma once

#include "codegen/compile_timings.h"
#include "codegen/kernel/program_tables.h"
#include "codegen/target_info.h"
#include "support/result.h"

#include <string>
#include <vector>

namespace gradc {

enum class ObjectKind : uint8_t { kObject, kAssembly, kLlvm };

struct ObjectOptions {
  ObjectKind kind = ObjectKind::kObject;
  /// Before every symbol: the model's name, so that several models link into one program.
  std::string symbol_prefix = "gradc_";
  /// The model's description, emitted as constant data under `model_symbol` with the entries of the
  /// program; null: the kernels alone, which are visible to the linker then.
  const gradc_rt_model* model = nullptr;
  std::string model_symbol = "gradc_model";
};

struct ObjectFile {
  std::string bytes;
  std::vector<int64_t> kernel_scratch;  ///< bytes per thread, by kernel
  CompileTimings timings;
};

/// Compiles all kernels into one relocatable (position-independent) file.
Result<ObjectFile> write_object(const kernel::Program& program, const TargetInfo& target,
                                const ObjectOptions& options);

}  // namespace gradc
