/* A host of libgradc whose memory runs out: faults FILE. Each trial is a child process that makes a
 * session, steps, saves and loads while one allocation fails (or that one and all after it), and
 * then does the same with memory: a status each time, never the end of the process. */
#define _GNU_SOURCE
#include <gradc/gradc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void fail_alloc(long n, int all);
long fail_alloc_seen(void);

static const char* const kModel =
    "{\"name\":\"m\",\"inputs\":[{\"name\":\"x\",\"shape\":[5]}],"
    "\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"tanh\"},{\"type\":\"dense\","
    "\"units\":2}],"
    "\"training\":{\"loss\":\"mse\",\"optimizer\":\"adam\",\"batch_size\":4}}";

static float x[20], y[8];

/* All of it once; 0, or what failed first (with the error in text). */
static int use(const char* path, char* text, size_t size) {
  const int64_t all[] = {4, 5}, wanted[] = {4, 2}, some[] = {3, 5}, wanted_of_some[] = {3, 2};
  const gradc_view inputs = {.dtype = "f32", .shape = all, .rank = 2, .data = x};
  const gradc_view targets = {.dtype = "f32", .shape = wanted, .rank = 2, .data = y};
  const gradc_view fewer = {.dtype = "f32", .shape = some, .rank = 2, .data = x};
  const gradc_view fewer_targets = {.dtype = "f32", .shape = wanted_of_some, .rank = 2, .data = y};
  float loss = 0;
  gradc_options options = {.threads = 2};
  memset(text, '?', size);
  gradc_session* session = gradc_session_parse(kModel, &options, text, size);
  if (session == NULL) return memchr(text, 0, size) != NULL && text[0] != 0 ? 1 : 99;
  int failed = 0;
  if (gradc_session_step(session, &inputs, 1, &targets, 1, &loss) != GRADC_OK) failed = 2;
  if (!failed && gradc_session_step(session, &fewer, 1, &fewer_targets, 1, &loss) != GRADC_OK)
    failed = 3;
  if (!failed && gradc_session_save(session, path, 1) != GRADC_OK) failed = 4;
  if (!failed && gradc_session_load_weights(session, path) != GRADC_OK) failed = 5;
  if (failed && gradc_last_error(session)[0] == 0) failed = 99;
  if (failed) snprintf(text, size, "%s", gradc_last_error(session));
  gradc_session_destroy(session);
  return failed;
}

static int trial(long n, int which, const char* path) {
  char text[512];
  alarm(100);
  fail_alloc(n, which);
  const int first = use(path, text, sizeof text);
  fail_alloc(0, 0);
  if (first == 99) return 99; /* failed and did not say why */
  const int again = use(path, text, sizeof text);
  if (again != 0) fprintf(stderr, "n %ld: again: %d %s\n", n, again, text);
  return again != 0 ? 98 : first;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (argc == 4) return printf("%d\n", trial(atol(argv[2]), atoi(argv[3]), argv[1])), 0;
  char text[512];
  fail_alloc(0, 0);
  if (use(argv[1], text, sizeof text) != 0) return fprintf(stderr, "%s", text), 1;
  const long count = fail_alloc_seen();
  int refused = 0, fine = 0, bad = 0;
  unsigned random = 12345;
  for (int i = 0; i < 48; ++i) {
    random = random * 1664525U + 1013904223U;
    /* Half of them early, where options, models and diagnostics are made. */
    const long range = i % 2 == 0 ? 2000 : count;
    const long n = 1 + (long)((double)(random >> 8) / (double)(1 << 24) * (double)range);
    const int which = i % 3 == 0 ? 2 : 0;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) _exit(trial(n, which, argv[1]));
    int state = 0;
    waitpid(child, &state, 0);
    if (!WIFEXITED(state) || WEXITSTATUS(state) >= 98) {
      ++bad;
      printf("allocation %ld%s: %s %d\n", n, which == 2 ? " and large ones" : "",
             WIFEXITED(state) ? "exit" : "signal",
             WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
    } else if (WEXITSTATUS(state) == 0) {
      ++fine;
    } else {
      ++refused;
    }
  }
  printf("%ld allocations: %d trials refused with a status, %d fine, %d bad\n", count, refused,
         fine, bad);
  return bad == 0 && refused > 0 ? 0 : 1;
}
