// Runs a door over files: gradc_fuzz_replay DOOR FOLDER|FILE... Each file has a process of its own
// with a limit on time and memory, so that one that crashes, hangs or takes all memory is named and
// the others still run.
#include "tests/fuzz/door.h"
#include "tests/support/sanitized.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace gradc::fuzz {
namespace {

// Sanitizers make everything several times slower, and reserve address space without bound.
#if GRADC_SANITIZED
constexpr rlim_t kSeconds = 40;
constexpr rlim_t kBytes = RLIM_INFINITY;
#else
constexpr rlim_t kSeconds = 5;              // of processor time
constexpr rlim_t kBytes = rlim_t{3} << 30;  // of address space
#endif

constexpr auto kDoors = std::to_array<std::pair<std::string_view, Door>>({
#define GRADC_FUZZ_DOOR(name) {#name, name##_door},
#include "tests/fuzz/targets.def"
#undef GRADC_FUZZ_DOOR
});

/// The door of that name, or null.
Door find_door(std::string_view name) {
  for (const auto& [known, door] : kDoors) {
    if (known == name) return door;
  }
  return nullptr;
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

[[noreturn]] void run_in_child(Door door, const std::string& bytes) {
  const rlimit time{kSeconds, kSeconds};
  const rlimit memory{kBytes, kBytes};
  setrlimit(RLIMIT_CPU, &time);
  setrlimit(RLIMIT_AS, &memory);
  alarm(kSeconds * 20);  // for what waits instead of working
  door(bytes);
  std::exit(0);
}

/// What went wrong, or nothing.
std::string problem_with(Door door, const std::string& path) {
  const std::string bytes = read(path);
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) return "cannot fork";
  if (child == 0) run_in_child(door, bytes);
  int state = 0;
  while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return {};
  if (WIFEXITED(state)) return "ended with exit code " + std::to_string(WEXITSTATUS(state));
  const int signal = WTERMSIG(state);
  if (signal == SIGXCPU || signal == SIGKILL)
    return "took more than " + std::to_string(kSeconds) + " seconds";
  return std::string("ended by signal: ") + strsignal(signal);
}

std::vector<std::string> files_in(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

int replay(const char* name, const std::vector<std::string>& paths) {
  const Door door = find_door(name);
  if (door == nullptr) {
    std::fprintf(stderr, "there is no door \"%s\"\n", name);
    return 2;
  }
  size_t count = 0;
  size_t failures = 0;
  for (const std::string& path : paths) {
    for (const std::string& file : files_in(path)) {
      ++count;
      const std::string problem = problem_with(door, file);
      if (problem.empty()) continue;
      ++failures;
      std::fprintf(stderr, "%s: %s\n", file.c_str(), problem.c_str());
    }
  }
  std::printf("%s: %zu inputs, %zu failures\n", name, count, failures);
  return count > 0 && failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gradc::fuzz

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: gradc_fuzz_replay DOOR FOLDER|FILE...\n");
    return 2;
  }
  return gradc::fuzz::replay(argv[1], std::vector<std::string>(argv + 2, argv + argc));
}
