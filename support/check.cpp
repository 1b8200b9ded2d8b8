#include "support/check.h"

#include "support/internal_error.h"

namespace gradc {

void internal_error(const char* file, int line, const std::string& message) {
  throw InternalError(fmt::format("{}\n  at {}:{}", message, file, line));
}

}  // namespace gradc
