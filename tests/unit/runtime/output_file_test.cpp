// Output files: what stands behind a name is never replaced unless it is a regular file, and that
// is whole or as it was.
#include "runtime/output_file.h"

#include "runtime/file.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <functional>
#include <string>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace gradc::rt {
namespace {

using testing::read_bytes;
using testing::TempDir;
using testing::write_bytes;

std::string write_output(const std::string& path, const std::string& bytes) {
  OutputFile file;
  Status status = file.open(path.c_str());
  if (status.ok()) status = file.write(bytes.data(), bytes.size());
  if (status.ok()) status = file.commit();
  return status.text.c_str();
}

struct stat look(const std::string& path) {
  struct stat info{};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info;
}

std::vector<std::string> names_in(const std::string& folder) {
  Vec<Str> names;
  EXPECT_TRUE(list_directory(folder.c_str(), &names).ok());
  std::vector<std::string> result;
  for (const Str& name : names)
    result.emplace_back(name.c_str());
  return result;
}

/// Runs `work` in a child process; true if it gave true.
bool in_child(const std::function<bool()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work() ? 0 : 1);
  int state = 0;
  waitpid(child, &state, 0);
  return WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

TEST(OutputFile, DevicesStayDevices) {
  TempDir dir;
  const std::string device = dir.file("null");
  if (mknod(device.c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0)
    GTEST_SKIP() << "device nodes are for root";
  EXPECT_EQ(write_output(device, "x"), "");
  EXPECT_TRUE(S_ISCHR(look(device).st_mode));
  ASSERT_EQ(symlink("null", dir.file("link").c_str()), 0);
  EXPECT_EQ(write_output(dir.file("link"), "x"), "");
  EXPECT_TRUE(S_ISLNK(look(dir.file("link")).st_mode));
  const std::string full = dir.file("full");
  ASSERT_EQ(mknod(full.c_str(), S_IFCHR | 0666, makedev(1, 7)), 0);
  EXPECT_NE(write_output(full, "x").find("No space left"), std::string::npos);
  EXPECT_TRUE(S_ISCHR(look(full).st_mode));
  EXPECT_EQ(names_in(dir.path()).size(), 3U);
}

TEST(OutputFile, PipesAreWrittenInPlace) {
  TempDir dir;
  const std::string pipe = dir.file("fifo");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_TRUE(check_writable(pipe.c_str()).ok());  // does not wait for a reader
  std::string seen;
  const std::string bytes(200000, 'b');  // more than a pipe holds
  std::thread reader([&] { seen = read_bytes(pipe); });
  EXPECT_EQ(write_output(pipe, bytes), "");
  reader.join();
  EXPECT_EQ(seen, bytes);
  EXPECT_TRUE(S_ISFIFO(look(pipe).st_mode));

  // A reader that goes away is an error, not the end of the process.
  std::thread quitter([&] { close(open(pipe.c_str(), O_RDONLY)); });
  OutputFile file;
  ASSERT_TRUE(file.open(pipe.c_str()).ok());
  quitter.join();
  EXPECT_NE(strstr(file.write("x", 1).text.c_str(), "Broken pipe"), nullptr);
}

TEST(OutputFile, LinksAreFollowedAndKept) {
  TempDir dir;
  ASSERT_EQ(mkdir(dir.file("real").c_str(), 0700), 0);
  ASSERT_EQ(symlink("real/target", dir.file("dangling").c_str()), 0);
  EXPECT_EQ(write_output(dir.file("dangling"), "made"), "");
  EXPECT_EQ(read_bytes(dir.file("real/target")), "made");
  ASSERT_EQ(symlink(dir.file("dangling").c_str(), dir.file("chain").c_str()), 0);
  EXPECT_EQ(write_output(dir.file("chain"), "replaced"), "");
  EXPECT_EQ(read_bytes(dir.file("real/target")), "replaced");
  for (const char* link : {"dangling", "chain"})
    EXPECT_TRUE(S_ISLNK(look(dir.file(link)).st_mode)) << link;
  ASSERT_EQ(symlink("loop", dir.file("loop").c_str()), 0);
  EXPECT_NE(write_output(dir.file("loop"), "x").find("symbolic links"), std::string::npos);
  ASSERT_EQ(symlink("no/such/folder", dir.file("lost").c_str()), 0);
  EXPECT_NE(write_output(dir.file("lost"), "x").find("there is no folder"), std::string::npos);
  EXPECT_EQ(names_in(dir.path()).size(), 5U);
  EXPECT_EQ(names_in(dir.file("real")).size(), 1U);
}

TEST(OutputFile, ModeAndOwnerAreKept) {
  TempDir dir;
  const std::string path = dir.file("f");
  for (const mode_t mode : {0600U, 0640U, 0666U, 0755U, 0444U}) {
    write_bytes(path, "old");
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    if (mode == 0444U && geteuid() != 0) {
      EXPECT_NE(write_output(path, "new").find("Permission denied"), std::string::npos);
    } else {
      EXPECT_EQ(write_output(path, "new"), "");
      EXPECT_EQ(read_bytes(path), "new");
    }
    EXPECT_EQ(look(path).st_mode & 07777U, mode);
    ASSERT_EQ(unlink(path.c_str()), 0);
  }
  if (geteuid() == 0) {
    write_bytes(path, "old");
    ASSERT_EQ(chown(path.c_str(), 1234, 5678), 0);
    EXPECT_EQ(write_output(path, "new"), "");
    EXPECT_EQ(look(path).st_uid, 1234U);
    EXPECT_EQ(look(path).st_gid, 5678U);
  }
  const mode_t before = umask(027);
  EXPECT_EQ(write_output(dir.file("fresh"), "x"), "");
  OutputFile program;
  ASSERT_TRUE(program.open(dir.file("program").c_str(), true).ok());
  ASSERT_TRUE(program.commit().ok());
  umask(before);
  EXPECT_EQ(look(dir.file("fresh")).st_mode & 0777U, 0640U);
  EXPECT_EQ(look(dir.file("program")).st_mode & 0777U, 0750U);
}

TEST(OutputFile, WhatAnotherUserMayNotWriteIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user is for root";
  TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0777), 0);
  write_bytes(dir.file("mine"), "old");
  ASSERT_EQ(chmod(dir.file("mine").c_str(), 0644), 0);
  ASSERT_EQ(mkdir(dir.file("closed").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(dir.file("sticky").c_str(), 0777), 0);
  ASSERT_EQ(chmod(dir.file("sticky").c_str(), 01777), 0);
  write_bytes(dir.file("sticky/f"), "old");
  ASSERT_EQ(chmod(dir.file("sticky/f").c_str(), 0666), 0);
  const auto refused = [&](const char* name, const char* why) {
    return in_child([&] {
      return setgid(65534) == 0 && setuid(65534) == 0 &&
             write_output(dir.file(name), "new").find(why) != std::string::npos;
    });
  };
  EXPECT_TRUE(refused("mine", "Permission denied"));
  EXPECT_TRUE(refused("closed/f", "Permission denied"));
  EXPECT_TRUE(refused("sticky/f", "sticky bit"));
  EXPECT_EQ(read_bytes(dir.file("mine")), "old");
  EXPECT_EQ(read_bytes(dir.file("sticky/f")), "old");
  EXPECT_EQ(names_in(dir.file("sticky")).size(), 1U);
  // A link of another user's in a folder for all is not followed to make a file.
  ASSERT_EQ(symlink(dir.file("elsewhere").c_str(), dir.file("sticky/link").c_str()), 0);
  ASSERT_EQ(lchown(dir.file("sticky/link").c_str(), 4321, 4321), 0);
  EXPECT_NE(write_output(dir.file("sticky/link"), "x"), "");
  EXPECT_FALSE(file_exists(dir.file("elsewhere").c_str()));
}

TEST(OutputFile, NamesThatCannotBe) {
  TempDir dir;
  const std::string longest(255, 'n');
  EXPECT_EQ(write_output(dir.file(longest), "x"), "");
  EXPECT_EQ(write_output(dir.file(longest), "y"), "");
  EXPECT_EQ(read_bytes(dir.file(longest)), "y");
  EXPECT_NE(write_output(dir.file(longest + "n"), "x").find("name too long"), std::string::npos);
  EXPECT_NE(write_output(dir.path(), "x").find("is a directory"), std::string::npos);
  EXPECT_NE(write_output(dir.file("no/such"), "x").find("there is no folder"), std::string::npos);
  EXPECT_NE(write_output(dir.file(longest + "/x"), "x").find("Not a directory"), std::string::npos);
  EXPECT_NE(write_output("", "x").find("No such file"), std::string::npos);
  EXPECT_EQ(names_in(dir.path()).size(), 1U);
}

TEST(OutputFile, AFullDiskLeavesTheOldFile) {
  TempDir dir;
  const std::string disk = dir.file("disk");
  ASSERT_EQ(mkdir(disk.c_str(), 0700), 0);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "mounting is for root: " << strerror(errno);
  EXPECT_EQ(write_output(disk + "/f", "old"), "");
  const std::string why = write_output(disk + "/f", std::string(1 << 20, 'x'));
  EXPECT_NE(why.find("No space left"), std::string::npos) << why;
  EXPECT_EQ(read_bytes(disk + "/f"), "old");
  EXPECT_EQ(names_in(disk).size(), 1U);
  EXPECT_EQ(umount(disk.c_str()), 0);
}

TEST(OutputFile, AMountedFileIsWrittenInPlace) {
  TempDir dir;
  write_bytes(dir.file("outside"), "longer than what is written");
  write_bytes(dir.file("inside"), "");
  const std::string inside = dir.file("inside");
  if (mount(dir.file("outside").c_str(), inside.c_str(), nullptr, MS_BIND, nullptr) != 0)
    GTEST_SKIP() << "mounting is for root: " << strerror(errno);
  EXPECT_EQ(write_output(inside, "new"), "");
  EXPECT_EQ(umount(inside.c_str()), 0);
  EXPECT_EQ(read_bytes(dir.file("outside")), "new");
  EXPECT_EQ(names_in(dir.path()).size(), 2U);
}

TEST(OutputFile, TheSizeLimitIsAnErrorNotASignal) {
  TempDir dir;
  write_bytes(dir.file("f"), "old");
  EXPECT_TRUE(in_child([&] {
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return write_output(dir.file("f"), std::string(2000, 'x')).find("File too large") !=
           std::string::npos;
  }));
  EXPECT_EQ(read_bytes(dir.file("f")), "old");
  EXPECT_EQ(names_in(dir.path()).size(), 1U);
}

TEST(OutputFile, TemporariesOfKilledRunsAreCleared) {
  TempDir dir;
  const std::string path = dir.file("f");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(in_child([&] {
      auto* file = new OutputFile;  // never destroyed, as when a run is killed
      return file->open(path.c_str()).ok() && file->write("half", 4).ok();
    }));
  }
  const std::string other = dir.file("f2");
  EXPECT_TRUE(in_child([&] { return (new OutputFile)->open(other.c_str()).ok(); }));
  ASSERT_GE(names_in(dir.path()).size(), 2U);
  write_bytes(dir.file(".f.notahexnumber00.gradc-tmp"), "the user's");
  ASSERT_EQ(symlink("elsewhere", dir.file(".f.0123456789abcdef.gradc-tmp").c_str()), 0);
  OutputFile living;
  ASSERT_TRUE(living.open(path.c_str()).ok());
  ASSERT_TRUE(living.write("one", 3).ok());
  EXPECT_EQ(write_output(path, "two"), "");
  EXPECT_EQ(read_bytes(path), "two");
  EXPECT_EQ(names_in(dir.path()).size(), 5U);  // f, the living one, the other target's, the user's
  EXPECT_TRUE(living.commit().ok());           // two runs do not disturb each other
  EXPECT_EQ(read_bytes(path), "one");
  EXPECT_EQ(names_in(dir.path()).size(), 4U);
}

