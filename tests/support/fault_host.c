/* A host of libgradc in which each single call for input or output fails once, while weights are
 * saved and loaded: a status, nothing lost, and the process lives. Run with fault_io preloaded.
 * Usage: fault_host MODEL.json FOLDER */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <gradc/gradc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*arm)(long at, int number);
static const char* (*failed_name)(void);

#define CHECK(condition, ...)                         \
  do {                                                \
    if (!(condition)) {                               \
      arm(0, 0);                                      \
      fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
      fprintf(stderr, __VA_ARGS__);                   \
      fprintf(stderr, "\n");                          \
      exit(1);                                        \
    }                                                 \
  } while (0)

static char* read_all(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) return NULL;
  char* bytes = malloc(1 << 20);
  *size = fread(bytes, 1, 1 << 20, file);
  fclose(file);
  return bytes;
}

static int holds(const char* path, const char* wanted, size_t wanted_size) {
  size_t size = 0;
  char* bytes = read_all(path, &size);
  const int same = bytes != NULL && size == wanted_size && memcmp(bytes, wanted, size) == 0;
  free(bytes);
  return same;
}

/* Saves new weights over old ones with the n-th call failing; 0 when there was no n-th call. */
static int save_once(gradc_session* session, const char* path, long n, int number) {
  size_t old_size = 0;
  size_t new_size = 0;
  CHECK(gradc_session_initialize(session, 1) == GRADC_OK, "initialize");
  CHECK(gradc_session_save(session, path, 1) == GRADC_OK, "%s", gradc_last_error(session));
  char* old_bytes = read_all(path, &old_size);
  CHECK(gradc_session_initialize(session, 2) == GRADC_OK, "initialize");
  char wanted[4096];
  CHECK((size_t)snprintf(wanted, sizeof wanted, "%s.wanted", path) < sizeof wanted, "path");
  CHECK(gradc_session_save(session, wanted, 1) == GRADC_OK, "%s", gradc_last_error(session));
  char* new_bytes = read_all(wanted, &new_size);
  arm(n, number);
  const gradc_status status = gradc_session_save(session, path, 1);
  const char* name = failed_name();
  arm(0, 0);
  if (status == GRADC_OK) {
    CHECK(holds(path, new_bytes, new_size), "saved, but other bytes (%s)", name);
  } else {
    CHECK(gradc_last_error(session)[0] != '\0', "a failure without text (%s)", name);
    CHECK(holds(path, old_bytes, old_size) || holds(path, new_bytes, new_size),
          "the old file is lost (%s %d)", name, number);
  }
  CHECK(gradc_session_save(session, path, 1) == GRADC_OK, "after %s: %s", name,
        gradc_last_error(session));
  CHECK(holds(path, new_bytes, new_size), "after %s", name);
  free(old_bytes);
  free(new_bytes);
  return name != NULL;
}

/* Loads weights with the n-th call failing: all or none of them arrive. */
static int load_once(gradc_session* session, const char* path, long n, int number) {
  float before[64];
  float wanted[64];
  float after[64];
  CHECK(gradc_session_initialize(session, 2) == GRADC_OK, "initialize");
  CHECK(gradc_session_save(session, path, 0) == GRADC_OK, "save");
  CHECK(gradc_session_get(session, "dense/kernel", wanted, sizeof wanted) == GRADC_OK, "get");
  CHECK(gradc_session_initialize(session, 3) == GRADC_OK, "initialize");
  CHECK(gradc_session_get(session, "dense/kernel", before, sizeof before) == GRADC_OK, "get");
  arm(n, number);
  const gradc_status status = gradc_session_load_weights(session, path);
  const char* name = failed_name();
  arm(0, 0);
  CHECK(gradc_session_get(session, "dense/kernel", after, sizeof after) == GRADC_OK, "get");
  CHECK(memcmp(after, status == GRADC_OK ? wanted : before, sizeof after) == 0,
        "neither the old nor the new weights (%s)", name);
  CHECK(status == GRADC_OK || gradc_last_error(session)[0] != '\0', "no text (%s)", name);
  return name != NULL;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  *(void**)&arm = dlsym(RTLD_DEFAULT, "gradc_fault_arm");
  *(void**)&failed_name = dlsym(RTLD_DEFAULT, "gradc_fault_name");
  if (arm == NULL || failed_name == NULL) return 2;
  char error[1000] = "";
  char path[4096];
  snprintf(path, sizeof path, "%s/w", argv[2]);
  gradc_session* session = gradc_session_load(argv[1], NULL, error, sizeof error);
  CHECK(session != NULL, "%s", error);
  static const int numbers[] = {EIO, ENOSPC, EINTR, EACCES};
  long runs = 0;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
    for (long n = 1; save_once(session, path, n, numbers[i]); ++n)
      ++runs;
    for (long n = 1; load_once(session, path, n, numbers[i]); ++n)
      ++runs;
  }
  gradc_session_destroy(session);
  /* Opening a session: a failure is NULL and a text. */
  for (long n = 1, more = 1; more != 0; ++n, ++runs) {
    arm(n, EIO);
    session = gradc_session_load(argv[1], NULL, error, sizeof error);
    more = failed_name() != NULL;
    arm(0, 0);
    CHECK(session != NULL || error[0] != '\0', "no text");
    gradc_session_destroy(session);
  }
  printf("%ld single failures\n", runs);
  return 0;
}
