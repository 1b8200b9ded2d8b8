// What a learning-rate schedule's options must be together.
#pragma once

#include "frontend/component_reader.h"

namespace gradc {

/// Boundaries that increase, and a value more than there are of them.
void check_schedule(DiagnosticSink& sink, const Component& schedule);

}  // namespace gradc
