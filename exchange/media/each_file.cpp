#include "exchange/media/each_file.h"

#include "runtime/text.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

namespace gradc::exchange {
namespace {

constexpr size_t kMostFileBytes = size_t{1} << 30;
constexpr size_t kMostTold = 20;
constexpr size_t kMostThreads = 64;

}  // namespace

rt::Status each_file(rt::Span<const rt::Str> paths,
                     const std::function<std::string(size_t)>& work) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::vector<std::pair<size_t, std::string>> problems;
  const auto run = [&] {
    for (size_t i = next++; i < paths.size(); i = next++) {
      std::string problem;
      try {
        problem = work(i);
      } catch (const std::bad_alloc&) {
        problem = "there is no memory for it";
      }
      if (problem.empty()) continue;
      const std::scoped_lock lock(mutex);
      problems.emplace_back(i, std::move(problem));
    }
  };
  const size_t threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1,
                                            std::clamp<size_t>(paths.size(), 1, kMostThreads));
  std::vector<std::thread> others;
  others.reserve(threads);
  try {
    for (size_t t = 1; t < threads; ++t)
      others.emplace_back(run);
  } catch (const std::system_error&) {  // those that there are do it
  }
  run();
  for (std::thread& thread : others)
    thread.join();

  std::ranges::sort(problems);
  rt::Status status;
  for (size_t i = 0; i < std::min(problems.size(), kMostTold); ++i) {
    rt::add_problem(status, "%s: %s", rt::shown(paths[problems[i].first], 200).c_str(),
                    problems[i].second.c_str());
  }
  if (problems.size() > kMostTold)
    rt::add_problem(status, "and %zu more files", problems.size() - kMostTold);
  return status;
}

std::string read_bytes(const char* path, std::vector<uint8_t>* out) {
  std::FILE* file = std::fopen(path, "rbe");
  if (file == nullptr) return "cannot be opened";
  uint8_t buffer[16384];
  size_t count = 0;
  while ((count = std::fread(buffer, 1, sizeof buffer, file)) > 0 && out->size() < kMostFileBytes)
    out->insert(out->end(), buffer, buffer + count);
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  return failed ? "cannot be read" : out->size() >= kMostFileBytes ? "is too large" : "";
}

}  // namespace gradc::exchange
