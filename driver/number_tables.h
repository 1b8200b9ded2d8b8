// The optimizer's numbers as tables of the runtime, where hosts read and set them
// (runtime/hyperparameters.h).
#pragma once

#include "frontend/model.h"
#include "runtime/model_abi.h"

#include <string>
#include <vector>

namespace gradc {

struct NumberTables {
  struct Setting {
    std::string name;
    gradc_rt_hyperparameter row;  ///< without the name
  };
  struct Input {
    std::string name;     ///< of the tensor: "number/1 - beta_1"
    gradc_rt_number row;  ///< without the tensor
  };
  std::vector<Setting> settings;  ///< "learning_rate", then the options that can change
  std::vector<Input> inputs;      ///< of tuned steps
};

/// Nothing without a "training" section.
NumberTables number_tables(const Model& model);

}  // namespace gradc
