// Kinds of warnings and silencing them.
#include "runtime/warnings.h"

#include <gtest/gtest.h>

#include <string>

namespace gradc::rt {
namespace {

TEST(Warnings, AreListedSortedAndSilencedOneByOne) {
  std::string names;
  for (int i = 0; i < kNumWarningKinds; ++i) {
    const auto kind = static_cast<WarningKind>(i);
    if (i > 0) {
      EXPECT_LT(std::string(warning_name(static_cast<WarningKind>(i - 1))), warning_name(kind));
    }
    names += (i > 0 ? ", " : "") + std::string(warning_name(kind));
    Warnings warnings;
    EXPECT_FALSE(warnings.silenced(kind));
    EXPECT_TRUE(warnings.silence(warning_name(kind)));
    for (int k = 0; k < kNumWarningKinds; ++k)
      EXPECT_EQ(warnings.silenced(static_cast<WarningKind>(k)), k == i);
  }
  EXPECT_EQ(names, kWarningNames);
  EXPECT_FALSE(Warnings().silence("softmax"));
  EXPECT_FALSE(Warnings().silence(""));
}

TEST(Warnings, PrintTheirKindAndCure) {
  Warnings warnings;
  ::testing::internal::CaptureStderr();
  warn(warnings, WarningKind::kMissingClass, "class %d is missing", 3);
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.rfind("warning: class 3 is missing [missing-class]\n  help: shuffle", 0), 0U)
      << text;
  warnings.silence("missing-class");
  ::testing::internal::CaptureStderr();
  warn(warnings, WarningKind::kMissingClass, "class %d is missing", 3);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace gradc::rt
