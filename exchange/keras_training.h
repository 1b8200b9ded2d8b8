// "training_config" (.h5, tfjs) and "compile_config" (.keras) as the native "training".
#pragma once

#include "exchange/keras_writer.h"

#include <optional>
#include <vector>

namespace gradc::exchange {

/// What the file says of training.
Piece translate_training(const Context& context, const JsonCursor& config,
                         const NativeNetwork& network);

/// What is taken where the file says nothing of training, and the warning that tells it.
Piece assume_training(const NativeNetwork& network, const std::string& file,
                      std::vector<Diagnostic>& assumed);

}  // namespace gradc::exchange
