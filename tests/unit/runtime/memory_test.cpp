// Running out of memory inside survive(): a status, and the process goes on.
#include "runtime/memory.h"

#include <gtest/gtest.h>

namespace gradc::rt {
namespace {

constexpr size_t kTooMuch = size_t{1} << 62;

Status takes(size_t bytes) {
  Vec<char> some(100);
  Str text("words that are kept until the end of the work");
  Vec<char> large;
  large.reserve(bytes);
  return error("%s", text.c_str());
}

TEST(Memory, WorkGivesItsOwnStatus) {
  const Status status = survive([] { return takes(10); });
  EXPECT_EQ(status.code, Code::kUserError);
  EXPECT_STREQ(status.text.c_str(), "words that are kept until the end of the work");
  EXPECT_TRUE(survive([] { return Status{}; }).ok());
}

TEST(Memory, RunningOutIsAStatus) {
  for (int i = 0; i < 3; ++i) {
    const Status status = survive([] { return takes(kTooMuch); });
    EXPECT_EQ(status.code, Code::kOutOfMemory);
    EXPECT_STREQ(status.text.c_str(), "out of memory: 4611686018427387904 bytes were asked for");
  }
}

TEST(Memory, InnerWorkEndsAlone) {
  const Status status = survive([] {
    Str before("before");
    const Status inner = survive([] { return takes(kTooMuch); });
    return error("%s, then %s", before.c_str(), inner.ok() ? "nothing" : "out of memory");
  });
  EXPECT_STREQ(status.text.c_str(), "before, then out of memory");
}

}  // namespace
}  // namespace gradc::rt
