// A .gir of any stage is taken up where it stands: run, planned, timed and shown up to assembly,
// with the bits of the model that it comes from.
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/program_text.h"
#include "runtime/safetensors.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <vector>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "m", "inputs": [{"name": "x", "shape": [6, 6, 1]}],
  "layers": [{"type": "conv2d", "filters": 4, "kernel_size": 3, "activation": "relu"},
             {"type": "batch_normalization"}, {"type": "dropout", "rate": 0.2},
             {"type": "flatten"}, {"type": "dense", "units": 3, "name": "y"}],
  "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
               "metrics": ["accuracy"], "optimizer": "adam", "batch_size": 4}})";
const std::vector<std::string> kGraphStages = {"gradient", "optimized", "fused", "scheduled",
                                               "planned"};

using Values = std::map<std::string, std::vector<double>>;

Values read_values(const std::string& path) {
  rt::SafetensorsFile file;
  EXPECT_TRUE(rt::read_safetensors(path.c_str(), &file).ok()) << path;
  Values values;
  for (const rt::Array& array : file.arrays) {
    for (size_t i = 0; i < array.count(); ++i)
      values[array.name.c_str()].push_back(rt::load_f64(array.data.data(), array.dtype, i));
  }
  return values;
}

/// The kernels of a program's text, but for names.
std::string kernels_in(const std::string& text) {
  const auto program = kernel::parse_program(text, "printed");
  EXPECT_TRUE(program.ok()) << program.message();
  std::string canonical;
  if (!program.ok()) return canonical;
  for (const kernel::Kernel& one : program->kernels)
    canonical += kernel::canonical_text(one);
  return canonical;
}

class Gir : public ::testing::Test {
 protected:
  Gir() {
    write_text_file(model_, kModel);
    std::vector<float> x(4 * 36);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(0.7F * static_cast<float>(i));
    const std::vector<int32_t> y = {0, 2, 1, 1};
    const int64_t x_dims[] = {4, 6, 6, 1}, y_dims[] = {4};
    const rt::TensorView views[] = {
        {"input/x", rt::Dtype::kF32, {x_dims, 4}, x.data(), x.size() * sizeof(float)},
        {"target/y", rt::Dtype::kI32, {y_dims, 1}, y.data(), y.size() * sizeof(int32_t)}};
    EXPECT_TRUE(rt::write_safetensors(batch_.c_str(), {views, 2}, {}).ok());
    EXPECT_TRUE(rt::write_safetensors(inputs_.c_str(), {views, 1}, {}).ok());
  }

  /// The stage of an entry, as a file.
  std::string stage(const std::string& name, const std::string& entry = "train_step") {
    const std::string file = scratch_ / (entry + "." + name + ".gir");
    const Outcome outcome =
        gradc("inspect " + model_ + " --stage " + name + " --entry " + entry + " -o " + file);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return file;
  }
  Values run(const std::string& file, const std::string& in, const std::string& options) {
    const std::string out = scratch_ / "out.safetensors";
    std::filesystem::remove(out);
    const Outcome outcome = gradc("run " + file + " --in " + in + " --out " + out + " " + options);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return outcome.code == 0 ? read_values(out) : Values();
  }
  /// The model's tensors after some steps, beside the batch: what a file of kernels needs.
  std::string everything(const std::string& options) {
    const std::string state = scratch_ / "state.safetensors", all = scratch_ / "all.safetensors";
    EXPECT_EQ(gradc("run " + model_ + " --entry train_step --in " + batch_ + " --out " + state +
                    " " + options)
                  .code,
              0);
    rt::SafetensorsFile files[2];
    EXPECT_TRUE(rt::read_safetensors(state.c_str(), &files[0]).ok());
    EXPECT_TRUE(rt::read_safetensors(batch_.c_str(), &files[1]).ok());
    rt::Vec<rt::TensorView> views;
    for (const rt::SafetensorsFile& file : files) {
      for (const rt::Array& array : file.arrays) {
        if (array.name == "loss") continue;
        views.push({array.name.c_str(), array.dtype, array.dims.span(), array.data.data(),
                    array.data.size()});
      }
    }
    EXPECT_TRUE(rt::write_safetensors(all.c_str(), {views.data(), views.size()}, {}).ok());
    return all;
  }

