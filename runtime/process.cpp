// Signals are the process's own: what a handler notes cannot be anything but global.
#include "runtime/process.h"

#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <unistd.h>

namespace gradc::rt {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
constexpr size_t kSignalCount = sizeof kSignals / sizeof kSignals[0];

volatile sig_atomic_t stop_noted = 0;
struct sigaction before[kSignalCount];

bool is_ignored(size_t i) {
  return before[i].sa_handler == SIG_IGN && (before[i].sa_flags & SA_SIGINFO) == 0;
}

void note(int) {
  stop_noted = 1;
  for (size_t i = 0; i < kSignalCount; ++i) {  // the next one ends the process
    struct sigaction usual{};
    usual.sa_handler = SIG_DFL;
    if (!is_ignored(i)) sigaction(kSignals[i], &usual, nullptr);
  }
}

}  // namespace

void prepare_process() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) != -1) continue;
    // The lowest number that is free is this one; open the wrong way round for its use.
    (void)open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
  struct sigaction ignored{};
  ignored.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignored, nullptr);
  sigaction(SIGXFSZ, &ignored, nullptr);
}

StopSignals::StopSignals(bool active) : active_(active) {
  if (!active_) return;
  stop_noted = 0;
  for (size_t i = 0; i < kSignalCount; ++i)
    sigaction(kSignals[i], nullptr, &before[i]);
  struct sigaction action{};
  action.sa_handler = note;
  for (size_t i = 0; i < kSignalCount; ++i) {
    if (!is_ignored(i)) sigaction(kSignals[i], &action, nullptr);
  }
}

StopSignals::~StopSignals() {
  if (!active_) return;
  for (size_t i = 0; i < kSignalCount; ++i)
    sigaction(kSignals[i], &before[i], nullptr);
}

bool StopSignals::noted() const {
  return active_ && stop_noted != 0;
}

}  // namespace gradc::rt
