// The optimizer's numbers as a host reads and sets them, while training goes on. Setting one makes
// no new code: the entries that hosts train by read what the rule makes of them from the instance.
#pragma once

#include "frontend/model.h"
#include "ir/optimizer_spec.h"
#include "runtime/instance.h"
#include "support/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

class Hyperparameters {
 public:
  explicit Hyperparameters(const Model& model);
  /// "learning_rate", then the options of the model's optimizer that can change; none without one.
  const std::vector<std::string>& names() const { return names_; }
  /// The value of the next step, which is number `iteration` from 0 and multiplies its scheduled
  /// rate by `rate_factor`; nothing for an unknown name.
  std::optional<double> value(std::string_view name, int64_t iteration, double rate_factor) const;
  /// Errors: an unknown name, a value that the option does not allow. NaN gives a learning rate
  /// back to its schedule.
  Status set(std::string_view name, double value);
  /// Puts them into an instance that has their tensors.
  void write(rt::Instance& instance) const;

 private:
  const OptionDef* option(std::string_view name) const;
  double scheduled_rate(int64_t iteration) const;

  const Component* optimizer_ = nullptr;  ///< the model's
  OptimizerSpec spec_;
  std::optional<double> rate_;  ///< empty: the schedule's
  std::vector<std::string> names_;
};

}  // namespace gradc
