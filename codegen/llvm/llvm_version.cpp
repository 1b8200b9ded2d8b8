#include "codegen/llvm_version.h"

#include <llvm/Config/llvm-config.h>

namespace gradc {

const char* llvm_version() {
  return LLVM_VERSION_STRING;
}

}  // namespace gradc
