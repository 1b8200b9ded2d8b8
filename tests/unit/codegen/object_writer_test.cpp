// Object files: linked into a shared library they compute the bits that the JIT does, and hold the
// model's tables as runtime/model_abi.h lays them out.
#include "codegen/object_writer.h"

#include "runtime/model_abi.h"
#include "tests/unit/codegen/gemm_kernels.h"
#include "tests/unit/codegen/jit_support.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace gradc {
namespace {

namespace fs = std::filesystem;

/// An object made into a loaded shared library by the system's compiler driver.
class Library {
 public:
  explicit Library(const std::string& object) {
    folder_ = fs::temp_directory_path() / ("gradc_object_test_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    std::ofstream(folder_ / "code.o", std::ios::binary) << object;
    const std::string command = "cc -shared -o '" + (folder_ / "code.so").string() + "' '" +
                                (folder_ / "code.o").string() + "' -lm";
    if (std::system(command.c_str()) == 0)
      handle_ = dlopen((folder_ / "code.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (handle_ != nullptr) dlclose(handle_);
    fs::remove_all(folder_);
  }
  bool loaded() const { return handle_ != nullptr; }
  template <class T>
  T* find(const char* name) const {
    return reinterpret_cast<T*>(dlsym(handle_, name));
  }

 private:
  fs::path folder_;
  void* handle_ = nullptr;
};

std::vector<float> wave(int64_t count, float step) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(std::sin(static_cast<float>(i) * step));
  return values;
}

/// A description with one parameter and one input.
struct SmallModel {
  gradc_rt_initializer initializer{};
  gradc_rt_data data{};
  const double mean[2] = {1.0, 2.0};
  const double stddev[2] = {1.0, 0.5};
  gradc_rt_tensor tensors[2] = {};
  gradc_rt_entry entries[GRADC_RT_ENTRY_COUNT] = {};
  gradc_rt_model model{};

  SmallModel() {
    initializer.kind = GRADC_RT_INIT_VARIANCE_SCALING;
    initializer.a = 2.0;
    initializer.fan_in = 65;
    initializer.stream = 99;
    data.scale = 0.5;
    data.stat_count = 2;
    data.mean = mean;
    data.std = stddev;
    tensors[0].name = "dense/kernel";
    tensors[0].rank = 2;
    tensors[0].dims[0] = 65;
    tensors[0].dims[1] = 47;
    tensors[0].bytes = int64_t{65} * 47 * 4;
    tensors[0].slot = 1;
    tensors[0].initializer = &initializer;
    tensors[1].name = "input/x";
    tensors[1].kind = GRADC_RT_INPUT;
    tensors[1].rank = 2;
    tensors[1].dims[0] = 33;
    tensors[1].dims[1] = 65;
    tensors[1].data = &data;
    const char* const names[GRADC_RT_ENTRY_COUNT] = {"run", "a", "b", "c", "d", "e", "f"};
    for (int i = 0; i < GRADC_RT_ENTRY_COUNT; ++i)
      entries[i].name = names[i] != nullptr ? names[i] : "other";
    model.abi_version = GRADC_RT_ABI_VERSION;
    model.name = "small";
    model.batch_size = 33;
    model.num_tensors = 2;
    model.tensors = tensors;
    model.num_slots = 3;
    model.entries = entries;
    model.compiler = "test";
    model.target_triple = "triple";
    model.target_cpu = "cpu";
    model.train_step_flops = 12345;
    model.training.epochs = 7;
    model.training.validation_split = 0.25;
  }
};

TEST(ObjectWriter, LibraryComputesTheBitsOfTheJitAndHoldsTheTables) {
  const TargetInfo target = TargetInfo::host();
  test::MatmulShape shape{33, 47, 65, false, true, test::Epilogue::kBiasRelu};
  const kernel::Program program = test::program_of(test::matmul_kernel(shape));
  const SmallModel small;
  ObjectOptions options;
  options.symbol_prefix = "small_";
  options.model = &small.model;
  auto object = write_object(program, target, options);
  ASSERT_TRUE(object.ok()) << object.message();
  const Library library(object->bytes);
  ASSERT_TRUE(library.loaded());

  const auto* table = library.find<const gradc_rt_model>("gradc_model");
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->abi_version, GRADC_RT_ABI_VERSION);
  EXPECT_STREQ(table->name, "small");
  EXPECT_EQ(table->batch_size, 33);
  EXPECT_EQ(table->train_step_flops, 12345);
  EXPECT_EQ(table->training.epochs, 7);
  EXPECT_EQ(table->training.validation_split, 0.25);
  EXPECT_EQ(table->training.monitor, nullptr);
  EXPECT_EQ(table->ensure_entry, nullptr);
  ASSERT_EQ(table->num_tensors, 2);
  const gradc_rt_tensor& kernel_tensor = table->tensors[0];
  EXPECT_STREQ(kernel_tensor.name, "dense/kernel");
  EXPECT_EQ(kernel_tensor.rank, 2);
  EXPECT_EQ(kernel_tensor.dims[1], 47);
  EXPECT_EQ(kernel_tensor.slot, 1);
  EXPECT_EQ(kernel_tensor.initializer->a, 2.0);
  EXPECT_EQ(kernel_tensor.initializer->stream, 99U);
  EXPECT_EQ(kernel_tensor.data, nullptr);
  EXPECT_EQ(table->tensors[1].data->scale, 0.5);
  EXPECT_EQ(table->tensors[1].data->mean[1], 2.0);
  EXPECT_EQ(table->entries[GRADC_RT_TRAIN_STEP].compiled, 0);
  EXPECT_STREQ(table->entries[GRADC_RT_TRAIN_STEP].name, "c");
  const gradc_rt_entry& entry = table->entries[GRADC_RT_PREDICT];
  ASSERT_EQ(entry.compiled, 1);
  ASSERT_EQ(entry.num_steps, 1);

  std::vector<float> a = wave(shape.m * shape.k, 0.37F);
  std::vector<float> b = wave(shape.k * shape.n, 0.11F);
  std::vector<float> bias = wave(shape.n, 0.7F);
  std::vector<float> aot(static_cast<size_t>(shape.m * shape.n), -1);
  std::vector<float> jit = aot;
  const auto scratch = test::aligned_bytes(entry.scratch_bytes);
  void* slots[] = {a.data(), b.data(), aot.data(), bias.data()};
  test::run_entry({"run", entry}, slots, nullptr, {0, 1, nullptr, nullptr, scratch.get()});
  test::Compiled(program, target).run({a.data(), b.data(), jit.data(), bias.data()});
  EXPECT_EQ(aot, jit);
  EXPECT_NE(aot[0], -1.0F);
}

TEST(ObjectWriter, TextFormsAndForeignTargets) {
  const kernel::Program program = test::program_of(test::matmul_kernel({20, 30, 40}));
  for (const TargetInfo& target : {TargetInfo::generic_sse(), TargetInfo::generic_avx2(),
                                   TargetInfo::generic_avx512(), TargetInfo::generic_neon()}) {
    for (const ObjectKind kind : {ObjectKind::kObject, ObjectKind::kAssembly, ObjectKind::kLlvm}) {
      ObjectOptions options;
      options.kind = kind;
      auto object = write_object(program, target, options);
      ASSERT_TRUE(object.ok()) << object.message();
      EXPECT_NE(object->bytes.find("gradc_k0_matmul"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace gradc
