// Writing on POSIX calls: errors keep errno's text, interrupted calls go on.
#include "runtime/output_file.h"

#include "runtime/file.h"
#include "runtime/interrupted.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

namespace gradc::rt {
namespace {

constexpr char kSuffix[] = ".gradc-tmp";
constexpr size_t kRandomDigits = 16;
constexpr size_t kNamePart = 200;  // of a target's name; file systems allow 255 in all

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// ".<name>." of the temporary files of a target; 16 digits and the suffix follow.
Str temporary_prefix(const char* path) {
  const Str name = base_name(path);
  Str prefix(".");
  prefix.append(name.c_str(), std::min(name.size(), kNamePart));
  prefix.push('.');
  return prefix;
}

uint64_t random_bits() {
  uint64_t bits = 0;
  if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == static_cast<ssize_t>(sizeof bits))
    return bits;
  timespec time{};  // no source of randomness: O_EXCL still keeps names apart
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_nsec) * 0x9e3779b97f4a7c15U ^
         static_cast<uint64_t>(getpid()) << 32U ^ reinterpret_cast<uintptr_t>(&bits);
}

bool is_temporary(const char* name, const Str& prefix) {
  const size_t length = strlen(name);
  if (length != prefix.size() + kRandomDigits + strlen(kSuffix)) return false;
  return strncmp(name, prefix.c_str(), prefix.size()) == 0 &&
         strspn(name + prefix.size(), "0123456789abcdef") == kRandomDigits &&
         strcmp(name + prefix.size() + kRandomDigits, kSuffix) == 0;
}

// Removes one temporary file unless a living process holds its lock.
void remove_if_abandoned(int folder, const char* name) {
  const int file = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return;
  struct stat opened{};
  struct stat named{};
  if (fstat(file, &opened) == 0 && S_ISREG(opened.st_mode) && opened.st_uid == geteuid() &&
      flock(file, LOCK_EX | LOCK_NB) == 0 &&
      fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && same_file(opened, named)) {
    unlinkat(folder, name, 0);
  }
  close(file);
}

// Locks a fresh temporary file; false if another run took it for abandoned in between.
bool hold(int file) {
  // Where locks are not supported nothing is ever taken for abandoned.
  (void)again_if_interrupted([&] { return flock(file, LOCK_EX); });
  struct stat info{};
  return fstat(file, &info) != 0 || info.st_nlink > 0;
}

Status cannot_write(const char* path) {
  if (strcmp(path, "-") == 0) return error("cannot write to standard output: %s", strerror(errno));
  return error("%s: cannot write: %s", path, strerror(errno));
}

// A single file that is mounted, as containers do, cannot be replaced.
bool is_mounted(const char* path) {
  struct statx info{};
  return statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// A link that points at nothing: the name at its end, step by step. Links in a folder that all may
// write to are followed only if the folder's owner or this user made them, as the kernel does.
Status follow_dangling(const char* path, OutputPlace* place) {
  place->path = Str(path);
  for (int links = 0; links < 40; ++links) {
    struct stat info{};
    if (lstat(place->path.c_str(), &info) != 0) {
      if (errno == ENOENT) return {};
      return cannot_write(path);
    }
    if (!S_ISLNK(info.st_mode)) return {};  // it has appeared meanwhile
    const Str folder = folder_of(place->path.c_str());
    struct stat around{};
    if (stat(folder.c_str(), &around) != 0) return cannot_write(path);
    const bool shared = (around.st_mode & S_ISVTX) != 0 && (around.st_mode & S_IWOTH) != 0;
    if (shared && info.st_uid != geteuid() && info.st_uid != around.st_uid) {
      return error("%s: is another user's link in a folder that all may write to: not followed",
                   path);
    }
    char target[PATH_MAX];
    const ssize_t length = readlink(place->path.c_str(), target, sizeof target - 1);
    if (length < 0) return cannot_write(path);
    target[length] = '\0';
    place->path = target[0] == '/' ? Str(target) : join_path(folder.c_str(), target);
  }
  errno = ELOOP;
  return cannot_write(path);
}

// Of a regular file: where it is behind all links, and whether it may be replaced.
Status find_existing(const char* path, OutputPlace* place) {
  if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0) return cannot_write(path);
  char real[PATH_MAX];
  struct stat info{};
  const bool named =
      realpath(path, real) != nullptr && stat(real, &info) == 0 && same_file(info, place->info);
  if (!named || is_mounted(real)) {  // or open here without a name of its own: /proc/self/fd/3
    place->in_place = true;
    return {};
  }
  place->path = Str(real);
  place->exists = true;
  struct stat folder{};
  const uid_t user = geteuid();
  if (stat(folder_of(real).c_str(), &folder) == 0 && (folder.st_mode & S_ISVTX) != 0 && user != 0 &&
      info.st_uid != user && folder.st_uid != user) {
    return error("%s: cannot be replaced: it is another user's, in a folder with the sticky bit",
                 path);
  }
  return {};
}

