// The state of an optimizer in other programs' files: a list of variables whose meaning follows
// from their order.
#pragma once

#include "frontend/model.h"
#include "runtime/safetensors.h"

#include <string>
#include <vector>

namespace gradc::exchange {

/// Whose order it is.
enum class StateLayout : uint8_t {
  kKeras,   ///< 2.11 and later: slots that are made together lie together for each parameter
  kBySlot,  ///< Keras before: a slot of all parameters behind the other
  kTfjs,    ///< likewise; the momentum is without the rate, moments are always there
};

/// An optimizer's variables as they stand in a file.
struct StateVariables {
  std::vector<rt::Array> arrays;
  StateLayout layout = StateLayout::kKeras;
};

/// Appends "optimizer/..." to the tensors of the model. Empty when all is well, else what is wrong:
/// the state is then left out.
std::string assign_state(const Model& model, StateVariables state, rt::SafetensorsFile* out);

/// A variable to write: what it is called there, and its values.
struct WrittenVariable {
  std::string name;
  rt::Array array;
};
/// The same list from the tensors of a model; empty when they have no state of the optimizer, and
/// after a warning when what they have cannot be written.
std::vector<WrittenVariable> state_variables(const Model& model, const rt::SafetensorsFile& file,
                                             StateLayout layout, std::vector<Diagnostic>& left_out);
/// That the state is left out, if the tensors of a model have any, and why.
void leave_state_out(const Model& model, const rt::SafetensorsFile& file, std::string_view why,
                     std::vector<Diagnostic>& left_out);

}  // namespace gradc::exchange