  Scratch scratch_;
  std::string model_ = scratch_ / "m.json", batch_ = scratch_ / "batch.safetensors",
              inputs_ = scratch_ / "inputs.safetensors";
};

TEST_F(Gir, EveryStageTrainsToTheModelsBits) {
  const Values model = run(model_, batch_, "--entry train_step --steps 3 --seed 5");
  ASSERT_GT(model.size(), 20U);
  for (const std::string& name : kGraphStages) {
    const std::string file = stage(name);
    for (const std::string threads : {"", " --threads 3"}) {
      if (!threads.empty() && name != "scheduled") continue;
      const Values values = run(file, batch_, "--steps 3 --seed 5" + threads);
      for (const auto& [tensor, numbers] : model) {
        if (tensor == "loss") continue;
        ASSERT_TRUE(values.contains(tensor)) << name << " " << tensor;
        EXPECT_EQ(values.at(tensor), numbers) << name << " " << tensor;
      }
      EXPECT_EQ(values.at("loss").at(0), model.at("loss").at(2));
    }
  }
}

TEST_F(Gir, KernelsGoOnFromTheModelsTensors) {
  const Values model =
      run(model_, everything("--steps 1 --seed 5"), "--entry train_step --steps 2 --seed 5");
  const std::string all = everything("--steps 1 --seed 5");
  const std::string kernels = stage("kernels");
  const Values values = run(kernels, all, "--steps 2 --seed 5");
  const Values interpreted = run(kernels, all, "--steps 2 --seed 5 --engine interpreter");
  for (const auto& [tensor, numbers] : model) {
    if (tensor == "loss") continue;
    EXPECT_EQ(values.at(tensor), numbers) << tensor;
    for (size_t i = 0; i < numbers.size(); ++i)
      EXPECT_NEAR(interpreted.at(tensor).at(i), numbers[i], 4e-3) << tensor;
  }
}

TEST_F(Gir, EveryEntryRunsByBothEngines) {
  for (const std::string entry : {"predict", "evaluate", "gradients"}) {
    const std::string name = entry == "evaluate" ? "loss" : entry;
    const std::string in = entry == "predict" ? inputs_ : batch_;
    const Values model = run(model_, in, "--entry " + name + " --seed 5");
    for (const std::string stage_name : {"graph", "fused"}) {
      if (entry == "gradients" && stage_name == "graph") continue;  // it has none yet
      const std::string file = stage(stage_name, entry);
      const Values values = run(file, in, "--seed 5");
      const Values interpreted = run(file, in, "--seed 5 --engine interpreter");
      ASSERT_FALSE(model.empty());
      for (const auto& [tensor, numbers] : model) {
        EXPECT_EQ(values.at(tensor), numbers) << entry << stage_name << tensor;
        for (size_t i = 0; i < numbers.size(); ++i)
          EXPECT_NEAR(interpreted.at(tensor).at(i), numbers[i], 1e-4) << entry << tensor;
      }
    }
  }
}

TEST_F(Gir, PlansBenchesAndCodeFollow) {
  const auto arena = [](const Outcome& outcome) {
    const size_t at = outcome.output.find("\"arena_bytes\":");
    EXPECT_NE(at, std::string::npos) << outcome.output;
    return at == std::string::npos ? 0L : std::atol(outcome.output.c_str() + at + 14);
  };
  const long planned = arena(gradc("plan " + model_ + " --json"));
  EXPECT_GT(planned, 0);
  const std::string of_model = kernels_in(gradc("inspect " + model_ + " --stage kernels").output);
  EXPECT_GT(of_model.size(), 1000U);
  for (const std::string name : {"gradient", "fused", "planned"}) {
    const std::string file = stage(name);
    EXPECT_EQ(arena(gradc("plan " + file + " --json")), planned) << name;
    if (name == "fused") {
      EXPECT_EQ(arena(gradc("bench " + file + " --json --steps 2")), planned);
    }
    const Outcome kernels = gradc("inspect " + file + " --stage kernels");
    EXPECT_TRUE(kernels_in(kernels.output) == of_model) << name << "\n" << kernels.output;
    for (const char* later : {"planned", "llvm", "asm"}) {
      if (name != "fused") continue;
      const Outcome outcome = gradc("inspect " + file + " --stage " + later);
      EXPECT_EQ(outcome.code, 0) << outcome.output;
      EXPECT_GT(outcome.output.size(), 500U) << name << later;
    }
  }
  const std::string kernels = stage("kernels");
  EXPECT_EQ(arena(gradc("bench " + kernels + " --json --steps 2")), planned);
  EXPECT_EQ(gradc("inspect " + kernels).output, read_file(kernels));
  EXPECT_EQ(gradc("inspect " + kernels + " --stage asm").output,
            gradc("inspect " + model_ + " --stage asm").output);
}

