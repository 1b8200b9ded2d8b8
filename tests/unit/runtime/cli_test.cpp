// The command line of compiled executables, in process, with the fake model: exit codes, streams,
// files.
#include "runtime/aot_cli.h"
#include "runtime/progress.h"
#include "runtime/weights.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::make_part;
using testing::OwnedInstance;
using testing::read_bytes;
using testing::TempDir;
using testing::write_bytes;

struct Outcome {
  int code;
  std::string out, err;
};

class Cli : public ::testing::Test {
 protected:
  Cli() {
    const DataPart part = make_part(model_, 50);
    const DataPart test = make_part(model_, 10, 3);
    Vec<TensorView> views;
    add(&views, "x_train", part.arrays[0]);
    add(&views, "y_train", part.arrays[1]);
    add(&views, "x_test", test.arrays[0]);
    add(&views, "y_test", test.arrays[1]);
    data_ = dir_.file("data.safetensors");
    EXPECT_TRUE(write_safetensors(data_.c_str(), {views.data(), views.size()}, {}).ok());
  }
  static void add(Vec<TensorView>* views, const char* name, const Array& a) {
    views->push({name, a.dtype, a.dims.span(), a.data.data(), a.data.size()});
  }
  Outcome run(std::vector<std::string> words) {
    std::vector<const char*> argv{"prog"};
    for (const std::string& word : words)
      argv.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = gradc_rt_main(&model_.get(), static_cast<int>(argv.size()), argv.data());
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }
  std::string path(const char* name) { return dir_.file(name); }

  FakeModel model_;
  TempDir dir_;
  std::string data_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(Cli, HelpAndUsage) {
  EXPECT_EQ(run({"--help"}).code, 0);
  EXPECT_TRUE(contains(run({"--help"}).out, "predict"));
  const Outcome train = run({"train", "--help"});
  EXPECT_EQ(train.code, 0);
  EXPECT_TRUE(contains(train.out, "--validation-split F"));
  EXPECT_FALSE(contains(run({"info", "--help"}).out, "--data"));
  EXPECT_EQ(run({}).code, 2);
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"dance"},
                                             {"train"},
                                             {"train", "--data"},
                                             {"train", "--data", "x", "--epochs", "many"},
                                             {"train", "--data", "x", "--epochs", "-1"},
                                             {"train", "--data", "x", "--seed", "-1"},
                                             {"train", "--data", "x", "--validation-split", "1"},
                                             {"train", "--data", "x", "--resume"},
                                             {"train", "--data", "x", "--resume=yes"},
                                             {"train", "--data", "x", "--json"},
                                             {"train", "--input", "x"},
                                             {"train", "stray"},
                                             {"eval", "--data", "x"},
                                             {"predict", "--weights", "w"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 2) << words.back();
    EXPECT_TRUE(outcome.out.empty());
    EXPECT_TRUE(contains(outcome.err, "error: ")) << words.back();
  }
}

TEST_F(Cli, InfoTellsTheModel) {
  const Outcome outcome = run({"info"});
  EXPECT_EQ(outcome.code, 0);
  for (const char* part :
       {"model: fake, batch size 4", "linear/kernel", "f32[3, 1]", "train_step_tail"})
    EXPECT_TRUE(contains(outcome.out, part)) << part;
}

TEST_F(Cli, TrainEvalPredict) {
  const std::string weights = path("w.safetensors");
  const std::string log = path("log.jsonl");
  const Outcome train = run({"train", "--data", data_, "--epochs=30", "--seed", "5", "--out",
                             weights, "--log", log, "--threads", "2", "--validation-split", "0.2"});
  ASSERT_EQ(train.code, 0) << train.err;
  EXPECT_TRUE(contains(train.out, "test  loss "));
  EXPECT_TRUE(contains(train.err, "epoch 30/30  loss "));
  EXPECT_TRUE(contains(train.err, "val_mae "));
  EXPECT_FALSE(contains(train.err, "\r"));  // no bar where there is no terminal
  const std::string lines = read_bytes(log);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 30);
  EXPECT_EQ(lines.rfind("{\"epoch\":1,\"step\":10,\"loss\":", 0), 0u) << lines.substr(0, 200);
  for (const char* key :
       {"\"mae\":", "\"val_loss\":", "\"val_mae\":", "\"seconds\":", "\"examples_per_second\":"})
    EXPECT_TRUE(contains(lines, key)) << key;
  const Outcome eval = run({"eval", "--data", data_, "--weights", weights, "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(eval.out.rfind("{\"loss\":", 0), 0u) << eval.out;
  EXPECT_TRUE(contains(eval.out, "\"examples\":10}"));
  Array x;
  {
    SafetensorsFile file;
    ASSERT_TRUE(read_safetensors(data_.c_str(), &file).ok());
    x = file.find("x_test")->clone();
  }
  ASSERT_TRUE(write_npy(path("in.npy").c_str(), x).ok());
  const Outcome predict =
      run({"predict", "--weights", weights, "--in", path("in.npy"), "--out", path("out.npy")});
  ASSERT_EQ(predict.code, 0) << predict.err;
  const std::string bytes = read_bytes(path("out.npy"));
  Array y;
  ASSERT_TRUE(
      parse_npy(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "out", &y).ok());
  ASSERT_EQ(y.count(), 10u);
  for (size_t r = 0; r < 10; ++r) {
    double want = 1;
    for (size_t j = 0; j < 3; ++j)
      want += load_f64(x.data.data(), Dtype::kF64, r * 3 + j) * (j == 0   ? 2.0
                                                                 : j == 1 ? -1.0
                                                                          : 0.5);
    EXPECT_NEAR(load_f64(y.data.data(), y.dtype, r), want, 0.02);
  }
  const Outcome both =
      run({"predict", "--weights", weights, "--in", data_, "--out", path("out.safetensors")});
  ASSERT_EQ(both.code, 0) << both.err;
  SafetensorsFile outputs;
  ASSERT_TRUE(read_safetensors(path("out.safetensors").c_str(), &outputs).ok());
  EXPECT_NE(outputs.find("output/y"), nullptr);
}

