// Files on POSIX calls: errors keep errno's text.
#include "runtime/file.h"

#include "runtime/interrupted.h"
#include "runtime/sorted_names.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gradc::rt {

int open_descriptor(const char* path, int flags, unsigned mode) {
  const int file = again_if_interrupted([&] { return ::open(path, flags | O_CLOEXEC, mode); });
  if (file < 0 || file > STDERR_FILENO) return file;
  const int moved = fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int reason = errno;
  close(file);
  errno = reason;
  return moved;
}

Str folder_of(const char* path) {
  const char* slash = strrchr(path, '/');
  if (slash == nullptr) return Str(".");
  if (slash == path) return Str("/");
  return Str(path, static_cast<size_t>(slash - path));
}

namespace {

/// A descriptor that is closed in any case.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close_now(this); }

 private:
  static void close_now(void* self) {
    Descriptor* it = static_cast<Descriptor*>(self);
    if (it->number_ >= 0) close(it->number_);
    it->number_ = -1;
  }

  int number_;
  Held held_{&Descriptor::close_now, this};
};

}  // namespace

Status read_file(const char* path, Bytes* out) {
  const int descriptor = open_descriptor(path, O_RDONLY, 0);
  const Descriptor owner(descriptor);
  if (descriptor < 0) return error("%s: cannot open: %s", path, strerror(errno));
  struct stat info;
  if (fstat(descriptor, &info) != 0 || S_ISDIR(info.st_mode)) {
    const bool folder = S_ISDIR(info.st_mode);
    return error("%s: %s", path, folder ? "is a directory, a file was expected" : strerror(errno));
  }
  out->clear();
  if (S_ISREG(info.st_mode)) out->reserve(static_cast<size_t>(info.st_size) + 1);
  Status status;
  while (true) {  // pipes have no size, so read until the end in any case
    const size_t old = out->size();
    if (out->capacity() - old < 4096) out->reserve(out->capacity() * 2 + 65536);
    uint8_t* place = out->data() + old;
    const ssize_t n = ::read(descriptor, place, std::min<size_t>(out->capacity() - old, 1u << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = error("%s: cannot read: %s", path, strerror(errno));
    if (n <= 0) break;
    out->set_size_within_capacity(old + static_cast<size_t>(n));
  }
  return status;
}

bool is_directory(const char* path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool file_exists(const char* path) {
  struct stat info;
  return stat(path, &info) == 0;
}

Status list_directory(const char* path, Vec<Str>* names) {
  DIR* folder = opendir(path);
  if (folder == nullptr) return error("%s: cannot list: %s", path, strerror(errno));
  while (const dirent* entry = readdir(folder)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      names->push(Str(entry->d_name));
    }
  }
  closedir(folder);
  sort_names(names);
  return {};
}

Str base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return Str(slash == nullptr ? path : slash + 1);
}

Str join_path(const char* folder, const char* name) {
  Str path(folder);
  if (!path.ends_with("/")) path.push('/');
  path.append(name);
  return path;
}

}  // namespace gradc::rt
