#include "support/check.h"

#include "support/utf8.h"

#include <cstdio>
#include <cstdlib>

namespace gradc {

void internal_error(const char* file, int line, const std::string& message) {
  std::fflush(stdout);
  std::fprintf(
      stderr,
      "gradc: internal error: %s\n  at %s:%d\n  this is a bug in gradc; please report it with the "
      "model and the command line\n",
      printable_lines(message).c_str(), file, line);
  std::_Exit(70);
}

}  // namespace gradc
