// The kinds of warnings: what may be silenced by name with --no-warn KIND, and the cure of each.
// One list for the whole of gradc: the compiler's diagnostics of the same names are told from the
// model, the others from the data when the program runs.
#pragma once

#include <cstdint>

// GRADC_WARNING(enumerator, "name", "cure"), sorted by name. A cure that the message itself gives
// (as it depends on the model) is empty.
#define GRADC_WARNINGS(GRADC_WARNING)                                                            \
  GRADC_WARNING(kAssumed, "assumed", "")                                                         \
  GRADC_WARNING(kByPosition, "by-position",                                                      \
                "weights that gradc trains from a table or text know the names")                 \
  GRADC_WARNING(kEarlyStopping, "early-stopping", "give --validation-split, or validation data") \
  GRADC_WARNING(kInputScale, "input-scale",                                                      \
                "\"scale\" or \"standardize\": true for this input in the model's \"data\"")     \
  GRADC_WARNING(kLearningRate, "learning-rate", "")                                              \
  GRADC_WARNING(kLeftOut, "left-out", "")                                                        \
  GRADC_WARNING(kMissingClass, "missing-class",                                                  \
                "shuffle the rows of the data file, or give validation data of its own")         \
  GRADC_WARNING(kMissingSoftmax, "missing-softmax", "")                                          \
  GRADC_WARNING(kPlanMemory, "plan-memory", "a smaller \"batch_size\", or a machine with more")  \
  GRADC_WARNING(kTargetRows, "target-rows",                                                      \
                "divide each example's row by its sum, or give class numbers")                   \
  GRADC_WARNING(kTargetScale, "target-scale",                                                    \
                "\"scale\" or \"standardize\": true for this target in the model's \"data\"")    \
  GRADC_WARNING(kUnknownCategory, "unknown-category", "")                                        \
  GRADC_WARNING(kUnusedLayer, "unused-layer", "")                                                \
  GRADC_WARNING(kUnusedParameter, "unused-parameter", "")

namespace gradc::rt {

enum class WarningKind : uint8_t {
#define GRADC_WARNING(enumerator, name, cure) enumerator,
  GRADC_WARNINGS(GRADC_WARNING)
#undef GRADC_WARNING
};
inline constexpr int kNumWarningKinds = 0
#define GRADC_WARNING(enumerator, name, cure) +1
    GRADC_WARNINGS(GRADC_WARNING)
#undef GRADC_WARNING
    ;

const char* warning_name(WarningKind kind);
const char* warning_cure(WarningKind kind);
/// "early-stopping, input-scale, ...", for messages and help.
extern const char* const kWarningNames;

/// The kinds that were silenced.
class Warnings {
 public:
  /// False when no kind has that name.
  bool silence(const char* name);
  bool silenced(WarningKind kind) const { return (silenced_ >> static_cast<int>(kind) & 1U) != 0; }

 private:
  uint32_t silenced_ = 0;
};

/// Prints "warning: TEXT [kind]" and the cure on stderr, unless it is silenced. Text of the user's
/// in it must be made printable before.
void warn(const Warnings& warnings, WarningKind kind, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

}  // namespace gradc::rt
