/* Preloaded into a process (LD_PRELOAD), makes its n-th call of the C library for input or output
 * fail. GRADC_FAULT_AT=n and GRADC_FAULT_ERRNO=number say which and how from the start of the
 * process; gradc_fault_arm() does in a running one. GRADC_FAULT_COUNT=FILE: the number of calls
 * goes there at the end, and the name of the one that failed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static atomic_long calls;
static atomic_long fail_at;
static atomic_int fail_with;
static const char* _Atomic failed_name;

void gradc_fault_arm(long at, int number);
long gradc_fault_calls(void);
const char* gradc_fault_name(void);

void gradc_fault_arm(long at, int number) {
  atomic_store(&fail_with, number);
  atomic_store(&calls, 0);
  atomic_store(&failed_name, NULL);
  atomic_store(&fail_at, at);
}
long gradc_fault_calls(void) {
  return atomic_load(&calls);
}
/* Of the call that failed, or NULL. */
const char* gradc_fault_name(void) {
  return atomic_load(&failed_name);
}

static int fails(const char* name) {
  if (atomic_fetch_add(&calls, 1) + 1 != atomic_load(&fail_at)) return 0;
  atomic_store(&failed_name, name);
  errno = atomic_load(&fail_with);
  return 1;
}

__attribute__((constructor)) static void begin(void) {
  const char* at = getenv("GRADC_FAULT_AT");
  const char* number = getenv("GRADC_FAULT_ERRNO");
  if (at != NULL) gradc_fault_arm(atol(at), number != NULL ? atoi(number) : EIO);
}

__attribute__((destructor)) static void end(void) {
  const char* path = getenv("GRADC_FAULT_COUNT");
  if (path == NULL) return;
  const long count = atomic_load(&calls);
  const char* name = atomic_load(&failed_name);
  atomic_store(&fail_at, 0);
  FILE* file = fopen(path, "w");
  if (file == NULL) return;
  fprintf(file, "%ld %s\n", count, name != NULL ? name : "none");
  fclose(file);
}

/* The C library's own function of the same name. */
#define REAL(result, name, ...)       \
  static result (*real)(__VA_ARGS__); \
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, #name)

#define WRAP(result, failure, name, parameters, arguments, ...) \
  result name parameters {                                      \
    REAL(result, name, __VA_ARGS__);                            \
    return fails(#name) ? (failure) : real arguments;           \
  }

static mode_t mode_of(int flags, va_list rest) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}

#define WRAP_OPEN(name)                                 \
  int name(const char* path, int flags, ...) {          \
    REAL(int, name, const char*, int, mode_t);          \
    va_list rest;                                       \
    va_start(rest, flags);                              \
    const mode_t mode = mode_of(flags, rest);           \
    va_end(rest);                                       \
    return fails(#name) ? -1 : real(path, flags, mode); \
  }
WRAP_OPEN(open)
WRAP_OPEN(open64)

int openat(int folder, const char* path, int flags, ...) {
  REAL(int, openat, int, const char*, int, mode_t);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return fails("openat") ? -1 : real(folder, path, flags, mode);
}

/* The descriptor is gone whatever close() says. */
int close(int descriptor) {
  REAL(int, close, int);
  const int result = real(descriptor);
  return fails("close") ? -1 : result;
}

WRAP(ssize_t, -1, read, (int file, void* data, size_t n), (file, data, n), int, void*, size_t)
WRAP(ssize_t, -1, write, (int file, const void* data, size_t n), (file, data, n), int, const void*,
     size_t)
WRAP(int, -1, fsync, (int file), (file), int)
WRAP(int, -1, fdatasync, (int file), (file), int)
WRAP(int, -1, ftruncate, (int file, off_t size), (file, size), int, off_t)
WRAP(off_t, -1, lseek, (int file, off_t at, int from), (file, at, from), int, off_t, int)
WRAP(int, -1, rename, (const char* from, const char* to), (from, to), const char*, const char*)
WRAP(int, -1, unlink, (const char* path), (path), const char*)
WRAP(int, -1, unlinkat, (int folder, const char* path, int flags), (folder, path, flags), int,
     const char*, int)
WRAP(int, -1, stat, (const char* path, struct stat* info), (path, info), const char*, struct stat*)
WRAP(int, -1, lstat, (const char* path, struct stat* info), (path, info), const char*, struct stat*)
WRAP(int, -1, fstat, (int file, struct stat* info), (file, info), int, struct stat*)
WRAP(int, -1, fstatat, (int folder, const char* path, struct stat* info, int flags),
     (folder, path, info, flags), int, const char*, struct stat*, int)
WRAP(int, -1, statvfs, (const char* path, struct statvfs* room), (path, room), const char*,
     struct statvfs*)
WRAP(int, -1, faccessat, (int folder, const char* path, int mode, int flags),
     (folder, path, mode, flags), int, const char*, int, int)
WRAP(ssize_t, -1, readlink, (const char* path, char* target, size_t n), (path, target, n),
     const char*, char*, size_t)
WRAP(char*, NULL, realpath, (const char* path, char* real_path), (path, real_path), const char*,
     char*)
WRAP(int, -1, flock, (int file, int how), (file, how), int, int)
WRAP(int, -1, fchmod, (int file, mode_t mode), (file, mode), int, mode_t)
WRAP(int, -1, fchown, (int file, uid_t user, gid_t group), (file, user, group), int, uid_t, gid_t)
WRAP(DIR*, NULL, opendir, (const char* path), (path), const char*)
WRAP(struct dirent*, NULL, readdir, (DIR * folder), (folder), DIR*)
WRAP(FILE*, NULL, fopen, (const char* path, const char* mode), (path, mode), const char*,
     const char*)
WRAP(size_t, 0, fread, (void* data, size_t size, size_t n, FILE* file), (data, size, n, file),
     void*, size_t, size_t, FILE*)
WRAP(void*, MAP_FAILED, mmap,
     (void* at, size_t bytes, int protection, int flags, int file, off_t offset),
     (at, bytes, protection, flags, file, offset), void*, size_t, int, int, int, off_t)
