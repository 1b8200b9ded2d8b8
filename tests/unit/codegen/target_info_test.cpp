// Numbers of the targets, and the diagnostics for targets that do not exist.
#include "codegen/target_info.h"

#include "codegen/target_needs.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

TEST(TargetInfo, GenericTargetsHaveTheirClassesNumbers) {
  const TargetInfo sse = TargetInfo::generic_sse();
  EXPECT_EQ(sse.vector_bytes, 16);
  EXPECT_EQ(sse.vector_registers, 16);
  EXPECT_FALSE(sse.has_fma);
  EXPECT_FALSE(sse.has_masked_memory);
  EXPECT_FALSE(sse.has_f16);
  const TargetInfo avx2 = TargetInfo::generic_avx2();
  EXPECT_EQ(avx2.vector_bytes, 32);
  EXPECT_TRUE(avx2.has_fma);
  const TargetInfo avx512 = TargetInfo::generic_avx512();
  EXPECT_EQ(avx512.vector_bytes, 64);
  EXPECT_EQ(avx512.vector_registers, 32);
  EXPECT_TRUE(avx512.has_masked_memory);
  EXPECT_TRUE(avx512.has_f16);
  EXPECT_EQ(avx512.lanes(4), 16);
  const TargetInfo neon = TargetInfo::generic_neon();
  EXPECT_EQ(neon.vector_bytes, 16);
  EXPECT_EQ(neon.vector_registers, 32);
  EXPECT_TRUE(neon.has_fma);
  const auto riscv = TargetInfo::from("riscv64", "", ""),
             rvv = TargetInfo::from("riscv64", "", "+v");
  ASSERT_TRUE(riscv.ok() && rvv.ok());
  EXPECT_TRUE(riscv->has_fma && rvv->has_fma);
  EXPECT_EQ(riscv->vector_bytes, 8);
  EXPECT_EQ(rvv->vector_bytes, 16);
  EXPECT_EQ(rvv->vector_registers, 32);
}

TEST(TargetInfo, LessThanThisMachineHasItsCaches) {
  const TargetInfo host = TargetInfo::host();
  const auto all = TargetInfo::host_as("");
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->features, host.features);
  EXPECT_FALSE(TargetInfo::host_as("pentium99").ok());
  if (host.triple.substr(0, 6) != "x86_64") return;
  const auto less = TargetInfo::host_as("x86-64");
  ASSERT_TRUE(less.ok());
  EXPECT_EQ(less->vector_bytes, 16);
  EXPECT_EQ(less->l2_bytes, host.l2_bytes);
  EXPECT_EQ(less->cores, host.cores);
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

std::string refusal(const std::string& triple, const std::string& cpu = "",
                    const std::string& features = "") {
  const auto target = TargetInfo::from(triple, cpu, features);
  return target.ok() ? std::string() : target.message();
}

TEST(TargetInfo, WhatIsNotServedIsRefusedByName) {
  for (const char* triple : {"x86_64-pc-windows-msvc",
                             "x86_64-w64-windows-gnu",
                             "aarch64-apple-darwin",
                             "arm64-apple-macos14",
                             "x86_64-apple-ios",
                             "nvptx64-nvidia-cuda",
                             "amdgcn-amd-amdhsa",
                             "wasm32-unknown-unknown",
                             "wasm64-unknown-unknown",
                             "i386-linux-gnu",
                             "i686-pc-linux-gnu",
                             "armv7-linux-gnueabihf",
                             "riscv32-linux-gnu",
                             "aarch64_be-linux-gnu",
                             "aarch64_32-apple-watchos",
                             "x86_64-linux-gnux32",
                             "aarch64-linux-gnu_ilp32",
                             "s390x-linux-gnu",
                             "powerpc64-linux-gnu",
                             "powerpc64le-linux-gnu",
                             "mips64-linux-gnu",
                             "sparcv9-sun-solaris",
                             "x86_64-unknown-freebsd",
                             "aarch64-none-elf",
                             "x86_64-unknown-uefi",
                             "bpf",
                             "spirv64",
                             "hexagon",
                             "avr",
                             "r600",
                             "loongarch64-linux-gnu",
                             "x86_64-linux-gnu-macho",
                             "x86_64-linux-gnu-coff"}) {
    const std::string text = refusal(triple);
    EXPECT_NE(text.find("target '"), std::string::npos) << triple << ": " << text;
    EXPECT_NE(text.find(std::string(triple).substr(0, 4)), std::string::npos) << text;
  }
  for (const char* triple : {"nonsense", "-", "--", "---", "x86-64", "amd65", "../../etc",
                             "x86_64 linux", "%s%n", "\n"}) {
    EXPECT_NE(refusal(triple), "") << triple;
  }
  for (const char* triple : {"x86_64-linux-gnu", "x86_64-pc-linux-gnu", "x86_64-unknown-linux-musl",
                             "x86_64", "aarch64-linux-gnu", "arm64-linux-gnu",
                             "aarch64-linux-android", "riscv64-linux-gnu", "riscv64"}) {
    EXPECT_EQ(refusal(triple), "") << triple;
  }
}

