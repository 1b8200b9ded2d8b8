// What compiled code may need of a processor, by LLVM's names, and whether this one has it.
#pragma once

#include "runtime/model_abi.h"
#include "runtime/status.h"

namespace gradc::rt {

/// True if the check below knows this feature, on any architecture.
bool is_processor_feature(const char* name, size_t length);

/// Ok if this processor (and the system's support of its registers) has every feature that the
/// model's code needs, else an error that names what is missing. Runs on any processor of the
/// architecture.
Status check_processor(const gradc_rt_model& model);

}  // namespace gradc::rt
