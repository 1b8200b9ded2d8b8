// `gradc run`: one entry on given tensors, from safetensors to safetensors, by compiled code or by
// the reference interpreter. The door through which gradc is compared with anything else, tensor by
// tensor (DESIGN 2.2).
#pragma once

#include "frontend/native_reader.h"
#include "support/result.h"
#include "support/source_file.h"

#include <cstdint>
#include <optional>
#include <string>

namespace gradc {

struct ExactRun {
  std::string model;
  Given given;        ///< beside the model's file
  std::string entry;  ///< predict, loss, gradients, train_step
  std::string in, out;
  int64_t steps = 1;  ///< train_step: repeated on the same batch; 0 gives the initial parameters
  std::optional<uint64_t> seed;
  int threads = 1;
  std::string cpu;  ///< compile for it; empty: all that this machine has
  std::optional<int64_t> memory_budget_bytes;
  bool interpreter = false;
  bool cache = false;  ///< keep compiled code between processes
};

Status run_exact(const ExactRun& run, SourceSet& sources);

}  // namespace gradc