bool is_open_as_output(const struct stat& info) {
  struct stat output{};
  return !S_ISCHR(info.st_mode) && fstat(STDOUT_FILENO, &output) == 0 && same_file(info, output);
}

}  // namespace

Status find_output(const char* path, OutputPlace* place) {
  if (strcmp(path, "-") == 0) {
    place->in_place = place->standard_output = true;
    return {};
  }
  if (stat(path, &place->info) != 0) {
    if (errno != ENOENT || path[0] == '\0') return cannot_write(path);
    GRADC_RT_TRY(follow_dangling(path, place));
    const Str folder = folder_of(place->path.c_str());
    if (!is_directory(folder.c_str()))
      return error("%s: cannot write: there is no folder %s", path, folder.c_str());
    return {};
  }
  if (S_ISDIR(place->info.st_mode)) return error("%s: is a directory, a file was expected", path);
  if (is_open_as_output(place->info)) {
    place->in_place = place->standard_output = true;
    return {};
  }
  if (S_ISREG(place->info.st_mode)) return find_existing(path, place);
  if (S_ISSOCK(place->info.st_mode)) return error("%s: is a socket, a file was expected", path);
  place->in_place = true;
  return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? Status{} : cannot_write(path);
}

void remove_abandoned(const char* target) {
  const Str prefix = temporary_prefix(target);
  DIR* folder = opendir(folder_of(target).c_str());  // nothing allocates until it is closed
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder)) {
    if (is_temporary(entry->d_name, prefix)) remove_if_abandoned(dirfd(folder), entry->d_name);
  }
  closedir(folder);
}

Status check_writable(const char* path) {
  OutputPlace place;
  GRADC_RT_TRY(find_output(path, &place));
  if (place.in_place) return {};
  OutputFile probe;
  return probe.open(path);
}

bool is_standard_output(const char* path) {
  OutputPlace place;
  return path != nullptr && find_output(path, &place).ok() && place.standard_output;
}

bool is_same_file(const char* one, const char* other) {
  struct stat a{};
  struct stat b{};
  return stat(one, &a) == 0 && stat(other, &b) == 0 && S_ISREG(a.st_mode) && same_file(a, b);
}

bool names_file(const char* data, const char* path) {
  for (const char* begin = data; begin != nullptr; begin = strchr(begin, '=')) {
    if (begin != data) ++begin;
    for (size_t size = 0; begin[size] != '\0';) {
      size += 1 + strcspn(begin + size + 1, ":");
      if (is_same_file(path, Str(begin, size).c_str())) return true;
    }
  }
  return false;
}

OutputFile::~OutputFile() {
  abandon(this);
}

void OutputFile::abandon(void* self) {
  OutputFile* file = static_cast<OutputFile*>(self);
  if (file->descriptor_ < 0) return;
  // While the lock is held: the name is nobody else's yet.
  if (!file->place_.in_place) unlink(file->temporary_.c_str());
  close(file->descriptor_);
  file->descriptor_ = -1;
}

Status OutputFile::open(const char* path, bool executable) {
  path_ = Str(path);
  executable_ = executable;
  GRADC_RT_TRY(find_output(path, &place_));
  if (!place_.in_place) return create_temporary();
  if (place_.standard_output) {
    fflush(stdout);
    descriptor_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  } else {
    descriptor_ = open_descriptor(
        path, O_WRONLY | O_NOCTTY | (S_ISREG(place_.info.st_mode) ? O_TRUNC : 0), 0);
  }
  return descriptor_ >= 0 ? Status{} : cannot_write(path);
}

