// A file is: "gradc-cache 1\n", the sizes of key and value, a checksum of both, the key, the value.
// The key is kept whole, so that two keys with the same hash are two keys.
#include "support/disk_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <exception>
#include <fcntl.h>
#include <memory>
#include <random>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace gradc {

namespace {

constexpr std::string_view kMagic = "gradc-cache 1\n";
constexpr std::string_view kTemporary = ".new-";
constexpr time_t kAbandonedSeconds = 3600;

struct Header {
  std::array<char, 16> magic{};
  uint64_t key_bytes = 0;
  uint64_t value_bytes = 0;
  uint64_t checksum = 0;
};

/// Each step is a bijection of the state, so one changed word always changes the result.
uint64_t hash_of(std::string_view bytes, uint64_t state) {
  const auto mix = [&state](uint64_t word) {
    state = (state ^ word) * 0x9E3779B97F4A7C15u;
    state ^= state >> 32;
  };
  while (bytes.size() >= sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    mix(word);
    bytes.remove_prefix(sizeof word);
  }
  uint64_t rest = 0;
  if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
  mix(rest);
  mix(bytes.size());
  return state;
}

uint64_t checksum_of(std::string_view key, std::string_view value) {
  return hash_of(value, hash_of(key, 0x243F6A8885A308D3u));
}

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return descriptor_ >= 0; }
  bool stat(struct stat& info) const { return fstat(descriptor_, &info) == 0; }
  void touch() const { (void)futimens(descriptor_, nullptr); }

  bool read(char* out, size_t bytes) const {
    while (bytes > 0) {
      const ssize_t got = ::read(descriptor_, out, bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      out += got;
      bytes -= static_cast<size_t>(got);
    }
    return true;
  }
  bool write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(put));
    }
    return true;
  }

 private:
  int descriptor_;
};

Header header_of(std::string_view key, std::string_view value) {
  Header header;
  std::copy(kMagic.begin(), kMagic.end(), header.magic.begin());
  header.key_bytes = key.size();
  header.value_bytes = value.size();
  header.checksum = checksum_of(key, value);
  return header;
}

/// A regular file of this user, with what `key` stands for; nothing if anything is not as it was
/// written.
std::optional<std::string> read_entry(const File& file, std::string_view key) {
  struct stat info{};
  Header header;
  if (!file.stat(info) || !S_ISREG(info.st_mode) || info.st_uid != geteuid()) return std::nullopt;
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header)) return std::nullopt;
  const auto size = static_cast<uint64_t>(info.st_size);
  const Header expected = header_of(key, {});
  if (header.magic != expected.magic || header.key_bytes != key.size() ||
      header.value_bytes > size || sizeof header + key.size() + header.value_bytes != size)
    return std::nullopt;
  std::string bytes(key.size() + header.value_bytes, '\0');
  if (!file.read(bytes.data(), bytes.size()) ||
      std::string_view(bytes).substr(0, key.size()) != key)
    return std::nullopt;
  std::string value = bytes.substr(key.size());
  if (header.checksum != checksum_of(key, value)) return std::nullopt;
  return value;
}

bool make_folders(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return true;
  const size_t slash = path.rfind('/');
  if (errno != ENOENT || slash == std::string::npos || slash == 0) return false;
  return make_folders(path.substr(0, slash)) && (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST);
}

/// Code from here is run: nobody else may put some into it.
bool is_own_folder(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
         (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

std::string temporary_name() {
  static std::atomic<uint64_t> count = 0;
  std::random_device random;
  return fmt::format("{}{:x}-{:x}-{:08x}{:08x}", kTemporary, getpid(), count++, random(), random());
}

struct Entry {
  std::string path;
  int64_t bytes = 0;
  time_t seconds = 0;
  bool temporary = false;
};

std::vector<Entry> entries_of(const std::string& folder) {
  std::vector<Entry> entries;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(folder.c_str()), closedir);
  if (directory == nullptr) return entries;
  while (const dirent* one = readdir(directory.get())) {
    Entry entry{folder + "/" + one->d_name};
    struct stat info{};
    if (lstat(entry.path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    entry.bytes = info.st_size;
    entry.seconds = info.st_mtime;
    entry.temporary = std::string_view(one->d_name).starts_with(kTemporary);
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

std::optional<std::string> DiskCache::user_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  const std::string own = variable("GRADC_CACHE");
  if (own == "off") return std::nullopt;
  if (!own.empty()) return own;
  const std::string all = variable("XDG_CACHE_HOME");
  if (!all.empty() && all[0] == '/') return all + "/gradc";  // others are to be ignored
  const std::string home = variable("HOME");
  if (!home.empty() && home[0] == '/') return home + "/.cache/gradc";
  return std::nullopt;
}

std::optional<DiskCache> DiskCache::of_user() {
  std::optional<std::string> folder = user_folder();
  if (!folder) return std::nullopt;
  return DiskCache(std::move(*folder));
}

std::string DiskCache::path_of(std::string_view key) const {
  return fmt::format("{}/{:016x}{:016x}", folder_, hash_of(key, 1), hash_of(key, 2));
}

std::optional<std::string> DiskCache::find(std::string_view key) const {
  try {
    if (!is_own_folder(folder_)) return std::nullopt;
    const std::string path = path_of(key);
    const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file.is_open()) return std::nullopt;
    std::optional<std::string> value = read_entry(file, key);
    if (value) {
      file.touch();  // the oldest are removed first
    } else {
      (void)unlink(path.c_str());
    }
    return value;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

bool DiskCache::make_folder() const {
  return make_folders(folder_) && is_own_folder(folder_);
}

bool DiskCache::store(std::string_view key, std::string_view value) const {
  try {
    const Header header = header_of(key, value);
    if (static_cast<int64_t>(sizeof header + key.size() + value.size()) > limit_ || !make_folder())
      return false;
    const std::string temporary = folder_ + "/" + temporary_name();
    {
      const File file(
          open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
      if (!file.is_open()) return false;
      const std::string_view head(reinterpret_cast<const char*>(&header), sizeof header);
      if (!file.write(head) || !file.write(key) || !file.write(value)) {
        (void)unlink(temporary.c_str());
        return false;
      }
    }
    if (rename(temporary.c_str(), path_of(key).c_str()) != 0) {
      (void)unlink(temporary.c_str());
      return false;
    }
    trim();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void DiskCache::trim() const {
  std::vector<Entry> entries = entries_of(folder_);
  const time_t now = time(nullptr);
  int64_t total = 0;
  for (const Entry& entry : entries) {
    total += entry.bytes;
    if (entry.temporary && now - entry.seconds > kAbandonedSeconds)
      (void)unlink(entry.path.c_str());  // of a run that was killed
  }
  if (total <= limit_) return;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.seconds, a.path) < std::pair(b.seconds, b.path);
  });
  for (const Entry& entry : entries) {
    if (total <= limit_ / 4 * 3) return;
    if (!entry.temporary && unlink(entry.path.c_str()) == 0) total -= entry.bytes;
  }
}

}  // namespace gradc
