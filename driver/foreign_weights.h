// Instances of JIT-compiled models read and write weights in all formats that exchange/ knows.
#pragma once

#include "driver/compiled_model.h"
#include "runtime/instance.h"

namespace gradc {

/// What the reader and the writer of an instance need; it must outlive the instance.
struct ForeignWeights {
  const CompiledModel& model;
  /// What could not be taken over; null: nobody is told.
  void (*tell)(const std::vector<Diagnostic>& warnings) = nullptr;
};

rt::WeightsReader weights_reader(const ForeignWeights& weights);
rt::WeightsWriter weights_writer(const ForeignWeights& weights);

}  // namespace gradc
