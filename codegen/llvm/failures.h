// What LLVM does when it cannot go on.
#pragma once

#include <exception>
#include <memory>
#include <utility>

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

/// An LLVM object that is left where it is when an exception ends its scope: one that the exception
/// came through may be half made, and its destructor would walk what is not there.
template <class T>
class Abandonable {
 public:
  template <class... Arguments>
  explicit Abandonable(Arguments&&... arguments)
      : object_(std::make_unique<T>(std::forward<Arguments>(arguments)...)) {}
  explicit Abandonable(std::unique_ptr<T> object) : object_(std::move(object)) {}
  Abandonable(const Abandonable&) = delete;
  Abandonable& operator=(const Abandonable&) = delete;
  ~Abandonable() {
    if (std::uncaught_exceptions() != exceptions_) (void)object_.release();
  }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_.get(); }

 private:
  std::unique_ptr<T> object_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace gradc::cg
