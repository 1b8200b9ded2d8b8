// /proc/meminfo and the memory controllers of cgroups.
#include "driver/free_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

namespace gradc {
namespace {

/// The number that a file holds alone; nothing for "max" and for files that are not there.
std::optional<int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  int64_t value = 0;
  if (!std::getline(file, text)) return std::nullopt;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc()) return std::nullopt;
  return value;
}

int64_t available(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("MemAvailable:")) continue;
    const size_t digits = line.find_first_of("0123456789");
    int64_t kilobytes = 0;
    if (digits == std::string::npos) break;
    const auto read = std::from_chars(line.data() + digits, line.data() + line.size(), kilobytes);
    if (read.ec == std::errc()) return kilobytes * 1024;
  }
  return INT64_MAX;
}

/// What a group and those around it leave: the limit less what is used.
int64_t left_by(std::string folder, const std::string& top, const char* limit_name,
                const char* used_name) {
  int64_t left = INT64_MAX;
  while (folder.size() >= top.size()) {
    const auto limit = number_in(folder + "/" + limit_name);
    const auto used = number_in(folder + "/" + used_name);
    if (limit && used) left = std::min(left, std::max<int64_t>(*limit - *used, 0));
    folder.resize(folder.rfind('/'));
  }
  return left;
}

}  // namespace

int64_t free_memory_bytes(const std::string& root) {
  int64_t bytes = available(root);
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1) == "/" ? "" : line.substr(second + 1);
    const std::string base = root + "/sys/fs/cgroup";
    if (controllers == ",,") {
      bytes = std::min(bytes, left_by(base + group, base, "memory.max", "memory.current"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      const std::string top = base + "/memory";
      bytes = std::min(bytes,
                       left_by(top + group, top, "memory.limit_in_bytes", "memory.usage_in_bytes"));
    }
  }
  return bytes;
}

Status check_free_memory(const std::string& what, int64_t needed) {
  const int64_t free = free_memory_bytes();
  if (needed <= free) return Ok{};
  const auto megabytes = [](int64_t bytes) { return bytes / (int64_t{1} << 20U); };
  Diagnostic error = make_error(DiagKind::kPlanMemory, {}, "{} needs {} MB, {} MB are free", what,
                                megabytes(needed), megabytes(free));
  return error.with_help("a smaller batch size, or a machine with more memory");
}

}  // namespace gradc
