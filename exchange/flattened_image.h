// Where a layer sees the elements of an image in one row, which PyTorch has in another order.
#pragma once

#include "frontend/model.h"

namespace gradc::exchange {

/// What PyTorch has in another order before a layer: nothing (empty), a flattened image (its shape,
/// channels last), or something made of one whose order cannot be told.
struct Flattened {
  Ints image;
  bool unclear = false;
};
Flattened flattened_before(const Model& model, size_t layer);

}  // namespace gradc::exchange
