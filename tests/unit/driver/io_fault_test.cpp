// Each single call for input or output fails once, in a compiled program and in a host of libgradc:
// an exit code or a status, nothing lost, and the next run clears what is left.
#include "tests/unit/driver/process.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>

namespace gradc::test {
namespace {

constexpr const char* kFaults = GRADC_FAULT_IO;

/// Scratch on a file system in memory if there is one: hundreds of runs with fsync.
void prefer_memory() {
  if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 0);
}

class IoFaults : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kFaults[0] == '\0') GTEST_SKIP() << "a sanitizer does not go with preloaded libraries";
    prefer_memory();
    small_ = std::make_unique<SmallTraining>();
    const Outcome compiled = small_->compile();
    ASSERT_EQ(compiled.code, 0) << compiled.output;
  }
  std::string path(const std::string& name) const { return *small_ / name; }

  struct Result {
    int code;
    std::string failed;  ///< name of the call that failed; "none"
    std::string text;
  };
  /// The program with its n-th call failing.
  Result run(const std::vector<std::string>& command, long n, int number) const {
    std::filesystem::remove(path("count"));
    std::filesystem::remove(path("err"));
    Child child(command, {.out = path("out"),
                          .err = path("err"),
                          .variables = {{"LD_PRELOAD", kFaults},
                                        {"GRADC_FAULT_AT", std::to_string(n)},
                                        {"GRADC_FAULT_ERRNO", std::to_string(number)},
                                        {"GRADC_FAULT_COUNT", path("count")}}});
    Result result{child.wait(), "", read_file(path("err"))};
    const std::string count = read_file(path("count"));
    const size_t space = count.find(' ');
    if (space != std::string::npos)
      result.failed = count.substr(space + 1, count.size() - space - 2);
    return result;
  }

  std::unique_ptr<SmallTraining> small_;
};

TEST_F(IoFaults, ATrainingProgram) {
  const std::vector<std::string> train =
      small_->by_program() +
      std::vector<std::string>{"--epochs", "2",     "--out",     path("w"), "--checkpoint",
                               path("c"),  "--log", path("log"), "--resume"};
  ASSERT_EQ(shell(line_of(train)).code, 0);
  const std::string wanted = read_file(path("w"));
  const std::string checkpoint = read_file(path("c"));
  std::map<std::string, int> failures;
  int runs = 0;
  for (const int number : {EIO, ENOSPC, EINTR}) {
    for (long n = 1;; ++n) {
      for (const char* name : {"c", "log"})
        std::filesystem::remove(path(name));
      write_text_file(path("w"), "good results of before");
      const Result result = run(train, n, number);
      if (result.failed == "none") break;
      const std::string where = result.failed + ", call " + std::to_string(n) + ", errno " +
                                std::to_string(number) + "\n" + result.text;
      ASSERT_TRUE(result.code == 0 || result.code == 1) << result.code << " " << where;
      ++runs;
      if (result.code == 1) {
        ++failures[result.failed];
        ASSERT_NE(result.text.find("error: "), std::string::npos) << where;
      }
      const std::string weights = read_file(path("w"));
      const bool whole = weights == wanted;
      ASSERT_TRUE(whole || weights == "good results of before" || result.code == 1) << where;
      ASSERT_TRUE(result.code == 1 || whole) << where;
      if (!whole && weights != "good results of before") {  // ended early, what it had is kept
        ASSERT_EQ(weights.size(), wanted.size()) << where;
      }
      // What one failure leaves, the next run takes up: the same bits, the log once, nothing more.
      const Outcome rest = shell(line_of(train));
      ASSERT_EQ(rest.code, 0) << where << rest.output;
      ASSERT_TRUE(read_file(path("w")) == wanted) << where;
      ASSERT_TRUE(read_file(path("c")) == checkpoint) << where;
      ASSERT_EQ(temporaries_in(path(".")), 0U) << where;
      if (result.text.find("the log ends here") == std::string::npos) {
        ASSERT_EQ(epochs_of(path("log")), "1 2") << where;
      }
    }
  }
  printf("%d runs with one failing call, of these ended with code 1:", runs);
  for (const auto& [name, count] : failures)
    printf(" %s %d", name.c_str(), count);
  printf("\n");
  for (const char* name : {"open", "read", "write", "fsync", "rename"})
    EXPECT_GT(failures[name], 0) << name;
}

TEST_F(IoFaults, APredictingProgram) {
  const std::string weights = path("weights");
  ASSERT_EQ(shell(line_of(small_->by_program()) + "--epochs 1 --out " + weights).code, 0);
  write_text_file(path("in.csv"), "a,b,c,d\n1,2,3,4\n5,6,7,8\n");
  const std::vector<std::string> predict = {path("program"), "predict",    "--weights",
                                            weights,         "--in",       path("in.csv"),
                                            "--out",         path("y.npy")};
  ASSERT_EQ(shell(line_of(predict)).code, 0);
  const std::string wanted = read_file(path("y.npy"));
  int runs = 0;
  for (const int number : {EIO, ENOSPC, EINTR}) {
    for (long n = 1;; ++n, ++runs) {
      write_text_file(path("y.npy"), "old");
      const Result result = run(predict, n, number);
      if (result.failed == "none") break;
      ASSERT_TRUE(result.code == 0 || result.code == 1) << result.code << result.failed;
      const std::string seen = read_file(path("y.npy"));
      ASSERT_TRUE(seen == wanted || (result.code == 1 && seen == "old")) << result.failed;
    }
  }
  EXPECT_GT(runs, 30);
}

TEST_F(IoFaults, AHostOfTheLibrary) {
  const std::string host = GRADC_FAULT_HOST;
  write_text_file(path("model.json"),
                  R"({"inputs": [{"name": "x", "shape": [8]}],
      "layers": [{"type": "dense", "units": 8, "name": "dense"}],
      "training": {"loss": "mse", "optimizer": "adam"}})");
  Child child({host, path("model.json"), path(".")},
              {.out = path("out"), .err = path("err"), .variables = {{"LD_PRELOAD", kFaults}}});
  EXPECT_EQ(child.wait(), 0) << read_file(path("err"));
  const std::string text = read_file(path("out"));
  EXPECT_NE(text.find("single failures"), std::string::npos) << text;
  printf("%s", text.c_str());
  EXPECT_EQ(temporaries_in(path(".")), 0U);
}

}  // namespace
}  // namespace gradc::test
