// What was stored is found; what is damaged, foreign or too much is not.
#include "support/disk_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace gradc {
namespace {

namespace fs = std::filesystem;

class DiskCacheTest : public ::testing::Test {
 protected:
  DiskCacheTest() {
    std::string pattern = (fs::temp_directory_path() / "gradc-cache-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    folder_ = root_ + "/a/b";
  }
  ~DiskCacheTest() override { fs::remove_all(root_); }

  size_t files() const {
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder_))
      count += entry.is_regular_file() ? 1 : 0;
    return count;
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  std::string root_, folder_;
};

TEST_F(DiskCacheTest, FindsWhatWasStored) {
  const DiskCache cache(folder_);
  EXPECT_EQ(cache.find("key"), std::nullopt);
  const std::string value("code\0with zeros", 15);
  ASSERT_TRUE(cache.store("key", value));
  EXPECT_EQ(cache.find("key"), value);
  EXPECT_EQ(DiskCache(folder_).find("key"), value);
  EXPECT_EQ(cache.find("key2"), std::nullopt);
  EXPECT_TRUE(cache.store("key", "newer"));
  EXPECT_EQ(cache.find("key"), "newer");
  EXPECT_TRUE(cache.store("", ""));
  EXPECT_EQ(cache.find(""), "");
  EXPECT_EQ(files(), 2U);
}

TEST_F(DiskCacheTest, EveryDamagedByteIsNoticed) {
  const DiskCache cache(folder_);
  const std::string path = cache.path_of("a key");
  ASSERT_TRUE(cache.store("a key", "machine code"));
  const std::string whole = read(path);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    write(path, damaged);
    EXPECT_EQ(cache.find("a key"), std::nullopt) << i;
    EXPECT_FALSE(fs::exists(path)) << i;
  }
  for (size_t length = 0; length < whole.size(); ++length) {
    write(path, whole.substr(0, length));
    EXPECT_EQ(cache.find("a key"), std::nullopt) << length;
  }
  write(path, whole + "x");
  EXPECT_EQ(cache.find("a key"), std::nullopt);
  write(path, whole);
  EXPECT_EQ(cache.find("a key"), "machine code");
}

TEST_F(DiskCacheTest, AnotherKeyInItsPlaceIsNone) {
  const DiskCache cache(folder_);
  ASSERT_TRUE(cache.store("one", "1"));
  ASSERT_TRUE(cache.store("two", "2"));
  fs::rename(cache.path_of("one"), cache.path_of("two"));
  EXPECT_EQ(cache.find("two"), std::nullopt);
}

