// What the inputs of a Keras model are: each version says it in a place of its own.
#pragma once

#include "frontend/native_reader.h"

#include "exchange/keras_model.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gradc::exchange {

struct InputInfo {
  std::optional<JsonCursor> at;               ///< where the shape is said
  std::vector<std::optional<int64_t>> shape;  ///< of one example; nothing: open
  std::optional<int64_t> batch;               ///< where the file fixes it
  std::string dtype;                          ///< empty: as layers want it
};

/// Nothing when the file does not say it.
std::optional<InputInfo> find_input(const KerasModel& model, const KerasNode& input);

/// Whether all that an input goes to takes indices.
bool wants_indices(const KerasModel& model, const std::string& input);

/// The shape with what the file leaves open filled in; nothing after a report.
std::optional<Ints> close_shape(const Context& context, const std::string& name,
                                const std::optional<InputInfo>& info, const InputShapes& given,
                                const JsonCursor& at);

}  // namespace gradc::exchange
