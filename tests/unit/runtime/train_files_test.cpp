// What training writes and keeps: checkpoints, logs, weights that are no numbers, room.
#include "runtime/aot_cli.h"
#include "runtime/finite.h"
#include "runtime/weights.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::make_part;
using testing::OwnedInstance;
using testing::read_bytes;
using testing::TempDir;
using testing::write_bytes;

struct Outcome {
  int code;
  std::string out, err;
};

/// A model with data in a folder, and the command line of its program.
class Program {
 public:
  explicit Program(const FakeModelOptions& options = {}, int64_t rows = 40) : model_(options) {
    const DataPart part = make_part(model_, rows);
    Vec<TensorView> views;
    for (size_t i = 0; i < 2; ++i) {
      const Array& array = part.arrays[i];
      views.push({i == 0 ? "x_train" : "y_train", array.dtype, array.dims.span(), array.data.data(),
                  array.data.size()});
    }
    EXPECT_TRUE(write_safetensors(path("d.safetensors").c_str(), views.span(), {}).ok());
  }
  std::string path(const std::string& name) const { return dir_.file(name); }
  FakeModel& model() { return model_; }

  /// "train --data ... WORDS"; "@name" is a file in the folder.
  Outcome train(const std::string& words) {
    std::vector<std::string> list = {"prog", "train", "--data", path("d.safetensors")};
    std::istringstream stream(words);
    for (std::string word; stream >> word;)
      list.push_back(word[0] == '@' ? path(word.substr(1)) : word);
    std::vector<const char*> argv;
    for (const std::string& word : list)
      argv.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = gradc_rt_main(&model_.get(), static_cast<int>(argv.size()), argv.data());
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }

  /// The epochs of a log's lines, "?" for other lines: "1 2 ? 3".
  std::string epochs_of(const std::string& name) const {
    std::istringstream lines(read_bytes(path(name)));
    std::string result;
    for (std::string line; std::getline(lines, line);) {
      const bool ours = line.rfind("{\"epoch\":", 0) == 0;
      result += (result.empty() ? "" : " ") +
                (ours ? line.substr(9, line.find(',') - 9) : std::string("?"));
    }
    return result;
  }