Status OutputFile::create_temporary() {
  const char* target = place_.path.c_str();
  remove_abandoned(target);
  const Str prefix = join_path(folder_of(target).c_str(), temporary_prefix(target).c_str());
  const mode_t mode = place_.exists ? 0600 : executable_ ? 0777 : 0666;
  for (int attempt = 0; attempt < 100; ++attempt) {
    temporary_ = format("%s%016llx%s", prefix.c_str(),
                        static_cast<unsigned long long>(random_bits()), kSuffix);
    const int file =
        open_descriptor(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (file < 0 && errno == EEXIST) continue;
    if (file < 0) break;
    if (hold(file)) {
      descriptor_ = file;
      return {};
    }
    close(file);
  }
  return error("%s: cannot create a file in its folder: %s", path_.c_str(), strerror(errno));
}

Status OutputFile::write(const void* data, size_t bytes) {
  return write_whole(descriptor_, data, bytes) ? Status{} : cannot_write(path_.c_str());
}

// What existed keeps its owner where that is permitted, and its permission bits.
void OutputFile::keep_owner_and_mode() {
  if (!place_.exists) return;
  const struct stat& old = place_.info;
  const bool owned = fchown(descriptor_, old.st_uid, old.st_gid) == 0;
  const bool in_group = owned || fchown(descriptor_, static_cast<uid_t>(-1), old.st_gid) == 0;
  mode_t mode = old.st_mode & 07777U;
  if (!owned) mode &= ~static_cast<mode_t>(S_ISUID);
  if (!in_group) mode &= ~static_cast<mode_t>(S_ISGID);
  if (executable_) mode |= (mode & 0444U) >> 2U;  // whoever may read it may run it
  (void)fchmod(descriptor_, mode);
}

Status OutputFile::finish() {
  if (finished_) return {};
  if (!place_.in_place) keep_owner_and_mode();
  const bool stored = !place_.in_place || S_ISREG(place_.info.st_mode);
  if (stored && again_if_interrupted([&] { return fsync(descriptor_); }) != 0 && errno != EINVAL &&
      errno != ENOSYS && errno != EOPNOTSUPP) {
    return cannot_write(path_.c_str());
  }
  finished_ = true;
  return {};
}

Status OutputFile::commit() {
  GRADC_RT_TRY(finish());
  if (place_.in_place) {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    return close(descriptor) == 0 || errno == EINTR ? Status{} : cannot_write(path_.c_str());
  }
  const char* target = place_.path.c_str();
  const Str around = folder_of(target);  // before the rename: afterwards nothing may fail
  // The lock is held until the file has its name, so that no other run takes it for abandoned.
  if (again_if_interrupted([&] { return rename(temporary_.c_str(), target); }) != 0)
    return cannot_write(path_.c_str());
  close(descriptor_);  // all is on the disk already
  descriptor_ = -1;
  const int folder = open_descriptor(around.c_str(), O_RDONLY | O_DIRECTORY, 0);
  if (folder >= 0) {  // makes the rename itself durable; some file systems refuse: nothing is lost
    (void)fsync(folder);
    close(folder);
  }
  return {};
}

bool write_whole(int descriptor, const void* data, size_t bytes) {
  sigset_t quiet;
  sigset_t before;
  sigemptyset(&quiet);
  sigaddset(&quiet, SIGPIPE);
  sigaddset(&quiet, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &quiet, &before);
  const char* next = static_cast<const char*>(data);
  int failure = 0;
  while (bytes > 0 && failure == 0) {
    const ssize_t n = ::write(descriptor, next, std::min<size_t>(bytes, 1U << 30U));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      failure = n == 0 ? EIO : errno;
      break;
    }
    next += n;
    bytes -= static_cast<size_t>(n);
  }
  if (failure == EPIPE || failure == EFBIG) {  // takes back the signal that is pending
    const timespec at_once{};
    (void)again_if_interrupted([&] { return sigtimedwait(&quiet, nullptr, &at_once); });
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = failure;
  return failure == 0;
}

}  // namespace gradc::rt
