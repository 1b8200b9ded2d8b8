#include "codegen/llvm/failures.h"

#include "support/internal_error.h"

#include <llvm/Support/ErrorHandling.h>

#include <mutex>
#include <new>
#include <string>

namespace gradc::cg {

namespace {

std::mutex mutex;
int users = 0;

[[noreturn]] void no_memory(void*, const char*, bool) {
  throw std::bad_alloc();
}

[[noreturn]] void no_way_on(void*, const char* reason, bool) {
  throw InternalError(std::string("LLVM: ") + reason);
}

}  // namespace

LlvmFailures::LlvmFailures() {
  const std::lock_guard lock(mutex);
  if (users++ > 0) return;
  llvm::install_bad_alloc_error_handler(no_memory);
  llvm::install_fatal_error_handler(no_way_on);
}

LlvmFailures::~LlvmFailures() {
  const std::lock_guard lock(mutex);
  if (--users > 0) return;
  llvm::remove_bad_alloc_error_handler();
  llvm::remove_fatal_error_handler();
}

}  // namespace gradc::cg
