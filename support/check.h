// Broken invariants of gradc itself: say what broke and stop. User mistakes are Diagnostics,
// never checks.
#pragma once

#include <fmt/format.h>

#include <string>

namespace gradc {

/// Throws an InternalError (internal_error.h): the command exits with status 70 (EX_SOFTWARE).
[[noreturn]] void internal_error(const char* file, int line, const std::string& message);

}  // namespace gradc

#define GRADC_CHECK(condition, ...)                                                          \
  do {                                                                                       \
    if (!(condition)) ::gradc::internal_error(__FILE__, __LINE__, fmt::format(__VA_ARGS__)); \
  } while (false)

#define GRADC_UNREACHABLE() ::gradc::internal_error(__FILE__, __LINE__, "unreachable code reached")
