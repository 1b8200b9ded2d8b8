// Twenty training steps on AArch64 and riscv64, run by qemu-user, give the bits that this machine
// gives by JIT: the processors with a fused multiply-add agree.
#include "tests/bits/nets.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

namespace gradc::bits {
namespace {

struct Machine {
  std::string name;
  std::string emulator;
  std::string compiler;  ///< C++, for that machine; empty: there is none
  std::string runtime;   ///< what a model's object is linked to
  std::string package;
  std::string features = {};
};

void PrintTo(const Machine& machine, std::ostream* out) {
  *out << machine.name << machine.features;
}

std::vector<Machine> machines() {
  const Machine riscv{"riscv64", "qemu-riscv64", GRADC_CXX_riscv64, GRADC_EMULATED_riscv64,
                      "g++-riscv64-linux-gnu"};
  Machine vectors = riscv;
  vectors.emulator += " -cpu rv64,v=true,vlen=128,vext_spec=v1.0";
  vectors.features = "+v";
  return {{"aarch64", "qemu-aarch64", GRADC_CXX_aarch64, GRADC_EMULATED_aarch64,
           "g++-aarch64-linux-gnu"},
          riscv,
          vectors};
}

class Emulated : public ::testing::TestWithParam<std::tuple<Machine, Net>> {};

TEST_P(Emulated, TwentyStepsGiveTheBitsOfThisMachine) {
  const auto& [machine, net] = GetParam();
  if (test::shell(machine.emulator + " --version").code != 0)
    GTEST_SKIP() << "no qemu-" << machine.name << " (Debian: apt-get install qemu-user)";
  if (machine.compiler.empty())
    GTEST_SKIP() << "no C++ compiler for " << machine.name << " when this was built (Debian: "
                 << "apt-get install " << machine.package << ")";
  const TargetInfo host = TargetInfo::host();
  if (!host.has_fma) GTEST_SKIP() << "this processor has no fused multiply-add";
  const auto target = TargetInfo::from(machine.name + "-linux-gnu", "", machine.features);
  ASSERT_TRUE(target.ok()) << target.message();
  EXPECT_TRUE(target->has_fma);
  const test::Scratch folder;
  test::write_text_file(folder / "model.o", object_of(net, *target));
  const test::Outcome linked =
      test::shell(machine.compiler + " -static -o " + (folder / "program") + " " +
                  (folder / "model.o") + " " + machine.runtime + " -lm -lpthread");
  ASSERT_EQ(linked.code, 0) << linked.output;
  const test::Outcome ran = test::shell(machine.emulator + " " + (folder / "program"));
  ASSERT_EQ(ran.code, 0) << ran.output;
  Net small = net;
  small.batch = net.small_batch;
  EXPECT_EQ(first_difference(ran.output, trained(small, host, 1)), "");
}

/// One net of bf16; those of f64 call the C library's functions, which each machine has its own of.
std::vector<Net> emulated_nets() {
  std::vector<Net> nets = four_nets();
  nets.push_back(bf16_nets().back());
  return nets;
}

INSTANTIATE_TEST_SUITE_P(Machines, Emulated,
                         ::testing::Combine(::testing::ValuesIn(machines()),
                                            ::testing::ValuesIn(emulated_nets())),
                         [](const auto& test) {
                           const Machine& machine = std::get<0>(test.param);
                           return machine.name + (machine.features.empty() ? "_" : "_vectors_") +
                                  std::get<1>(test.param).name;
                         });

}  // namespace
}  // namespace gradc::bits
