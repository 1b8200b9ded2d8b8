// Every file below tests/filetests as a test of its own.
#include "tests/support/file_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace gradc::testing {
namespace {

namespace fs = std::filesystem;

std::string read_whole(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

class FileTestCase : public ::testing::Test {
 public:
  FileTestCase(fs::path file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  void TestBody() override {
    const Result<FileTest> test = read_file_test(name_, read_whole(file_));
    ASSERT_TRUE(test.ok()) << test.message();
    std::string new_contents;
    const std::string problem = run_file_test(*test, &new_contents);
    if (problem.empty()) return;
    if (!new_contents.empty() && std::getenv("GRADC_UPDATE") != nullptr) {
      std::ofstream(file_, std::ios::binary) << new_contents;
      GTEST_SKIP() << "rewritten";
    }
    FAIL() << problem;
  }

 private:
  fs::path file_;
  std::string name_;
};

void register_all(const fs::path& root) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    const std::string extension = entry.path().extension().string();
    if (entry.is_regular_file() &&
        (extension == ".gir" || extension == ".json" || extension == ".kernel"))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string name = file.lexically_relative(root).generic_string();
    const std::string suite = "filetests/" + name.substr(0, name.rfind('/'));
    const std::string leaf = name.substr(name.rfind('/') + 1);
    ::testing::RegisterTest(
        suite.c_str(), leaf.c_str(), nullptr, nullptr, file.c_str(), 1,
        [file, name]() -> ::testing::Test* { return new FileTestCase(file, name); });
  }
}

}  // namespace
}  // namespace gradc::testing

int main(int argc, char** argv) {
  gradc::testing::register_all(std::filesystem::path(GRADC_SOURCE_DIR) / "tests" / "filetests");
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
