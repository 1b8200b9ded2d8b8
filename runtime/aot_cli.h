// The command line of a compiled executable: train, eval, predict, info, --help.
#pragma once

#include "runtime/model_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Runs the command that argv names on the model; returns the exit code: 0, 1 (a diagnosed error),
/// 2 (wrong usage), 70 (an internal error) or 130 (a signal ended training, files are written).
int gradc_rt_main(const gradc_rt_model* model, int argc, const char* const* argv);

#ifdef __cplusplus
}
#endif