TEST(TargetInfo, ImpossibleProcessorsAreRefused) {
  for (const char* cpu : {"i386", "pentium4", "pentium-m", "c3"}) {
    EXPECT_NE(refusal("x86_64-linux-gnu", cpu).find("64bit"), std::string::npos) << cpu;
  }
  for (const char* cpu : {"help", "x86-64-v5", "Haswell", "haswell ", "cortex-a72", "-", "\x01"}) {
    EXPECT_EQ(refusal("x86_64-linux-gnu", cpu).substr(0, 13), "unknown CPU '") << cpu;
  }
  EXPECT_NE(refusal("riscv64-linux-gnu", "sifive-s51"), "");  // no floating point
  EXPECT_EQ(refusal("riscv64-linux-gnu", "sifive-u74"), "");
  EXPECT_NE(refusal("aarch64-linux-gnu", "native"), "");
}

TEST(TargetInfo, FeaturesAreThoseThatCodeCanUse) {
  for (const char* features : {"avx2", "++avx2", "+", "-", ",", "+avx2,", "+avx2 ,+fma", "+help",
                               "-sse2", "-64bit", "+16bit-mode", "+soft-float", "-x87", "+neon"}) {
    EXPECT_NE(refusal("x86_64-linux-gnu", "x86-64", features), "") << features;
  }
  EXPECT_NE(refusal("aarch64-linux-gnu", "", "-neon"), "");
  EXPECT_NE(refusal("aarch64-linux-gnu", "", "-fp-armv8"), "");
  EXPECT_NE(refusal("aarch64-linux-gnu", "", "+reserve-x1"), "");
  EXPECT_NE(refusal("riscv64-linux-gnu", "", "-d"), "");
  EXPECT_EQ(refusal("x86_64-linux-gnu", "x86-64-v3", "-fma,+prefer-256-bit"), "");
  EXPECT_NE(refusal("", "native", "+nonsense"), "");
}

TEST(TargetInfo, NeedsAreListed) {
  EXPECT_EQ(target_needs(TargetInfo::generic_sse()), "");
  EXPECT_EQ(target_needs(TargetInfo::generic_avx2()),
            "sse3,ssse3,sse4.1,sse4.2,popcnt,lzcnt,movbe,avx,avx2,f16c,fma,bmi,bmi2");
  const std::string v4 = target_needs(TargetInfo::generic_avx512());
  for (const char* name : {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})
    EXPECT_NE(v4.find(name), std::string::npos) << name;
  EXPECT_EQ(target_needs(TargetInfo::generic_neon()), "fp-armv8,neon");
  const auto riscv = TargetInfo::from("riscv64", "", "");
  ASSERT_TRUE(riscv.ok()) << riscv.message();
  EXPECT_EQ(target_needs(*riscv), "m,a,f,d,c");
  const auto less = TargetInfo::from("x86_64-linux-gnu", "x86-64-v3", "-avx2");
  ASSERT_TRUE(less.ok());
  EXPECT_EQ(target_needs(*less).find("avx2"), std::string::npos);
}

}  // namespace
}  // namespace gradc
