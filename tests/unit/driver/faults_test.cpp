// Memory that runs out at every single allocation: a program ends with a message and leaves no
// half-written file, a library and a host get a status, go on, and succeed when they try again.
#include "tests/support/sanitized.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "tiny", "inputs": [{"name": "x", "shape": [2]}],
  "layers": [{"type": "dense", "units": 3, "activation": "relu"}, {"type": "dense", "units": 1}],
  "training": {"loss": "mse", "optimizer": "adam", "batch_size": 4, "epochs": 2}})";

class Faults : public ::testing::Test {
 protected:
  void SetUp() override {
#if GRADC_SANITIZED
    GTEST_SKIP() << "a sanitizer owns the allocator";
#endif
    write_text_file(folder / "m.json", kModel);
    std::string csv = "y,a,b\n";
    for (int r = 0; r < 12; ++r)
      csv += std::to_string(r) + ".5," + std::to_string(r % 3) + "," + std::to_string(r % 4) + "\n";
    write_text_file(folder / "d.csv", csv);
    write_text_file(folder / "p.csv", "a,b\n1,2\n3,4\n");
  }

  /// Names in the folder, to see what a run leaves.
  std::string listing() { return shell("ls -A " + (folder / "")).output; }

  /// Runs the command with each allocation failing in turn (many: a sample of them). `output` is
  /// a file that it writes, whole or not at all; or none.
  void expect_survives(const std::string& command, const std::string& output) {
    const std::string preload = "LD_PRELOAD=" GRADC_FAIL_ALLOC " ";
    const Outcome whole = shell("FAIL_ALLOC_COUNT=" + (folder / "count") + " " + preload + command);
    ASSERT_EQ(whole.code, 0) << whole.output;
    const long count = std::stol(read_file(folder / "count"));
    const std::string wanted = output.empty() ? whole.output : read_file(output), files = listing();
    ASSERT_GT(count, 20);
    int refused = 0;
    for (long n = 1; n <= count; n += std::max(1L, count / 150)) {
      for (const char* all : {"", "+"}) {
        if (!output.empty()) write_text_file(output, "earlier");
        const Outcome run =
            shell("FAIL_ALLOC=" + std::to_string(n) + all + " " + preload + command);
        ASSERT_TRUE(run.code == 0 || run.code == 1) << n << all << ": " << run.code << run.output;
        if (run.code == 1) {
          ++refused;
          EXPECT_NE(run.output.find("error"), std::string::npos) << n << all << run.output;
          if (!output.empty()) {
            const std::string now = read_file(output);  // refused after all was written: all of it
            EXPECT_TRUE(now == "earlier" || now == wanted) << n << all << run.output;
          }
        } else {
          EXPECT_EQ(output.empty() ? run.output : read_file(output), wanted) << n << all;
        }
        ASSERT_EQ(listing(), files) << n << all;
      }
    }
    EXPECT_GT(refused, 10);
    std::printf("%ld allocations, %d runs refused\n", count, refused);
  }

  Scratch folder;
};

TEST_F(Faults, ProgramsEndWithAMessage) {
  const std::string program = folder / "tiny";
  ASSERT_EQ(gradc("compile " + (folder / "m.json") + " -o " + program).code, 0);
  expect_survives(program + " train --data " + (folder / "d.csv:target=y") + " --out " +
                      (folder / "w.safetensors"),
                  folder / "w.safetensors");
  ASSERT_EQ(shell(program + " train --data " + (folder / "d.csv:target=y") + " --out " +
                  (folder / "good.safetensors"))
                .code,
            0);
  expect_survives(program + " predict --weights " + (folder / "good.safetensors") + " --in " +
                      (folder / "p.csv") + " --out " + (folder / "p.npy"),
                  folder / "p.npy");
  expect_survives(program + " eval --weights " + (folder / "good.safetensors") + " --data " +
                      (folder / "d.csv:target=y") + " --json",
                  "");
}

