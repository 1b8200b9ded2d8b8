// Result<T>: a value, or the diagnostics that say why there is none. For what users can get wrong.
#pragma once

#include "support/check.h"
#include "support/diagnostic.h"

#include <utility>
#include <variant>
#include <vector>

namespace gradc {

/// The failed state of any Result.
struct Failure {
  std::vector<Diagnostic> diagnostics;
  Failure() = default;
  explicit Failure(std::vector<Diagnostic> list) : diagnostics(std::move(list)) {}
  Failure(Diagnostic one) {
    diagnostics.push_back(std::move(one));
  }  // NOLINT(google-explicit-constructor)
};

struct Ok {};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}            // NOLINT(google-explicit-constructor)
  Result(Failure failure) : state_(std::move(failure)) {}  // NOLINT(google-explicit-constructor)
  Result(Diagnostic one)
      : state_(Failure(std::move(one))) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }
  T& value() {
    GRADC_CHECK(ok(), "value() of a failed Result: {}", message());
    return std::get<T>(state_);
  }
  const T& value() const {
    GRADC_CHECK(ok(), "value() of a failed Result: {}", message());
    return std::get<T>(state_);
  }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T take() { return std::move(value()); }

  const std::vector<Diagnostic>& diagnostics() const {
    return std::get<Failure>(state_).diagnostics;
  }
  Failure failure() && { return std::move(std::get<Failure>(state_)); }
  /// The first message, for logs and internal errors.
  std::string message() const {
    if (ok()) return {};
    const auto& list = std::get<Failure>(state_).diagnostics;
    return list.empty() ? std::string("failed") : list.front().message;
  }

 private:
  std::variant<T, Failure> state_;
};

using Status = Result<Ok>;

}  // namespace gradc

#define GRADC_CONCAT_INNER(a, b) a##b
#define GRADC_CONCAT(a, b) GRADC_CONCAT_INNER(a, b)
/// GRADC_TRY(auto x, expression): x = value, or return the failure from the enclosing function.
#define GRADC_TRY(declaration, expression)                             \
  auto GRADC_CONCAT(gradc_result_, __LINE__) = (expression);           \
  if (!GRADC_CONCAT(gradc_result_, __LINE__).ok())                     \
    return std::move(GRADC_CONCAT(gradc_result_, __LINE__)).failure(); \
  declaration = GRADC_CONCAT(gradc_result_, __LINE__).take()
#define GRADC_TRY_STATUS(expression)                                  \
  do {                                                                \
    auto gradc_status = (expression);                                 \
    if (!gradc_status.ok()) return std::move(gradc_status).failure(); \
  } while (false)
