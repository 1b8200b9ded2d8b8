// Instances of JIT-compiled models read weights of all formats that exchange/ knows.
#pragma once

#include "driver/compiled_model.h"
#include "runtime/instance.h"

namespace gradc {

/// The model must outlive the instance that is given the reader.
rt::WeightsReader weights_reader(const CompiledModel& model);

}  // namespace gradc