TEST_F(DiskCacheTest, AFolderThatOthersMayWriteToIsNotUsed) {
  const DiskCache cache(folder_);
  ASSERT_TRUE(cache.store("key", "value"));
  struct stat info{};
  ASSERT_EQ(stat(folder_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
  chmod(folder_.c_str(), 0777);
  EXPECT_EQ(cache.find("key"), std::nullopt);
  EXPECT_FALSE(cache.store("key", "value"));
  chmod(folder_.c_str(), 0755);
  EXPECT_EQ(cache.find("key"), "value");
  // A link to somebody's file, a pipe: nothing is followed and nothing waits.
  fs::remove(cache.path_of("key"));
  fs::create_symlink("/dev/zero", cache.path_of("key"));
  EXPECT_EQ(cache.find("key"), std::nullopt);
  fs::remove(cache.path_of("key"));
  ASSERT_EQ(mkfifo(cache.path_of("key").c_str(), 0600), 0);
  EXPECT_EQ(cache.find("key"), std::nullopt);
}

TEST_F(DiskCacheTest, WhereNothingCanBeKeptNothingFails) {
  EXPECT_FALSE(DiskCache("/proc/nowhere").store("key", "value"));
  EXPECT_EQ(DiskCache("/proc/nowhere").find("key"), std::nullopt);
  write(root_ + "/file", "");
  EXPECT_FALSE(DiskCache(root_ + "/file").store("key", "value"));
  EXPECT_FALSE(DiskCache("").store("key", "value"));
}

TEST_F(DiskCacheTest, TheOldestMakeRoom) {
  const DiskCache cache(folder_, 100 * 1000);
  const std::string value(9000, 'x');
  for (int i = 0; i < 30; ++i) {
    const std::string key = std::to_string(i);
    ASSERT_TRUE(cache.store(key, value));
    const timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};  // in order, whatever the clock
    utimensat(AT_FDCWD, cache.path_of(key).c_str(), times, 0);
    int64_t total = 0;
    for (const auto& entry : fs::directory_iterator(folder_))
      total += static_cast<int64_t>(entry.file_size());
    EXPECT_LE(total, 100 * 1000);
  }
  EXPECT_EQ(cache.find("0"), std::nullopt);
  EXPECT_EQ(cache.find("29"), value);
  EXPECT_FALSE(cache.store("large", std::string(200 * 1000, 'x')));
}

TEST_F(DiskCacheTest, AbandonedFilesGo) {
  const DiskCache cache(folder_);
  ASSERT_TRUE(cache.store("key", "value"));
  write(folder_ + "/.new-killed", "half");
  write(folder_ + "/.new-running", "half");
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  utimensat(AT_FDCWD, (folder_ + "/.new-killed").c_str(), old, 0);
  ASSERT_TRUE(cache.store("other", "value"));
  EXPECT_FALSE(fs::exists(folder_ + "/.new-killed"));
  EXPECT_TRUE(fs::exists(folder_ + "/.new-running"));
}

TEST_F(DiskCacheTest, WritersAndReadersMayMeet) {
  const auto value_of = [](int who) { return std::string(20000, static_cast<char>('a' + who)); };
  std::atomic<int> wrong = 0;
  std::atomic<int> found = 0;
  std::vector<std::thread> threads;
  for (int who = 0; who < 4; ++who) {
    threads.emplace_back([&, who] {
      const DiskCache cache(folder_, who % 2 == 0 ? 60000 : DiskCache::kDefaultLimit);
      for (int i = 0; i < 100; ++i) {
        cache.store("shared", value_of(who));
        cache.store(std::to_string(i), value_of(who));
        const auto value = cache.find("shared");
        if (!value) continue;
        ++found;
        bool whole = false;
        for (int other = 0; other < 4; ++other)
          whole = whole || *value == value_of(other);
        wrong += whole ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(found, 0);
}

TEST(DiskCacheFolder, FollowsTheEnvironment) {
  const auto with = [](const char* own, const char* all, const char* home) {
    for (const auto& [name, value] : {std::pair{"GRADC_CACHE", own},
                                      std::pair{"XDG_CACHE_HOME", all}, std::pair{"HOME", home}}) {
      if (value != nullptr) {
        setenv(name, value, 1);
      } else {
        unsetenv(name);
      }
    }
    return DiskCache::user_folder();
  };
  const char* home = std::getenv("HOME");
  const std::string before = home != nullptr ? home : "";
  const char* own = std::getenv("GRADC_CACHE");
  const std::optional<std::string> own_before = own != nullptr ? std::optional(own) : std::nullopt;
  EXPECT_EQ(with("/x", "/c", "/h"), "/x");
  EXPECT_EQ(with("off", "/c", "/h"), std::nullopt);
  EXPECT_EQ(with("", "/c", "/h"), "/c/gradc");
  EXPECT_EQ(with(nullptr, "relative", "/h"), "/h/.cache/gradc");
  EXPECT_EQ(with(nullptr, nullptr, "/h"), "/h/.cache/gradc");
  EXPECT_EQ(with(nullptr, nullptr, nullptr), std::nullopt);
  with(own_before ? own_before->c_str() : nullptr, nullptr, before.c_str());
}

}  // namespace
}  // namespace gradc
