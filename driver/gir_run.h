// `gradc run` and `gradc bench` of a .gir file: inputs, parameters and states by the names of the
// graph, results likewise; by compiled code or by the interpreter of the file's own level.
#pragma once

#include "driver/exact_run.h"
#include "support/result.h"

namespace gradc {

Status run_gir(const ExactRun& run);

}  // namespace gradc
