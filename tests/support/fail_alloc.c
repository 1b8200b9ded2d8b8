/* LD_PRELOAD: makes allocations of a process fail, to see what becomes of it.
 *   FAIL_ALLOC=N      the N-th allocation of memory (1 is the first) finds none
 *   FAIL_ALLOC=N+     that one and all that follow
 *   FAIL_ALLOC_COUNT=FILE   writes into FILE how many there were, at the end
 * A host turns it on itself with fail_alloc(n, which) where that is better than counting from the
 * start: which is 0 for the n-th alone, 1 for all from there on, 2 for all from there on that ask
 * for a page or more. fail_alloc(0, 0) turns it off, fail_alloc_seen() says how many since. Counts
 * malloc, calloc, realloc, aligned_alloc and posix_memalign. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void* __libc_malloc(size_t bytes);
extern void* __libc_calloc(size_t count, size_t bytes);
extern void* __libc_realloc(void* memory, size_t bytes);
extern void* __libc_memalign(size_t alignment, size_t bytes);

static atomic_long seen;
static atomic_long failing; /* 0: none */
static atomic_int which;
static char count_path[256];

void fail_alloc(long n, int those) {
  atomic_store(&failing, 0);
  atomic_store(&seen, 0);
  atomic_store(&which, those);
  atomic_store(&failing, n);
}

long fail_alloc_seen(void) {
  return atomic_load(&seen);
}

static void write_count(void) {
  char text[32];
  const int length = snprintf(text, sizeof text, "%ld\n", atomic_load(&seen));
  const int file = open(count_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0) return;
  if (write(file, text, (size_t)length) < 0) abort();
  close(file);
}

__attribute__((constructor)) static void begin(void) {
  const char* n = getenv("FAIL_ALLOC");
  const char* path = getenv("FAIL_ALLOC_COUNT");
  if (path != NULL) {
    snprintf(count_path, sizeof count_path, "%s", path);
    atexit(write_count);
  }
  unsetenv("FAIL_ALLOC_COUNT"); /* programs that it starts are not meant */
  if (n != NULL) fail_alloc(atol(n), strchr(n, '+') != NULL);
}

static int fails(size_t bytes) {
  const long now = atomic_fetch_add(&seen, 1) + 1;
  const long from = atomic_load(&failing);
  const int later = atomic_load(&which);
  if (from == 0 || now < from) return 0;
  return now == from || later == 1 || (later == 2 && bytes >= 4096);
}

void* malloc(size_t bytes) {
  if (!fails(bytes)) return __libc_malloc(bytes);
  errno = ENOMEM;
  return NULL;
}

void* calloc(size_t count, size_t bytes) {
  if (!fails(count * bytes)) return __libc_calloc(count, bytes);
  errno = ENOMEM;
  return NULL;
}

void* realloc(void* memory, size_t bytes) {
  if (!fails(bytes)) return __libc_realloc(memory, bytes);
  errno = ENOMEM;
  return NULL;
}

void* aligned_alloc(size_t alignment, size_t bytes) {
  if (!fails(bytes)) return __libc_memalign(alignment, bytes);
  errno = ENOMEM;
  return NULL;
}

int posix_memalign(void** out, size_t alignment, size_t bytes) {
  if (fails(bytes)) return ENOMEM;
  *out = __libc_memalign(alignment, bytes);
  return *out == NULL ? ENOMEM : 0;
}