TEST(OutputFile, ManyWritersIntoOneTarget) {
  TempDir dir;
  const std::string path = dir.file("f");
  std::vector<std::thread> writers;
  for (int w = 0; w < 8; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < 25; ++i)
        EXPECT_EQ(write_output(path, std::string(10000, static_cast<char>('a' + w))), "");
    });
  }
  for (std::thread& writer : writers)
    writer.join();
  const std::string bytes = read_bytes(path);
  EXPECT_EQ(bytes.size(), 10000U);
  EXPECT_EQ(static_cast<size_t>(std::count(bytes.begin(), bytes.end(), bytes[0])), bytes.size());
  EXPECT_EQ(names_in(dir.path()).size(), 1U);
}

TEST(OutputFile, StandardOutputIsOneStream) {
  TempDir dir;
  const std::string path = dir.file("out");
  EXPECT_TRUE(in_child([&] {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(file, STDOUT_FILENO);
    printf("first ");
    const bool written = write_output("-", "second ").empty() &&
                         write_output("/dev/stdout", "third ").empty() &&
                         write_output(path, "fourth ").empty();
    printf("last");
    fflush(stdout);
    return written;
  }));
  EXPECT_EQ(read_bytes(path), "first second third fourth last");
}

TEST(OutputFile, NeverTakesAStandardDescriptor) {
  TempDir dir;
  EXPECT_TRUE(in_child([&] {
    close(STDERR_FILENO);
    close(STDIN_FILENO);
    OutputFile file;
    if (!file.open(dir.file("f").c_str()).ok()) return false;
    (void)!::write(STDERR_FILENO, "noise", 5);
    return file.write("good", 4).ok() && file.commit().ok();
  }));
  EXPECT_EQ(read_bytes(dir.file("f")), "good");
}

