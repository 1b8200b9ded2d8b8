// From the runtime core's Status to diagnostics.
#pragma once

#include "runtime/status.h"
#include "support/result.h"

namespace gradc {

/// One diagnostic per line of a failed status (kInvalidData).
inline Status from_runtime(const rt::Status& status) {
  if (status.ok()) return Ok{};
  Failure failure;
  const std::string_view text(status.text.c_str(), status.text.size());
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) {
      failure.diagnostics.push_back(
          make_error(DiagKind::kInvalidData, {}, "{}", text.substr(begin, end - begin)));
    }
    begin = end + 1;
  }
  return failure;
}

}  // namespace gradc
