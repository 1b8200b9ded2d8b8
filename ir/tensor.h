// A dense tensor of the reference interpreter: row-major, every element held in double whatever its
// dtype.
#pragma once

#include "ir/type.h"

#include <vector>

namespace gradc {

struct Tensor {
  TensorType type;
  std::vector<double> data;

  Tensor() = default;
  explicit Tensor(const TensorType& t) : type(t), data(static_cast<size_t>(t.num_elements())) {}
  Tensor(const TensorType& t, std::vector<double> values) : type(t), data(std::move(values)) {}
  int64_t size() const { return static_cast<int64_t>(data.size()); }
  double& operator[](int64_t i) { return data[static_cast<size_t>(i)]; }
  double operator[](int64_t i) const { return data[static_cast<size_t>(i)]; }
};

}  // namespace gradc
