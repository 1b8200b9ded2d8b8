// One layer of a Keras file.
#pragma once

#include "frontend/layer_def.h"

#include "exchange/dialect.h"
#include "exchange/piece.h"

#include <optional>
#include <string>

namespace gradc::exchange {

/// {"class_name", "config", ...}, taken apart.
struct KerasLayer {
  JsonCursor at;
  std::string class_name;
  std::string name;
  JsonCursor config;
};

/// Nothing after a report.
std::optional<KerasLayer> read_keras_layer(const Context& context, const JsonCursor& at);

/// What a layer becomes, without "name" and "inputs".
struct NativeLayer {
  Piece piece;
  const LayerDef* def = nullptr;
  int64_t channels_first = 0;  ///< spatial axes of a layer that gradc has with channels last only
};

/// Nothing after a report.
std::optional<NativeLayer> translate_layer(const Context& context, const KerasLayer& layer);

}  // namespace gradc::exchange