TEST_F(Gir, WhatCannotBeIsRefused) {
  const auto refused = [](const std::string& arguments, int code, const std::string& part) {
    const Outcome outcome = gradc(arguments);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.output;
    EXPECT_NE(outcome.output.find(part), std::string::npos) << arguments << "\n" << outcome.output;
  };
  const std::string fused = stage("fused"), kernels = stage("kernels");
  const std::string out = " --out " + (scratch_ / "o.safetensors");
  refused("inspect " + fused + " --stage optimized", 2,
          "the file holds the stage \"fused\", which is past \"optimized\"");
  refused("inspect " + kernels + " --stage fused", 2, "the file holds kernels");
  refused("plan " + kernels, 2, "the file holds kernels");
  refused("run " + kernels + " --in " + batch_ + out, 1, "is missing, and has no initial value");
  refused("run " + kernels + " --entry other --in " + batch_ + out, 2, "there is no entry");
  refused("run " + fused + " --in " + (scratch_ / "none") + out, 1, "none");
  write_text_file(scratch_ / "bad.gir", "// stage: melted\n" + read_file(fused));
  refused("plan " + (scratch_ / "bad.gir"), 1, "there is no stage \"melted\"");
  std::string text = read_file(kernels);
  const size_t bound = text.find(" in 0..") + 7;
  text.replace(bound, 1, "9" + text.substr(bound, 1));
  write_text_file(scratch_ / "bad.gir", text);
  refused("run " + (scratch_ / "bad.gir") + " --in " + batch_ + out, 1, "[ir-invalid]");
  text = read_file(kernels);
  text.insert(text.find("kernel @") + 6, "s");
  write_text_file(scratch_ / "bad.gir", text);
  refused("bench " + (scratch_ / "bad.gir"), 1, "[ir-syntax]");
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "o.safetensors"));
}

TEST_F(Gir, GraphsOfOnesOwnRun) {
  write_text_file(scratch_ / "g.gir",
                  "graph @g {\n  input %x : f32[3]\n  param %w : f32[3] {init=ones}\n"
                  "  state %t : i64[] {init=zeros}\nforward:\n  %0 = mul %x, %w : f32[3]\n"
                  "update:\n  %one = constant {value=1} : i64[]\n  %t1 = add %t, %one : i64[]\n"
                  "  update %w <- %0\n  update %t <- %t1\n  return %0, w=%x\n}\n");
  const float x[] = {2, 3, -1};
  const int64_t dims[] = {3};
  const rt::TensorView view = {"x", rt::Dtype::kF32, {dims, 1}, x, sizeof x};
  const std::string in = scratch_ / "x.safetensors";
  ASSERT_TRUE(rt::write_safetensors(in.c_str(), {&view, 1}, {}).ok());
  for (const char* engine : {"jit", "interpreter"}) {
    const Values values = run(scratch_ / "g.gir", in, std::string("--steps 3 --engine ") + engine);
    EXPECT_EQ(values.at("w"), (std::vector<double>{8, 27, -1}));
    EXPECT_EQ(values.at("0"), (std::vector<double>{8, 27, -1}));
    EXPECT_EQ(values.at("w_"), (std::vector<double>{2, 3, -1}));
    EXPECT_EQ(values.at("t"), (std::vector<double>{3}));
  }
}

}  // namespace
}  // namespace gradc::test
