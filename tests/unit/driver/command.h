// Running the gradc command and what it compiles, from tests.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace gradc::test {

/// Tests compile: what runs them has a cache of its own, which is not theirs.
inline const bool kCacheIsOff = setenv("GRADC_CACHE", "off", 1) == 0;

struct Outcome {
  int code = -1;
  std::string output;  ///< stdout and stderr together
};

/// Runs a shell command line.
inline Outcome shell(const std::string& line) {
  Outcome outcome;
  std::FILE* pipe = popen(("NO_COLOR=1 " + line + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    outcome.output.append(buffer, n);
  const int state = pclose(pipe);
  outcome.code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  return outcome;
}

inline std::string tool() {
  return GRADC_TOOL;
}
inline Outcome gradc(const std::string& arguments) {
  return shell(tool() + " " + arguments);
}
inline std::string source(const std::string& path) {
  return std::string(GRADC_SOURCE_DIR) + "/" + path;
}

/// The Fashion-MNIST folder of Debian's dataset-fashion-mnist, which scripts/setup installs.
inline const char* fashion_mnist() {
  return "/usr/share/datasets/fashion-mnist";
}

/// A folder for one test, removed afterwards.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradc-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void write_text_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace gradc::test