constexpr const char* kLibraryHost = R"(#include "tiny.h"
#include <stdio.h>
#include <string.h>
void fail_alloc(long n, int all);
long fail_alloc_seen(void);
static float x[8], y[4], before[6], after[6];
static int made, failed;
static int check(int status) {
  if (status == TINY_OK) { ++made; return 1; }
  ++failed;
  return status == TINY_OUT_OF_MEMORY || status == TINY_CANNOT_CREATE || status == TINY_FILE_ERROR ? 1 : 0;
}
int main(int argc, char** argv) {
  const void *inputs[] = {x}, *targets[] = {y};
  if (argc != 2) return 9;
  for (int all = 0; all < 2; ++all) {
    for (long n = 1; n < 120; ++n) {
      tiny* it = NULL;
      fail_alloc(n, all);
      int status = tiny_create(NULL, 0, 2, &it);
      fail_alloc(0, 0);
      if (!check(status) || (status == TINY_OK) != (it != NULL)) return 1;
      if (it == NULL && tiny_create(NULL, 0, 2, &it) != TINY_OK) return 2;
      if (tiny_init(it, (uint64_t)n)) return 3;
      fail_alloc(n, all);
      status = tiny_train_step(it, inputs, targets, 4, NULL);
      fail_alloc(0, 0);
      if (status != TINY_OK) return 4; /* a step allocates nothing */
      fail_alloc(n, all);
      status = tiny_save(it, argv[1], 1);
      fail_alloc(0, 0);
      if (!check(status)) return printf("save %d %s\n", status, tiny_last_error(it)), 5;
      if (status != TINY_OK && tiny_last_error(it)[0] == 0) return 6;
      if (tiny_save(it, argv[1], 1)) return 7;
      if (tiny_get_parameter(it, "dense/kernel", before, sizeof before)) return 8;
      fail_alloc(n, all);
      status = tiny_load(it, argv[1]);
      fail_alloc(0, 0);
      if (!check(status)) return 10;
      if (tiny_get_parameter(it, "dense/kernel", after, sizeof after) || memcmp(before, after, sizeof after)) return 11;
      if (tiny_load(it, argv[1])) return 12;
      fail_alloc(n, all);
      status = tiny_load(it, "/nonexistent/file");
      fail_alloc(0, 0);
      if (status == TINY_OK) return 13;
      tiny_destroy(it);
    }
  }
  printf("%d made, %d failed\n", made, failed);
  return failed > 20 && made > 20 ? 0 : 14;
}
)";

TEST_F(Faults, LibrariesGiveAStatusAndGoOn) {
  ASSERT_EQ(
      gradc("compile " + (folder / "m.json") + " --emit static -o " + (folder / "libtiny.a")).code,
      0);
  write_text_file(folder / "main.c", kLibraryHost);
  const Outcome built =
      shell("cc -O1 " + (folder / "main.c") + " " + source("tests/support/fail_alloc.c") + " " +
            (folder / "libtiny.a") + " -o " + (folder / "main") + " -lm -lpthread");
  ASSERT_EQ(built.code, 0) << built.output;
  std::filesystem::create_directory(folder / "out");
  const Outcome run = shell((folder / "main") + " " + (folder / "out/w.safetensors"));
  EXPECT_EQ(run.code, 0) << run.output;
  std::printf("%s", run.output.c_str());
  EXPECT_EQ(shell("ls -A " + (folder / "out")).output, "w.safetensors\n");
}

// The compiler itself in the host: a sample of its allocations, each in a process of its own.
TEST_F(Faults, HostsOfTheCompilerGetAStatus) {
  const Outcome run =
      shell(std::string("timeout 250 ") + GRADC_HOST_FAULTS + " " + (folder / "w.safetensors"));
  EXPECT_EQ(run.code, 0) << run.output;
  std::printf("%s", run.output.c_str());
}

}  // namespace
}  // namespace gradc::test
