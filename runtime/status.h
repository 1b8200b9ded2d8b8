// Status: how the runtime core reports what went wrong. No exceptions, no aborts on user mistakes.
#pragma once

#include "runtime/containers.h"

namespace gradc::rt {

enum class Code {
  kOk = 0,
  kUserError = 1,    // what the user gave is wrong: data, files, options (exit code 1)
  kUsage = 2,        // wrong command line (exit code 2)
  kStopped = 3,      // interrupted on request, state saved
  kOutOfMemory = 4,  // in the middle of it; what was being made is gone (exit code 1)
  kInternal = 70,    // a broken promise between compiler and runtime (exit code 70)
};

/// Success, or a code and a text (lower case, no final period; several problems on lines of their
/// own).
struct [[nodiscard]] Status {
  Code code = Code::kOk;
  Str text;

  bool ok() const { return code == Code::kOk; }
};

/// A kUserError with printf-formatted text.
Status error(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
/// A kUsage with printf-formatted text.
Status usage_error(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
/// A kInternal with printf-formatted text.
Status internal_error(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
/// The text with a line appended; the status becomes a kUserError if it was ok. For collecting
/// problems.
void add_problem(Status& status, const char* pattern, ...) __attribute__((format(printf, 2, 3)));

}  // namespace gradc::rt

// Returns from the enclosing function when the expression gives a failed Status.
#define GRADC_RT_TRY(expression)                               \
  do {                                                         \
    ::gradc::rt::Status gradc_rt_try_status = (expression);    \
    if (!gradc_rt_try_status.ok()) return gradc_rt_try_status; \
  } while (false)