TEST(OutputFile, SameFileIsSeenThroughLinks) {
  TempDir dir;
  write_bytes(dir.file("a"), "x");
  write_bytes(dir.file("b"), "x");
  ASSERT_EQ(symlink("a", dir.file("link").c_str()), 0);
  ASSERT_EQ(::link(dir.file("a").c_str(), dir.file("hard").c_str()), 0);
  EXPECT_TRUE(is_same_file(dir.file("a").c_str(), dir.file("link").c_str()));
  EXPECT_TRUE(is_same_file(dir.file("hard").c_str(), dir.file("link").c_str()));
  EXPECT_FALSE(is_same_file(dir.file("a").c_str(), dir.file("b").c_str()));
  EXPECT_FALSE(is_same_file(dir.file("a").c_str(), dir.file("none").c_str()));
  EXPECT_FALSE(is_same_file("/dev/null", "/dev/null"));
}

TEST(OutputFile, ADataSetsTextNamesItsFiles) {
  TempDir dir;
  for (const char* name : {"d.csv", "v.csv", "x:y=z.csv", "y"})
    write_bytes(dir.file(name), "x");
  const std::string spec = dir.file("d.csv") + ":target=y:validation=" + dir.file("v.csv") +
                           ":test=" + dir.file("x:y=z.csv");
  EXPECT_TRUE(names_file(spec.c_str(), dir.file("d.csv").c_str()));
  EXPECT_TRUE(names_file(spec.c_str(), dir.file("v.csv").c_str()));
  EXPECT_TRUE(names_file(spec.c_str(), dir.file("x:y=z.csv").c_str()));
  EXPECT_TRUE(names_file(dir.file("x:y=z.csv").c_str(), dir.file("x:y=z.csv").c_str()));
  EXPECT_FALSE(names_file(spec.c_str(), dir.file("y").c_str()));  // a column
  EXPECT_FALSE(names_file(spec.c_str(), dir.file("none").c_str()));
  EXPECT_FALSE(names_file("", dir.file("d.csv").c_str()));
  EXPECT_FALSE(names_file(":=:", dir.file("d.csv").c_str()));
}

}  // namespace
}  // namespace gradc::rt
