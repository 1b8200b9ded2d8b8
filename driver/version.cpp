#include "driver/version.h"

#include "codegen/llvm_version.h"
#include "codegen/target_info.h"
#include "runtime/version.h"

#include <fmt/format.h>

namespace gradc {

const char* version_number() {
  return rt::kVersion;
}

std::string version_text() {
  const TargetInfo host = TargetInfo::host();
  return fmt::format(
      "gradc {}\nLLVM {}\nhost {} ({}), {}-bit vectors, {} vector registers, {} core{}",
      version_number(), llvm_version(), host.cpu, host.triple, 8 * host.vector_bytes,
      host.vector_registers, host.cores, host.cores == 1 ? "" : "s");
}

}  // namespace gradc
