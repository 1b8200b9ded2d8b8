// What codegen may know of the machine: numbers, never names of CPUs (law 8). Filled from the host
// or from
// --target/--cpu/--features; tests use the generic ones so that nothing depends on the machine they
// run on.
#pragma once

#include "support/result.h"

#include <cstdint>
#include <string>

namespace gradc {

struct TargetInfo {
  std::string triple;
  std::string cpu;
  std::string features;       ///< LLVM's form: "+avx2,+fma,..."
  int64_t vector_bytes = 16;  ///< widest useful vector
  int64_t vector_registers = 16;
  bool has_fma = false;
  bool has_bf16_dot = false;       ///< sums pairs of bf16 products into f32, and rounds f32 to bf16
  bool has_f16 = false;            ///< converts f16 to f32 and back
  bool has_masked_memory = false;  ///< masked loads and stores cost about as much as plain ones
  int64_t l1_bytes = 32 * 1024;
  int64_t l2_bytes = 512 * 1024;
  int64_t l3_bytes = 8 * 1024 * 1024;
  int64_t cores = 1;
  double fma_per_cycle = 2.0;  ///< vector FMAs started per cycle, for reports of the peak

  int64_t lanes(int64_t element_bytes) const { return vector_bytes / element_bytes; }

  static TargetInfo host();
  /// This machine, of whose instructions code may use what a CPU that LLVM names has; empty: all.
  static Result<TargetInfo> host_as(const std::string& cpu);
  static Result<TargetInfo> from(const std::string& triple, const std::string& cpu,
                                 const std::string& features);
  static TargetInfo generic_sse();     ///< x86-64, 16-byte vectors, no FMA
  static TargetInfo generic_avx2();    ///< x86-64-v3
  static TargetInfo generic_avx512();  ///< x86-64-v4
  static TargetInfo generic_neon();    ///< aarch64
};

}  // namespace gradc
