// Numbers of the targets, and the diagnostics for targets that do not exist.
#include "codegen/target_info.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

TEST(TargetInfo, GenericTargetsHaveTheirClassesNumbers) {
  const TargetInfo sse = TargetInfo::generic_sse();
  EXPECT_EQ(sse.vector_bytes, 16);
  EXPECT_EQ(sse.vector_registers, 16);
  EXPECT_FALSE(sse.has_fma);
  EXPECT_FALSE(sse.has_masked_memory);
  const TargetInfo avx2 = TargetInfo::generic_avx2();
  EXPECT_EQ(avx2.vector_bytes, 32);
  EXPECT_TRUE(avx2.has_fma);
  const TargetInfo avx512 = TargetInfo::generic_avx512();
  EXPECT_EQ(avx512.vector_bytes, 64);
  EXPECT_EQ(avx512.vector_registers, 32);
  EXPECT_TRUE(avx512.has_masked_memory);
  EXPECT_EQ(avx512.lanes(4), 16);
  const TargetInfo neon = TargetInfo::generic_neon();
  EXPECT_EQ(neon.vector_bytes, 16);
  EXPECT_EQ(neon.vector_registers, 32);
  EXPECT_TRUE(neon.has_fma);
}

TEST(TargetInfo, HostIsPlausible) {
  const TargetInfo host = TargetInfo::host();
  EXPECT_FALSE(host.triple.empty());
  EXPECT_GE(host.vector_bytes, 16);
  EXPECT_GE(host.l1_bytes, 8 * 1024);
  EXPECT_GT(host.l2_bytes, host.l1_bytes);
  EXPECT_GE(host.cores, 1);
}

TEST(TargetInfo, UnknownTargetsAreDiagnosed) {
  auto triple = TargetInfo::from("nonsense-machine", "", "");
  ASSERT_FALSE(triple.ok());
  EXPECT_NE(triple.message().find("nonsense"), std::string::npos);
  auto cpu = TargetInfo::from("x86_64-unknown-linux-gnu", "pentium99", "");
  ASSERT_FALSE(cpu.ok());
  EXPECT_EQ(cpu.message(), "unknown CPU 'pentium99' for target 'x86_64-unknown-linux-gnu'");
  auto feature = TargetInfo::from("x86_64-unknown-linux-gnu", "x86-64-v3", "+warp");
  ASSERT_FALSE(feature.ok());
  auto v3 = TargetInfo::from("x86_64-unknown-linux-gnu", "x86-64", "+avx2,+fma");
  ASSERT_TRUE(v3.ok());
  EXPECT_EQ(v3->vector_bytes, 32);
  EXPECT_TRUE(v3->has_fma);
}

}  // namespace
}  // namespace gradc
