// The page of `gradc inspect --format html`: the graph, each kernel with its fused ops and loop
// nest, and the memory plan as a picture (offsets over steps). One self-contained file.
#pragma once

#include "codegen/target_info.h"
#include "driver/entry_builder.h"
#include "support/result.h"

#include <string>

namespace gradc {

/// The page for one entry of a model at a batch size.
Result<std::string> html_report(const Model& model, EntryPoint kind, int64_t batch,
                                const TargetInfo& target);

}  // namespace gradc
