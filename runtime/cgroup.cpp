// /proc/self/cgroup says which groups we are in, /proc/self/mountinfo where their files are: a
// container sees only a part of the tree, mounted with its own root. Everything is read into
// buffers on the stack; what does not fit or does not parse limits nothing.
#include "runtime/cgroup.h"

#include "runtime/number.h"

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace gradc::rt {
namespace {

constexpr size_t kPathBytes = 4096;

struct Text {
  char bytes[1 << 16];
  bool read(const char* root, const char* path) {
    char whole[2 * kPathBytes];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    const int file = open(whole, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    size_t size = 0;
    while (size < sizeof bytes - 1) {
      const ssize_t n = ::read(file, bytes + size, sizeof bytes - 1 - size);
      if (n <= 0) break;
      size += static_cast<size_t>(n);
    }
    close(file);
    bytes[size] = '\0';
    return true;
  }
};

/// The next line of *at, ended; null at the end.
char* next_line(char** at) {
  char* line = *at;
  if (*line == '\0') return nullptr;
  char* end = strchr(line, '\n');
  *at = end == nullptr ? line + strlen(line) : end + 1;
  if (end != nullptr) *end = '\0';
  return line;
}

/// The n-th of the line's words, copied; "" if there are fewer.
void word_of(const char* line, int n, char* out, size_t size) {
  for (; n > 0 && *line != '\0'; --n) {
    line += strcspn(line, " ");
    line += strspn(line, " ");
  }
  const size_t length = strcspn(line, " ");
  snprintf(out, size, "%.*s", static_cast<int>(length < size ? length : size - 1), line);
}

bool lists(const char* names, const char* name) {
  const size_t length = strlen(name);
  for (; *names != '\0'; names += strspn(names, ",")) {
    const size_t word = strcspn(names, ",");
    if (word == length && memcmp(names, name, word) == 0) return true;
    names += word;
  }
  return false;
}

struct Group {
  bool found = false;
  char path[kPathBytes] = {};   // of the process, from the hierarchy's root
  char mount[kPathBytes] = {};  // where the hierarchy is
  char root[kPathBytes] = {};   // what of it is mounted there
};

/// "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1.
void find_path(Text& text, bool version2, Group* group) {
  char* at = text.bytes;
  while (char* line = next_line(&at)) {
    char* controllers = strchr(line, ':');
    char* path = controllers == nullptr ? nullptr : strchr(controllers + 1, ':');
    if (path == nullptr) continue;
    *path++ = '\0';
    const bool ours = version2 ? strcmp(line, "0:") == 0 : lists(controllers + 1, "cpu");
    if (!ours) continue;
    snprintf(group->path, sizeof group->path, "%s", path);
    group->found = true;
    return;
  }
}

/// "36 35 98:0 ROOT MOUNT options fields - TYPE source super-options".
void find_mount(Text& text, bool version2, Group* group) {
  char* at = text.bytes;
  while (char* line = next_line(&at)) {
    char* tail = strstr(line, " - ");
    if (tail == nullptr) continue;
    *tail = '\0';
    tail += 3;
    char type[32];
    char options[512];
    word_of(tail, 0, type, sizeof type);
    word_of(tail, 2, options, sizeof options);
    const bool ours = version2 ? strcmp(type, "cgroup2") == 0
                               : strcmp(type, "cgroup") == 0 && lists(options, "cpu");
    if (!ours) continue;
    word_of(line, 3, group->root, sizeof group->root);
    word_of(line, 4, group->mount, sizeof group->mount);
    return;
  }
}

int32_t rounded_up(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return 0;
  const int64_t count = (quota + period - 1) / period;
  return count > INT32_MAX ? 0 : static_cast<int32_t>(count);
}

bool read_number(const char* root, const char* folder, const char* name, int64_t* out) {
  char path[kPathBytes + 64];
  snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char text[64];
  const ssize_t n = ::read(file, text, sizeof text - 1);
  close(file);
  if (n <= 0) return false;
  text[n] = '\0';
  return parse_integer(text, text + strcspn(text, " \n"), out);
}

int32_t limit_of_folder(const char* root, const char* folder, bool version2) {
  int64_t quota = 0;
  int64_t period = 0;
  if (!version2) {
    if (!read_number(root, folder, "cpu.cfs_quota_us", &quota) ||
        !read_number(root, folder, "cpu.cfs_period_us", &period))
      return 0;
    return rounded_up(quota, period);  // -1: no limit
  }
  char path[kPathBytes + 64];
  snprintf(path, sizeof path, "%s/cpu.max", folder);
  static_assert(sizeof(Text) < size_t{1} << 17);
  Text text;
  if (!text.read(root, path)) return 0;
  const char* first = text.bytes;  // "max 100000" or "150000 100000"
  const size_t length = strcspn(first, " \n");
  const char* second = first + length + strspn(first + length, " ");
  if (!parse_integer(first, first + length, &quota) ||
      !parse_integer(second, second + strcspn(second, " \n"), &period))
    return 0;
  return rounded_up(quota, period);
}

/// The least of the group and those it is in.
int32_t limit_of_group(const char* root, Group& group, bool version2) {
  if (!group.found || group.mount[0] == '\0') return 0;
  // What is mounted begins inside the hierarchy: the path from there.
  const size_t above = strcmp(group.root, "/") == 0 ? 0 : strlen(group.root);
  const bool inside = above > 0 && strncmp(group.path, group.root, above) == 0;
  const char* below = inside ? group.path + above : (above == 0 ? group.path : "");
  char folder[2 * kPathBytes];
  snprintf(folder, sizeof folder, "%s%s", group.mount, strcmp(below, "/") == 0 ? "" : below);
  if (strlen(folder) >= kPathBytes || strstr(folder, "/..") != nullptr) return 0;
  int32_t least = 0;
  const size_t mount = strlen(group.mount);
  while (true) {
    const int32_t limit = limit_of_folder(root, folder, version2);
    if (limit > 0 && (least == 0 || limit < least)) least = limit;
    char* slash = strrchr(folder, '/');
    if (strlen(folder) <= mount || slash == nullptr) return least;
    *slash = '\0';
  }
}

}  // namespace

int32_t cgroup_processors(const char* root) {
  int32_t least = 0;
  for (const bool version2 : {true, false}) {
    Group group;
    Text text;
    if (!text.read(root, "/proc/self/cgroup")) return 0;
    find_path(text, version2, &group);
    if (!text.read(root, "/proc/self/mountinfo")) return 0;
    find_mount(text, version2, &group);
    const int32_t limit = limit_of_group(root, group, version2);
    if (limit > 0 && (least == 0 || limit < least)) least = limit;
  }
  return least;
}

}  // namespace gradc::rt
