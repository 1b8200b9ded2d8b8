// How training ends when it does not end by itself: signals, kill -9 at any instant, closed
// streams; by JIT and in native programs.
#include "tests/unit/driver/process.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <pty.h>
#include <random>
#include <thread>

namespace gradc::test {
namespace {

using Command = std::vector<std::string>;

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// Waits until a training has logged an epoch.
bool has_begun(Child& child, const std::string& log) {
  for (int i = 0; i < 6000 && child.running(); ++i) {
    if (read_file(log).find('\n') != std::string::npos) return true;
    sleep_for(0.01);
  }
  return false;
}

/// By JIT and by native program: both must end alike.
class Endings : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) return;
    const Outcome compiled = small_.compile();
    ASSERT_EQ(compiled.code, 0) << compiled.output;
  }
  Command train(const Command& more) const {
    return (GetParam() ? small_.by_program() : small_.by_jit()) + more;
  }
  std::string path(const std::string& name) const { return small_ / name; }

  SmallTraining small_;
};

TEST_P(Endings, TheFirstSignalWritesEverything) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const std::string name = std::to_string(number);
    const Command files = {"--checkpoint", path("c" + name), "--log", path("log" + name)};
    Child child(train(files + Command{"--epochs", "1000000", "--out", path("w" + name)}),
                {.err = path("err" + name)});
    ASSERT_TRUE(has_begun(child, path("log" + name))) << read_file(path("err" + name));
    child.signal_with(number);
    EXPECT_EQ(child.wait(), 130) << number;
    const std::string text = read_file(path("err" + name));
    EXPECT_NE(text.find("stopped "), std::string::npos) << text.substr(text.size() / 2);
    EXPECT_NE(text.find("go on with --checkpoint"), std::string::npos);
    EXPECT_EQ(text.find("error"), std::string::npos);
    const std::string weights = read_file(path("w" + name));
    EXPECT_NE(weights.find("gradc-weights/1"), std::string::npos);
    EXPECT_NE(read_file(path("c" + name)).find("gradc-checkpoint/5"), std::string::npos);
    // The checkpoint goes on from the step that the weights have: no epoch more, the same weights.
    const std::string log = epochs_of(path("log" + name));
    const size_t last = log.rfind(' ') == std::string::npos ? 0 : log.rfind(' ') + 1;
    const int epochs = std::stoi(log.substr(last));
    EXPECT_EQ(log, epochs_to(epochs));
    Child rest(train(files + Command{"--resume", "--epochs", std::to_string(epochs), "--out",
                                     path("again")}),
               {});
    EXPECT_EQ(rest.wait(), 0);
    EXPECT_TRUE(read_file(path("again")) == weights);
  }
}

TEST_P(Endings, WhatIsIgnoredAtTheStartStaysIgnored) {
  Child child(train({"--epochs", "1000000", "--log", path("log"), "--out", path("w")}),
              {.ignored = {SIGHUP, SIGINT}});
  ASSERT_TRUE(has_begun(child, path("log")));
  child.signal_with(SIGHUP);
  child.signal_with(SIGINT);
  sleep_for(0.3);
  EXPECT_TRUE(child.running());
  child.signal_with(SIGTERM);
  EXPECT_EQ(child.wait(), 130);
}

TEST_P(Endings, ASecondSignalEndsAtOnce) {
  // A pipe that nobody reads: writing --out waits for ever.
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  Child child(train({"--epochs", "1000000", "--log", path("log"), "--out", path("fifo")}), {});
  ASSERT_TRUE(has_begun(child, path("log")));
  child.signal_with(SIGTERM);
  sleep_for(0.5);
  EXPECT_TRUE(child.running());
  child.signal_with(SIGINT);
  EXPECT_EQ(child.wait(), 128 + SIGINT);
}

TEST_P(Endings, ClosedStreamsDoNotTurnIntoFiles) {
  const std::vector<std::vector<int>> sets = {{2}, {0, 2}, {1, 2}, {0, 1, 2}};
  for (const std::vector<int>& closed : sets) {
    for (const char* name : {"log", "w", "c"})
      std::filesystem::remove(path(name));
    Child child(train({"--epochs", "3", "--log", path("log"), "--out", path("w"), "--checkpoint",
                       path("c")}),
                {.closed = closed});
    const bool has_output = std::find(closed.begin(), closed.end(), 1) == closed.end();
    EXPECT_EQ(child.wait(), has_output ? 0 : 1);  // results that cannot be printed are an error
    EXPECT_EQ(epochs_of(path("log")), "1 2 3");
    EXPECT_NE(read_file(path("w")).find("gradc-weights/1"), std::string::npos);
  }
}

TEST_P(Endings, ResultsThatCannotBePrintedAreAnError) {
  const std::string line = line_of(train({"--epochs", "2", "--out", path("w")}));
  write_text_file(path("script"), line + "2> " + path("err") + " > /dev/full; echo code $?\n" +
                                      "{ sleep 0.3; " + line + "2>> " + path("err") +
                                      "; echo code $? >&2; } | true\n");
  const Outcome outcome = shell("bash " + path("script"));
  EXPECT_EQ(outcome.output, "code 1\ncode 1\n") << read_file(path("err"));
  const std::string text = read_file(path("err"));
  EXPECT_NE(text.find("standard output"), std::string::npos) << text;
  EXPECT_NE(text.find("No space left"), std::string::npos) << text;
  EXPECT_NE(text.find("Broken pipe"), std::string::npos) << text;
}

