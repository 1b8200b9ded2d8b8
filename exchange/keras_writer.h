// A Keras graph as the lists of a native document.
#pragma once

#include "frontend/native_reader.h"

#include "exchange/keras_model.h"

#include <optional>
#include <string>
#include <vector>

namespace gradc::exchange {

/// An output of the model: its name in the file and in the native document, and the layers that
/// make it, from the last back, as far as they are a chain.
struct NativeOutput {
  std::string keras_name;
  std::string name;
  bool used_on = false;  ///< other layers go on from it
  const KerasModel* model = nullptr;
  const KerasNode* node = nullptr;
};

struct NativeNetwork {
  Piece inputs, layers, blocks, outputs;
  std::vector<NativeOutput> output_list;
  std::optional<int64_t> batch;  ///< where the file fixes it
};

NativeNetwork write_network(const Context& context, const KerasModel& model,
                            const InputShapes& shapes);

}  // namespace gradc::exchange
