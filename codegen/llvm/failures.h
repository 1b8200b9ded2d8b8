// What LLVM does when it cannot go on.
#pragma once

namespace gradc::cg {

/// While one of these lives, running out of memory inside LLVM throws std::bad_alloc and what it
/// calls a fatal error throws InternalError, instead of ending the process. LLVM's own frames give
/// nothing back on the way: what it held leaks, which a compilation that failed can afford. The
/// handlers are LLVM's, one pair per process: those of a host that uses the same library are away
/// for that long.
class LlvmFailures {
 public:
  LlvmFailures();
  ~LlvmFailures();
  LlvmFailures(const LlvmFailures&) = delete;
  LlvmFailures& operator=(const LlvmFailures&) = delete;
};

}  // namespace gradc::cg