 private:
  FakeModel model_;
  TempDir dir_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(TrainFiles, AnExistingCheckpointGoesOnlyWhenTold) {
  Program program;
  ASSERT_EQ(program.train("--epochs 1 --checkpoint @c").code, 0);
  const std::string bytes = read_bytes(program.path("c"));
  ASSERT_EQ(symlink("c", program.path("link").c_str()), 0);
  for (const char* words : {"--epochs 2 --checkpoint @c", "--epochs 2 --checkpoint @link"}) {
    const Outcome outcome = program.train(words);
    EXPECT_EQ(outcome.code, 1) << words;
    EXPECT_TRUE(contains(outcome.err, "--resume goes on from it, --overwrite starts anew"));
    EXPECT_FALSE(contains(outcome.err, "epoch 1/2"));
    EXPECT_TRUE(read_bytes(program.path("c")) == bytes);
  }
  EXPECT_EQ(program.train("--epochs 2 --checkpoint @c --resume --overwrite").code, 2);
  EXPECT_EQ(program.train("--epochs 2 --overwrite").code, 2);
  const Outcome anew = program.train("--epochs 2 --checkpoint @c --overwrite");
  EXPECT_EQ(anew.code, 0) << anew.err;
  EXPECT_TRUE(contains(anew.err, "epoch 1/2"));
  write_bytes(program.path("empty"), "");  // nothing to lose
  EXPECT_EQ(program.train("--epochs 1 --checkpoint @empty").code, 0);
  const Outcome none = program.train("--epochs 1 --checkpoint @new --resume");
  EXPECT_EQ(none.code, 0);
  EXPECT_TRUE(contains(none.err, "there is no checkpoint"));
  EXPECT_EQ(program.train("--epochs 1 --checkpoint /dev/null").code, 0);
  EXPECT_EQ(program.train("--epochs 1 --checkpoint /dev/null --resume").code, 1);
  EXPECT_EQ(program.train("--epochs 1 --checkpoint -").code, 1);
}

TEST(TrainFiles, OutputsAreApartFromEachOtherAndFromInputs) {
  Program program;
  ASSERT_EQ(symlink("w", program.path("link").c_str()), 0);
  EXPECT_EQ(program.train("--out @w --checkpoint @w").code, 2);
  EXPECT_EQ(program.train("--out @w --checkpoint @link").code, 2);
  EXPECT_EQ(program.train("--out @w --log @w").code, 2);
  EXPECT_EQ(program.train("--out - --log /dev/stdout").code, 2);
  const std::string data = read_bytes(program.path("d.safetensors"));
  for (const char* option : {"--out", "--log", "--overwrite --checkpoint"}) {
    const Outcome outcome = program.train(std::string(option) + " @d.safetensors");
    EXPECT_EQ(outcome.code, 1) << option;
    EXPECT_TRUE(contains(outcome.err, "it would be overwritten")) << outcome.err;
    EXPECT_TRUE(read_bytes(program.path("d.safetensors")) == data);
  }
  ASSERT_EQ(program.train("--epochs 1 --out @w").code, 0);
  EXPECT_EQ(program.train("--epochs 1 --weights @w --out @w").code, 0);  // training on
  const std::string weights = read_bytes(program.path("w"));
  EXPECT_EQ(program.train("--epochs 1 --weights @w --log @w").code, 1);
  EXPECT_TRUE(read_bytes(program.path("w")) == weights);
}

/// A file of safetensors with another value of its metadata.
std::string with_metadata(const std::string& file, const std::string& key,
                          const std::string& value) {
  uint64_t size = 0;
  std::memcpy(&size, file.data(), sizeof size);
  std::string header = file.substr(sizeof size, size);
  const size_t begin = header.find("\"" + key + "\":\"");
  EXPECT_NE(begin, std::string::npos) << key;
  const size_t at = begin + key.size() + 4;
  header.replace(at, header.find('"', at) - at, value);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string data = file.substr(sizeof size + size);
  size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + data;
}

// Numbers that nothing can count on from: one more would be none.
TEST(TrainFiles, ACheckpointsCountsAreCounts) {
  Program program;
  ASSERT_EQ(program.train("--epochs 1 --checkpoint @c").code, 0);
  const std::string whole = read_bytes(program.path("c"));
  for (const char* key :
       {"epoch", "step", "total_steps", "best_epoch", "wait", "plateau_wait", "plateau_cooldown"}) {
    for (const char* value : {"9223372036854775807", "9007199254740993", "-1"}) {
      const std::string bytes = with_metadata(whole, key, value);
      write_bytes(program.path("c"), bytes);
      const Outcome outcome = program.train("--epochs 2 --checkpoint @c --resume");
      EXPECT_EQ(outcome.code, 1) << key << " " << value;
      EXPECT_TRUE(contains(outcome.err, std::string("the checkpoint's \"") + key + "\" is " +
                                            value + ", a count was expected"))
          << outcome.err;
      EXPECT_TRUE(read_bytes(program.path("c")) == bytes) << key;
    }
  }
  write_bytes(program.path("c"), with_metadata(whole, "wait", "0"));
  EXPECT_EQ(program.train("--epochs 2 --checkpoint @c --resume").code, 0);
}

// A damaged line of an epoch that never was goes; those behind it are of epochs that count.
TEST(TrainFiles, ADamagedLineOfTheLogTakesNoOtherAway) {
  Program program;
  ASSERT_EQ(program.train("--epochs 3 --checkpoint @c --log @log").code, 0);
  std::string lines = read_bytes(program.path("log"));
  write_bytes(program.path("log"), "{\"epoch\":9223372036854775807}\n" + lines);
  ASSERT_EQ(program.train("--epochs 4 --checkpoint @c --log @log --resume").code, 0);
  EXPECT_EQ(program.epochs_of("log"), "1 2 3 4");
}

TEST(TrainFiles, TheLogHasEachEpochOnce) {
  Program program;
  ASSERT_EQ(program.train("--epochs 2 --checkpoint @c --log @log").code, 0);
  EXPECT_EQ(program.epochs_of("log"), "1 2");
  // Killed after the third line and before its checkpoint, in the middle of the fourth.
  const std::string lines = read_bytes(program.path("log"));
  write_bytes(program.path("log"),
              "# mine\n" + lines + "{\"epoch\":3,\"step\":30}\n{\"note\":1}\n{\"epoch\":4,\"st");
  ASSERT_EQ(chmod(program.path("log").c_str(), 0600), 0);
  const Outcome rest = program.train("--epochs 5 --checkpoint @c --log @log --resume");
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(program.epochs_of("log"), "? 1 2 ? 3 4 5");
  EXPECT_TRUE(contains(read_bytes(program.path("log")), "# mine\n" + lines + "{\"note\":1}\n"));
  struct stat info{};
  ASSERT_EQ(stat(program.path("log").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  // Killed before the first checkpoint.
  write_bytes(program.path("early"), "{\"epoch\":1,\"step\":10}\n{\"ep");
  ASSERT_EQ(program.train("--epochs 2 --checkpoint @none --log @early --resume").code, 0);
  EXPECT_EQ(program.epochs_of("early"), "1 2");
  // A log that an older run doubled.
  write_bytes(program.path("twice"), lines + lines);
  ASSERT_EQ(program.train("--epochs 6 --checkpoint @c --log @twice --resume").code, 0);
  EXPECT_EQ(program.epochs_of("twice"), "1 2 6");
  // A new training has a new log; so has one whose start fails not: the old one stays.
  ASSERT_EQ(program.train("--epochs 1 --log @twice").code, 0);
  EXPECT_EQ(program.epochs_of("twice"), "1");
  EXPECT_EQ(program.train("--epochs 3 --log @twice --weights @nothing").code, 1);
  EXPECT_EQ(program.epochs_of("twice"), "1");
}

TEST(TrainFiles, LogsIntoPipesAndLinks) {
  Program program;
  ASSERT_EQ(mkfifo(program.path("fifo").c_str(), 0600), 0);
  std::string seen;
  std::thread reader([&] { seen = read_bytes(program.path("fifo")); });
  EXPECT_EQ(program.train("--epochs 3 --log @fifo").code, 0);
  reader.join();
  EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 3);
  ASSERT_EQ(symlink("target", program.path("link").c_str()), 0);
  EXPECT_EQ(program.train("--epochs 2 --log @link --checkpoint @c").code, 0);
  EXPECT_EQ(program.train("--epochs 3 --log @link --checkpoint @c --resume").code, 0);
  EXPECT_EQ(program.epochs_of("target"), "1 2 3");
  const Outcome to_stdout = program.train("--epochs 2 --log - --out @w");
  EXPECT_EQ(std::count(to_stdout.out.begin(), to_stdout.out.end(), '\n'), 2) << to_stdout.out;
  EXPECT_TRUE(contains(to_stdout.err, "weights: "));
}

TEST(TrainFiles, WeightsToStandardOutput) {
  Program program;
  ASSERT_EQ(program.train("--epochs 2 --seed 3 --out @w").code, 0);
  const Outcome outcome = program.train("--epochs 2 --seed 3 --out -");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(outcome.out == read_bytes(program.path("w")));
}

TEST(TrainFiles, WhatIsReachedIsKeptWhenOneFileFails) {
  Program program;
  ASSERT_EQ(program.train("--epochs 3 --out @w").code, 0);
  const Outcome log = program.train("--epochs 3 --log /dev/full --out @v");
  EXPECT_EQ(log.code, 1);
  EXPECT_TRUE(contains(log.err, "/dev/full: cannot write: No space left")) << log.err;
  EXPECT_TRUE(contains(log.err, "epoch 3/3"));
  EXPECT_TRUE(read_bytes(program.path("v")) == read_bytes(program.path("w")));
  ASSERT_EQ(program.train("--epochs 1 --out @w").code, 0);
  const Outcome checkpoint = program.train("--epochs 3 --checkpoint /dev/full --out @v");
  EXPECT_EQ(checkpoint.code, 1);
  EXPECT_TRUE(contains(checkpoint.err, "training ended in epoch 1; its weights so far are in"))
      << checkpoint.err;
  EXPECT_TRUE(read_bytes(program.path("v")) == read_bytes(program.path("w")));
  EXPECT_EQ(program.train("--epochs 1 --out /dev/full").code, 1);
}

TEST(Finite, FindsTheFirstOfWeightsThenOptimizerState) {
  FakeModelOptions options;
  options.features = 10000;  // more than a block
  FakeModel model(options);
  OwnedInstance instance(model.get());
  ASSERT_TRUE(instance->initialize(1).ok());
  EXPECT_FALSE(first_not_finite(*instance).found());
  const auto put = [&](const char* name, size_t at, float value) {
    static_cast<float*>(instance->data(static_cast<size_t>(instance->find(name))))[at] = value;
  };
  put("optimizer/linear/kernel/momentum", 7, std::numeric_limits<float>::infinity());
  EXPECT_STREQ(describe(*instance, first_not_finite(*instance)).c_str(),
               "\"optimizer/linear/kernel/momentum\" of layer \"linear\" is infinite at element 7 "
               "of 10000");
  put("linear/kernel", 9999, std::nanf(""));
  EXPECT_STREQ(describe(*instance, first_not_finite(*instance)).c_str(),
               "\"linear/kernel\" of layer \"linear\" is NaN at element 9999 of 10000");
  put("linear/kernel", 4096, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(first_not_finite(*instance).element, 4096U);
  put("linear/kernel", 4096, std::numeric_limits<float>::max());
  EXPECT_EQ(first_not_finite(*instance).element, 9999U);
}

TEST(Finite, TrainingThatLeavesTheNumbersWritesNothing) {
  for (const int64_t features : {3, 40000}) {
    FakeModelOptions options;
    options.features = features;
    options.learning_rate = 1e39;  // the first step's loss is finite, its weights are not
    Program program(options, 8);
    write_bytes(program.path("w"), "good results");
    const Outcome outcome = program.train("--epochs 1 --out @w --checkpoint @c");
    EXPECT_EQ(outcome.code, 1);
    EXPECT_TRUE(contains(outcome.err, "\"linear/kernel\" of layer \"linear\" is ")) << outcome.err;
    EXPECT_TRUE(contains(outcome.err, "epoch 1, step ")) << outcome.err;
    EXPECT_TRUE(read_bytes(program.path("w")) == "good results");
    EXPECT_FALSE(file_exists(program.path("c").c_str()));
  }
  FakeModelOptions options;
  options.learning_rate = 1e39;
  Program program(options, 4);  // the only step
  const Outcome outcome = program.train("--epochs 1 --out @w");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(contains(outcome.err, "after epoch 1, step 1: the learning rate")) << outcome.err;
}

TEST(Finite, TrainingDoesNotStartFromWhatIsNoNumber) {
  Program program;
  OwnedInstance instance(program.model().get());
  ASSERT_TRUE(instance->initialize(1).ok());
  for (const char* name : {"linear/kernel", "linear/bias"}) {
    float* values = static_cast<float*>(instance->data(static_cast<size_t>(instance->find(name))));
    const float before = values[0];
    values[0] = std::nanf("");
    ASSERT_TRUE(save_weights(*instance, program.path("nan").c_str()).ok());
    values[0] = before;
    const Outcome outcome = program.train("--epochs 1 --weights @nan --out @w --log @log");
    EXPECT_EQ(outcome.code, 1);
    EXPECT_TRUE(contains(outcome.err, std::string(": ") + name + ": [")) << outcome.err;
    EXPECT_FALSE(contains(outcome.err, "learning rate")) << outcome.err;
    EXPECT_FALSE(file_exists(program.path("w").c_str()));
    EXPECT_FALSE(file_exists(program.path("log").c_str()));
  }
}

/// What a compiled program writes is safetensors, whatever the name says.
TEST(TrainFiles, NamesOfFormatsThatAreNotWrittenAreRefused) {
  Program program;
  for (const char* name : {"w.keras", "w.h5", "w.onnx"}) {
    const Outcome outcome = program.train(std::string("--epochs 1 --out @") + name);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_TRUE(contains(outcome.err, "gradc convert makes a ")) << outcome.err;
    EXPECT_FALSE(file_exists(program.path(name).c_str()));
  }
}

TEST(Room, IsAskedForBeforeTraining) {
  FakeModelOptions options;
  options.features = 20000;  // 80 KB of weights, 160 KB of checkpoint
  Program program(options, 8);
  const std::string disk = program.path("disk");
  ASSERT_EQ(mkdir(disk.c_str(), 0700), 0);
  const auto with_disk = [&](const char* size, const char* words) {
    if (mount("tmpfs", disk.c_str(), "tmpfs", 0, size) != 0) return Outcome{-1, "", ""};
    const Outcome outcome = program.train(words);
    EXPECT_EQ(umount(disk.c_str()), 0);
    return outcome;
  };
  const Outcome none = with_disk("size=64k", "--epochs 1 --out @disk/w");
  if (none.code == -1) GTEST_SKIP() << "mounting is for root";
  EXPECT_EQ(none.code, 1);
  EXPECT_TRUE(contains(none.err, "are free")) << none.err;
  EXPECT_FALSE(contains(none.err, "epoch 1/1"));
  EXPECT_EQ(with_disk("size=200k", "--epochs 1 --out @disk/w").code, 0);
  // One checkpoint fits, a second one beside it does not.
  EXPECT_EQ(with_disk("size=250k", "--epochs 2 --checkpoint @disk/c").code, 1);
  EXPECT_EQ(with_disk("size=400k", "--epochs 2 --checkpoint @disk/c").code, 0);
  EXPECT_EQ(with_disk("size=400k", "--epochs 2 --checkpoint @disk/c --out @disk/w").code, 1);
  EXPECT_EQ(with_disk("size=600k", "--epochs 2 --checkpoint @disk/c --out @disk/w").code, 0);
}

TEST(Room, TheLimitOfFileSizesCounts) {
  FakeModelOptions options;
  options.features = 20000;
  Program program(options, 8);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{50000, 50000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Outcome outcome = program.train("--epochs 1 --out @w");
    _exit(outcome.code == 1 && contains(outcome.err, "ulimit -f") ? 0 : 1);
  }
  int state = 0;
  waitpid(child, &state, 0);
  EXPECT_TRUE(WIFEXITED(state) && WEXITSTATUS(state) == 0);
  EXPECT_FALSE(file_exists(program.path("w").c_str()));
}

}  // namespace
}  // namespace gradc::rt
