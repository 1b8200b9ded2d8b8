// Names, cures and printing of warnings.
#include "runtime/warnings.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace gradc::rt {
namespace {

struct WarningDef {
  const char* name;
  const char* cure;
};

constexpr WarningDef kWarnings[] = {
#define GRADC_WARNING(enumerator, name, cure) {name, cure},
    GRADC_WARNINGS(GRADC_WARNING)
#undef GRADC_WARNING
};

constexpr const char kJoined[] =
#define GRADC_WARNING(enumerator, name, cure) ", " name
    GRADC_WARNINGS(GRADC_WARNING)
#undef GRADC_WARNING
    ;

}  // namespace

const char* const kWarningNames = kJoined + 2;

const char* warning_name(WarningKind kind) {
  return kWarnings[static_cast<int>(kind)].name;
}

const char* warning_cure(WarningKind kind) {
  return kWarnings[static_cast<int>(kind)].cure;
}

bool Warnings::silence(const char* name) {
  for (int i = 0; i < kNumWarningKinds; ++i) {
    if (strcmp(kWarnings[i].name, name) != 0) continue;
    silenced_ |= 1U << i;
    return true;
  }
  return false;
}

void warn(const Warnings& warnings, WarningKind kind, const char* format, ...) {
  if (warnings.silenced(kind)) return;
  fputs("warning: ", stderr);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  const char* cure = warning_cure(kind);
  fprintf(stderr, " [%s]\n", warning_name(kind));
  if (cure[0] != '\0') fprintf(stderr, "  help: %s\n", cure);
}

}  // namespace gradc::rt
