// Compiles a kernel program to a file's contents: object code, assembly, or LLVM IR text. The
// machine code is that of jit.h for the same TargetInfo.
#pragma once

#include "codegen/compile_timings.h"
#include "codegen/kernel/program.h"
#include "codegen/target_info.h"
#include "support/result.h"

#include <string>
#include <vector>

namespace gradc {

struct ModelData;  // codegen/model_data.h

enum class ObjectKind : uint8_t { kObject, kAssembly, kLlvm };

struct ObjectOptions {
  ObjectKind kind = ObjectKind::kObject;
  /// Before every symbol: the model's name, so that several models link into one program.
  std::string symbol_prefix = "gradc_";
  /// Entries are visible to the linker; otherwise only the model's tables refer to them.
  bool export_entries = true;
  /// The model's tables, emitted as constant data; null: code only.
  const ModelData* model = nullptr;
};

struct ObjectFile {
  std::string bytes;
  std::vector<int64_t> entry_scratch_bytes;  ///< per entry of the program, per thread
  CompileTimings timings;
};

/// Compiles all entries into one relocatable (position-independent) file.
Result<ObjectFile> write_object(const kernel::Program& program, const TargetInfo& target,
                                const ObjectOptions& options);

}  // namespace gradc
