// Compiled code on processors that lack what it needs: refused with a text, never an illegal
// instruction. Older processors are qemu's.
#include "codegen/target_needs.h"
#include "runtime/processor.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace gradc::test {
namespace {

const std::string kModel = R"({"name": "probe", "inputs": [{"name": "x", "shape": [24]}],
  "layers": [{"type": "dense", "units": 32, "activation": "relu"}, {"type": "dense", "units": 1}],
  "training": {"loss": "mse", "optimizer": "adam", "batch_size": 16, "epochs": 1}})";

/// Inputs, targets and the model in a folder of their own.
class Processors : public ::testing::Test {
 protected:
  void SetUp() override {
    if (shell("command -v qemu-x86_64").code != 0)
      GTEST_SKIP() << "no qemu-x86_64 (Debian: apt-get install qemu-user)";
    if (shell("uname -m").output != "x86_64\n") GTEST_SKIP() << "not an x86-64 machine";
    write_text_file(folder / "model.json", kModel);
    std::string csv = "target";
    for (int c = 0; c < 24; ++c)
      csv += ",c" + std::to_string(c);
    csv += "\n";
    for (int r = 0; r < 48; ++r) {
      csv += std::to_string(r % 7);
      for (int c = 0; c < 24; ++c)
        csv += "," + std::to_string((r * 7 + c * 3) % 11);
      csv += "\n";
    }
    write_text_file(folder / "data.csv", csv);
  }
  std::string build(const std::string& cpu) {
    const std::string program = folder / ("probe-" + cpu);
    const Outcome made =
        gradc("compile " + (folder / "model.json") + " --cpu " + cpu + " -o " + program);
    EXPECT_EQ(made.code, 0) << made.output;
    return program;
  }
  Outcome train(const std::string& program, const std::string& processor) {
    return shell("qemu-x86_64 -cpu " + processor + " " + program + " train --data " +
                 (folder / "data.csv") + ":target=target --out " + (folder / "w.safetensors"));
  }

  Scratch folder;
};

TEST_F(Processors, ProgramsRefuseOlderOnes) {
  const std::string v3 = build("x86-64-v3");
  for (const char* old :
       {"Nehalem", "Westmere", "SandyBridge", "IvyBridge", "Opteron_G5", "qemu64"}) {
    const Outcome run = train(v3, old);
    EXPECT_EQ(run.code, 1) << old << run.output;
    EXPECT_NE(run.output.find("this processor lacks"), std::string::npos) << old << run.output;
    EXPECT_NE(run.output.find("avx2"), std::string::npos) << old << run.output;
    EXPECT_FALSE(std::filesystem::exists(folder / "w.safetensors"));
    EXPECT_EQ(shell("qemu-x86_64 -cpu " + std::string(old) + " " + v3 + " info").code, 0) << old;
  }
  const Outcome enough = train(v3, "max");
  EXPECT_EQ(enough.code, 0) << enough.output;
  const std::string v4 = build("x86-64-v4");
  const Outcome run = train(v4, "max");  // qemu has no AVX-512
  EXPECT_EQ(run.code, 1) << run.output;
  EXPECT_NE(run.output.find("avx512f"), std::string::npos) << run.output;
  const std::string native = build("native");
  const Outcome old = train(native, "Nehalem");
  EXPECT_TRUE(old.code == 1 || old.code == 0) << old.output;  // 0 on a machine as old as that
  const std::string least = build("x86-64");
  EXPECT_EQ(train(least, "Nehalem").code, 0);
}

// The processor has AVX; the system does not keep its registers.
TEST_F(Processors, TheSystemMustKeepTheRegisters) {
  const Outcome run = train(build("x86-64-v3"), "max,-xsave");
  EXPECT_EQ(run.code, 1) << run.output;
  EXPECT_NE(run.output.find("avx"), std::string::npos) << run.output;
}

TEST_F(Processors, LibrariesRefuseOlderOnes) {
  ASSERT_EQ(gradc("compile " + (folder / "model.json") + " --cpu x86-64-v3 --emit static -o " +
                  (folder / "libprobe.a"))
                .code,
            0);
  write_text_file(folder / "main.c", R"(#include "probe.h"
#include <stdio.h>
int main(void) {
  probe* p;
  char text[256];
  int status = probe_create(NULL, 0, 1, &p), same = probe_check_processor(text, sizeof text);
  printf("%d %d %s / %s\n", status, same, probe_status_text(status), text);
  if (status == PROBE_OK) probe_destroy(p);
  return status == same ? 0 : 1;
})");
  const std::string program = folder / "main";
  const Outcome linked = shell("cc " + (folder / "main.c") + " " + (folder / "libprobe.a") +
                               " -o " + program + " -lm -lpthread");
  ASSERT_EQ(linked.code, 0) << linked.output;
  const Outcome old = shell("qemu-x86_64 -cpu SandyBridge " + program);
  EXPECT_EQ(old.code, 0) << old.output;
  EXPECT_NE(old.output.find("the processor lacks what the code needs / "), std::string::npos)
      << old.output;
  EXPECT_NE(old.output.find("lacks fma, movbe, f16c, lzcnt, bmi, avx2"), std::string::npos)
      << old.output;
  EXPECT_EQ(shell("qemu-x86_64 -cpu max " + program).output.substr(0, 4), "0 0 ");
}

TEST(Processor, CommandsCompileForLessThanThisMachine) {
  const std::string bench = "bench " + source("examples/sigmoid_10_5_1.json") + " --steps 3 --cpu ";
  const Outcome unknown = gradc(bench + "pentium99");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.output.find("unknown CPU 'pentium99'"), std::string::npos) << unknown.output;
  if (shell("uname -m").output != "x86_64\n") return;
  const Outcome least = gradc(bench + "x86-64");
  EXPECT_EQ(least.code, 0) << least.output;
}

// Code for other machines says what it needs in the same words that their runtime core knows.
TEST(Processor, EveryNeedCanBeAskedFor) {
  int checked = 0;
  const auto check = [&](const TargetInfo& target) {
    const std::string needs = target_needs(target);
    std::string_view rest = needs;
    while (!rest.empty()) {
      const std::string_view name = rest.substr(0, rest.find(','));
      EXPECT_TRUE(rt::is_processor_feature(name.data(), name.size())) << name;
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
      ++checked;
    }
  };
  const std::vector<std::pair<const char*, std::vector<const char*>>> all = {
      {"x86_64", {"x86-64-v4", "sapphirerapids", "znver4", "bdver4", "arrowlake", "diamondrapids"}},
      {"aarch64", {"neoverse-v1", "neoverse-v2", "apple-m1", "cortex-a72", "ampere1b"}},
      {"riscv64", {"", "sifive-p670", "veyron-v1"}}};
  for (const auto& [triple, cpus] : all) {
    for (const char* cpu : cpus) {
      const auto target = TargetInfo::from(triple, cpu, "");
      if (target.ok()) check(*target);  // not every LLVM knows all of these
    }
  }
  EXPECT_GT(checked, 60);
  check(TargetInfo::host());
}

}  // namespace
}  // namespace gradc::test