TEST_P(Endings, TheBarIsGoneBeforeAnyMessage) {
  int ours = -1;
  int theirs = -1;
  const winsize size{24, 200, 0, 0};
  ASSERT_EQ(openpty(&ours, &theirs, nullptr, nullptr, &size), 0);
  Child child(train({"--epochs", "1000000", "--log", path("log")}),
              {.terminal = theirs, .variables = {{"TERM", "xterm"}}});
  close(theirs);
  std::string seen;
  std::thread reader([&] {
    char buffer[4096];
    for (ssize_t n = 0; (n = read(ours, buffer, sizeof buffer)) > 0;)
      seen.append(buffer, static_cast<size_t>(n));
  });
  const bool begun = has_begun(child, path("log"));
  sleep_for(0.3);
  child.signal_with(SIGINT);
  EXPECT_EQ(child.wait(), 130);
  reader.join();
  close(ours);
  ASSERT_TRUE(begun);
  const size_t message = seen.find("stopped ");
  ASSERT_NE(message, std::string::npos);
  const size_t begin = seen.find_last_of("\r\n", message);
  const size_t bar = seen.rfind(">", begin);  // the last bar that was drawn, if any
  EXPECT_LT(message - begin, 10U) << seen.substr(begin);
  const bool drawn = bar != std::string::npos && seen.find('\n', bar) > begin;
  EXPECT_TRUE(!drawn || seen[begin] == '\r');  // spaces went over it
}

/// Kills a training at instants spread over its time, resumes, kills again, and lets it end: the
/// same bits as the training that nobody disturbed, and a log with each epoch once.
TEST_P(Endings, KilledAtAnyInstantAndResumedGivesTheSameBits) {
  constexpr int kEpochs = 15;
  const Command epochs = {"--epochs", std::to_string(kEpochs)};
  const auto begin = std::chrono::steady_clock::now();
  const auto since = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  Child whole(train(epochs + Command{"--out", path("whole"), "--checkpoint", path("c0"), "--log",
                                     path("log0")}),
              {});
  ASSERT_EQ(whole.wait(), 0);
  const double length = since();
  const std::string wanted = read_file(path("whole"));
  const char* asked = std::getenv("GRADC_KILLS");
  const int kills = asked != nullptr ? std::atoi(asked) : GetParam() ? 24 : 10;
  std::mt19937 random(7);
  int killed = 0;
  for (int i = 0; i < kills; ++i) {
    for (const char* name : {"c", "log", "w"})
      std::filesystem::remove(path(name));
    const Command files = {"--out", path("w"),   "--checkpoint", path("c"),
                           "--log", path("log"), "--resume"};
    for (int part = 0; part < 2; ++part) {
      Child child(train(epochs + files), {});
      const double share = (i + static_cast<double>(random()) / 4294967296.0) / kills;
      sleep_for(length * (part == 0 ? share : 1 - share));
      killed += child.running() ? 1 : 0;
      child.signal_with(SIGKILL);
      child.wait();
    }
    Child rest(train(epochs + files), {.err = path("err")});
    ASSERT_EQ(rest.wait(), 0) << read_file(path("err"));
    ASSERT_TRUE(read_file(path("w")) == wanted) << "kill " << i;
    ASSERT_EQ(epochs_of(path("log")), epochs_to(kEpochs)) << "kill " << i;
    ASSERT_EQ(temporaries_in(path(".")), 0U) << "kill " << i;
  }
  RecordProperty("killed", killed);
  printf("killed %d times in %.2f s of training\n", killed, length);
  EXPECT_GT(killed, kills / 3);
}

INSTANTIATE_TEST_SUITE_P(Ways, Endings, ::testing::Bool(), [](const auto& way) {
  return way.param ? std::string("Program") : std::string("Jit");
});

TEST(CompileEndings, ASignalLeavesNothing) {
  const SmallTraining small;
  std::filesystem::create_directory(small / "tmp");
  std::filesystem::create_directory(small / "out");
  // A compiler that takes its time.
  write_text_file(small / "slow", "#!/bin/sh\ntouch '" + (small / "linking") + "'\nsleep 30\n");
  std::filesystem::permissions(small / "slow", std::filesystem::perms::all);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    std::filesystem::remove(small / "linking");
    Child child(
        {tool(), "compile", small.model(), "-o", small / "out/program"},
        {.err = small / "err", .variables = {{"CC", small / "slow"}, {"TMPDIR", small / "tmp"}}});
    for (int i = 0; i < 3000 && !std::filesystem::exists(small / "linking"); ++i)
      sleep_for(0.01);
    ASSERT_FALSE(std::filesystem::is_empty(small / "tmp"));
    child.signal_with(number);
    EXPECT_EQ(child.wait(), 130) << read_file(small / "err");
    EXPECT_TRUE(std::filesystem::is_empty(small / "out"));
    EXPECT_TRUE(std::filesystem::is_empty(small / "tmp"));
  }
  // What kill -9 leaves is cleared by the next run.
  std::filesystem::remove(small / "linking");
  Child child({tool(), "compile", small.model(), "-o", small / "out/program"},
              {.variables = {{"CC", small / "slow"}, {"TMPDIR", small / "tmp"}}});
  for (int i = 0; i < 3000 && !std::filesystem::exists(small / "linking"); ++i)
    sleep_for(0.01);
  child.signal_with(SIGKILL);
  child.wait();
  EXPECT_FALSE(std::filesystem::is_empty(small / "tmp"));
  Child next({tool(), "compile", small.model(), "-o", small / "out/program"},
             {.variables = {{"TMPDIR", small / "tmp"}}});
  EXPECT_EQ(next.wait(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(small / "tmp"));
}

}  // namespace
}  // namespace gradc::test
