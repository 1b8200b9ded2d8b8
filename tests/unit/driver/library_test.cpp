// What `gradc compile` writes: sizes and dependencies of the executable, symbols of the libraries,
// the generated header from C, several instances side by side; and the host programs of examples/.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <set>

namespace gradc::test {
namespace {

const std::string kModel = source("examples/regression_100.json");

TEST(NativeBinary, IsSmallAndNeedsLibcAndLibmOnly) {
  const Scratch scratch;
  const std::string binary = scratch / "mlp";
  ASSERT_EQ(gradc("compile " + source("examples/fashion_mnist_mlp.json") + " -o " + binary).code,
            0);
  ASSERT_EQ(shell("strip " + binary).code, 0);
  EXPECT_LT(std::filesystem::file_size(binary), 600U * 1000U);
  std::istringstream lines(shell("ldd " + binary).output);
  for (std::string line; std::getline(lines, line);) {
    const bool known =
        line.find("libc.so") != std::string::npos || line.find("libm.so") != std::string::npos ||
        line.find("linux-vdso") != std::string::npos || line.find("ld-linux") != std::string::npos;
    EXPECT_TRUE(known) << line;
  }
  EXPECT_EQ(shell(binary + " --help").code, 0);
  EXPECT_EQ(shell(binary + " nonsense").code, 2);
}

TEST(StaticLibrary, ExportsItsDocumentedSymbolsOnly) {
  const Scratch scratch;
  ASSERT_EQ(gradc("compile " + kModel + " --emit static -o " + (scratch / "libmodel.a")).code, 0);
  std::istringstream lines(shell("nm -g --defined-only " + (scratch / "libmodel.a")).output);
  std::set<std::string> symbols;
  for (std::string address, kind, name, line; std::getline(lines, line);) {
    std::istringstream words(line);
    if (words >> address >> kind >> name) symbols.insert(name);
  }
  EXPECT_EQ(symbols.size(), 29U);
  const std::string header = read_file(scratch / "regression_100.h");
  for (const std::string& symbol : symbols)
    EXPECT_NE(header.find(symbol + "("), std::string::npos) << symbol;
}

/// A C program that trains two instances of a model, one of them in memory of its own, and compares
/// them.
constexpr const char* kProgram = R"(
#include "regression_100.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static float x[REGRESSION_100_BATCH_SIZE * 100], y[REGRESSION_100_BATCH_SIZE * 10], out[REGRESSION_100_BATCH_SIZE * 10];
int main(void) {
  regression_100 *a, *b, *none;
  size_t bytes = regression_100_memory_bytes(1);
  void* memory = malloc(bytes);
  if (regression_100_create(memory, bytes, 1, &a) != 0 || regression_100_create(NULL, 0, 2, &b) != 0) return 1;
  if (regression_100_create(memory, 8, 1, &none) != REGRESSION_100_MEMORY_TOO_SMALL) return 2;
  if (regression_100_init(a, 1) != 0 || regression_100_init(b, 1) != 0) return 3;
  unsigned s = 1;
  for (size_t i = 0; i < sizeof x / 4; ++i) { s = s * 1664525u + 1013904223u; x[i] = (float)(s >> 8) / 8388608.0f - 1.0f; }
  for (size_t i = 0; i < sizeof y / 4; ++i) y[i] = 0.3f * x[(i / 10) * 100 + i % 10];
  const void* in[] = {x};
  const void* target[] = {y};
  void* outs[] = {out};
  float first = 0, loss_a = 0, loss_b = 0;
  for (int i = 0; i < 200; ++i) {
    int64_t rows = i % 3 == 2 ? REGRESSION_100_BATCH_SIZE / 2 + 1 : REGRESSION_100_BATCH_SIZE;
    if (regression_100_train_step(a, in, target, rows, &loss_a) != 0) return 4;
    if (regression_100_train_step(b, in, target, rows, &loss_b) != 0) return 5;
    if (loss_a != loss_b) return 6;
    if (i == 0) first = loss_a;
  }
  if (!(loss_a < 0.5f * first)) return 7;
  if (regression_100_predict(a, in, REGRESSION_100_BATCH_SIZE, outs) != 0) return 8;
  if (regression_100_get_parameter(a, "no/such", out, 4) != REGRESSION_100_UNKNOWN_NAME) return 9;
  if (regression_100_last_error(a)[0] == 0) return 10;
  if (regression_100_save(a, "weights.safetensors", 1) != 0 || regression_100_load(b, "weights.safetensors") != 0) return 11;
  regression_100_destroy(a);
  regression_100_destroy(b);
  free(memory);
  printf("loss %f -> %f\n", first, loss_a);
  return 0;
}
)";

void build_and_run(const Scratch& scratch, const std::string& emit, const std::string& library,
                   const std::string& link) {
  const Outcome compiled =
      gradc("compile " + kModel + " --emit " + emit + " -o " + (scratch / library));
  ASSERT_EQ(compiled.code, 0) << compiled.output;
  write_text_file(scratch / "main.c", kProgram);
  const std::string folder = scratch / "";
  const Outcome built =
      shell("cd " + folder + " && cc -std=c11 -Wall -Wextra -Werror -pedantic main.c " + link +
            " -lm -lpthread -o main");
  ASSERT_EQ(built.code, 0) << built.output;
  const Outcome ran = shell("cd " + folder + " && LD_LIBRARY_PATH=. ./main");
  EXPECT_EQ(ran.code, 0) << ran.output;
}

TEST(StaticLibrary, TrainsFromC) {
  const Scratch scratch;
  build_and_run(scratch, "static", "libmodel.a", "libmodel.a");
}
TEST(SharedLibrary, TrainsFromC) {
  const Scratch scratch;
  build_and_run(scratch, "shared", "libmodel.so", "-L. -lmodel");
}
TEST(ObjectFile, TrainsFromC) {
  const Scratch scratch;
  build_and_run(scratch, "obj", "model.o", "model.o");
}

TEST(Emit, AssemblyAndLlvmForOtherTargets) {
  const Scratch scratch;
  for (const char* emit : {"asm", "llvm"}) {
    const Outcome outcome = gradc("compile " + kModel + " --target aarch64-linux-gnu --emit " +
                                  emit + " -o " + (scratch / emit));
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_GT(std::filesystem::file_size(scratch / emit), 1000U);
  }
  EXPECT_EQ(gradc("compile " + kModel + " --target aarch64-linux-gnu -o " + (scratch / "exe")).code,
            1);
  EXPECT_FALSE(std::filesystem::exists(scratch / "exe"));
}

TEST(HostExamples, CppAndC) {
  const Outcome cpp = shell(std::string(GRADC_HOST_CPP) + " " + kModel);
  EXPECT_EQ(cpp.code, 0) << cpp.output;
  const Outcome c = shell(std::string(GRADC_HOST_C) + " " + kModel);
  EXPECT_EQ(c.code, 0) << c.output;
  // Descriptions in HDF5 files and in archives beside them.
  for (const char* name : {"whole.h5", "keras2.keras"}) {
    const std::string file = std::string(GRADC_SOURCE_DIR) + "/tests/exchange/" + name;
    const Outcome keras = shell(std::string(GRADC_HOST_CPP) + " " + file);
    EXPECT_EQ(keras.code, 0) << keras.output;
  }
}

}  // namespace
}  // namespace gradc::test