TEST_F(Cli, ResumeMatchesOneRunByteForByte) {
  ASSERT_EQ(run({"train", "--data", data_, "--epochs", "6", "--out", path("a.safetensors")}).code,
            0);
  ASSERT_EQ(run({"train", "--data", data_, "--epochs", "2", "--checkpoint", path("c")}).code, 0);
  const Outcome rest = run({"train", "--data", data_, "--epochs", "6", "--checkpoint", path("c"),
                            "--resume", "--out", path("b.safetensors"), "--threads", "3"});
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_TRUE(contains(rest.err, "resumed after epoch 2"));
  EXPECT_FALSE(contains(rest.err, "epoch 2/6"));
  EXPECT_EQ(read_bytes(path("a.safetensors")), read_bytes(path("b.safetensors")));
}

TEST_F(Cli, WrongInputIsCodeOneAndLeavesNoFiles) {
  const std::string out = path("never.safetensors");
  write_bytes(path("bad.safetensors"), "garbage");
  OwnedInstance instance(model_.get());
  ASSERT_TRUE(instance->initialize(1).ok());
  ASSERT_TRUE(save_weights(*instance, path("w.safetensors").c_str()).ok());
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"train", "--data", path("missing.npz"), "--out", out},
           {"train", "--data", path("bad.safetensors"), "--out", out},
           {"train", "--data", data_, "--weights", path("bad.safetensors"), "--out", out},
           {"train", "--data", data_, "--out", path("no/such/dir/w")},
           {"train", "--data", data_, "--checkpoint", dir_.path()},
           {"train", "--data", data_, "--log", path("no/such/dir/log"), "--out", out},
           {"train", "--data", data_, "--validation-split", "0.999", "--out", out},
           {"eval", "--data", data_, "--weights", path("missing")},
           {"predict", "--weights", path("w.safetensors"), "--in", path("missing.npy"), "--out",
            out}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 1) << outcome.err;
    EXPECT_TRUE(outcome.out.empty()) << outcome.out;
    EXPECT_TRUE(contains(outcome.err, "error: "));
    EXPECT_FALSE(file_exists(out.c_str()));
  }
}

TEST_F(Cli, InternalErrorsAreCodeSeventy) {
  model_.edit().abi_version = 12345;
  const Outcome outcome = run({"train", "--data", data_});
  EXPECT_EQ(outcome.code, 70);
  EXPECT_TRUE(contains(outcome.err, "report"));
}

TEST_F(Cli, ProgressBarShowsEverythingAndIsCleared) {
  OwnedInstance instance(model_.get());
  FILE* file = tmpfile();
  Progress progress(*instance, file, true, false);
  StepReport step{};
  step.epoch = 2;
  step.epochs = 5;
  step.step = 3;
  step.steps = 12;
  step.scores.metric_count = 1;
  step.seconds = 3;
  step.examples_per_second = 12345;
  progress.step(step);
  EpochReport epoch{};
  epoch.epoch = 2;
  epoch.epochs = 5;
  progress.epoch(epoch);
  rewind(file);
  char text[1000] = {};
  const size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  const std::string all(text, n);
  EXPECT_EQ(all.rfind("\repoch 2/5 [======>", 0), 0u) << all;
  EXPECT_TRUE(contains(all, "3/12  loss 0  mae 0  12.3k examples/s  45s left")) << all;
  EXPECT_FALSE(contains(all, "\x1b"));
  EXPECT_TRUE(contains(all, "\repoch 2/5  loss 0"));
}

}  // namespace
}  // namespace gradc::rt
