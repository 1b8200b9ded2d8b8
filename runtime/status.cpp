// Making Status values.
#include "runtime/status.h"

namespace gradc::rt {
namespace {

Status make(Code code, const char* pattern, va_list arguments) {
  Status status;
  status.code = code;
  status.text.append_formatted(pattern, arguments);
  return status;
}

}  // namespace

Status error(const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  Status status = make(Code::kUserError, pattern, arguments);
  va_end(arguments);
  return status;
}

Status usage_error(const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  Status status = make(Code::kUsage, pattern, arguments);
  va_end(arguments);
  return status;
}

Status internal_error(const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  Status status = make(Code::kInternal, pattern, arguments);
  va_end(arguments);
  return status;
}

void add_problem(Status& status, const char* pattern, ...) {
  if (status.ok()) status.code = Code::kUserError;
  if (!status.text.empty()) status.text.push('\n');
  va_list arguments;
  va_start(arguments, pattern);
  status.text.append_formatted(pattern, arguments);
  va_end(arguments);
}

}  // namespace gradc::rt
