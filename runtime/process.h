// What gradc and compiled executables do to their own process: standard descriptors and signals.
// Never called by libraries, whose host owns both.
#pragma once

namespace gradc::rt {

/// At the start of main(): descriptors 0 to 2 that are closed become ones on which reading and
/// writing fail, so that no file of ours takes their place; writing into a closed pipe or beyond
/// the size limit is an error, not a signal.
void prepare_process();

/// The exit code of a run that a signal ended in order.
constexpr int kStoppedExitCode = 130;

/// While alive: the first SIGINT, SIGTERM or SIGHUP is noted, a second one ends the process as
/// usual. What was ignored before (nohup) stays ignored.
class StopSignals {
 public:
  explicit StopSignals(bool active);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Whether one has arrived.
  bool noted() const;

 private:
  bool active_;
};

}  // namespace gradc::rt
