// What LLVM knows of a target, without LLVM's types: the facts TargetInfo's numbers come from.
#pragma once

#include "support/result.h"

#include <string>

namespace gradc::cg {

struct TargetFacts {
  std::string triple;  ///< normalised
  std::string cpu;
  std::string features;  ///< "+a,+b,-c"
  bool x86 = false;
  bool aarch64 = false;
  bool riscv = false;
  bool rvv = false;  ///< RISC-V's vectors, of at least 16 bytes
  bool sse = false;
  bool avx = false;
  bool avx2 = false;
  bool fma = false;
  bool f16 = false;         ///< instructions that convert it to f32 and back
  bool avx512bf16 = false;  ///< and avx512
  bool avx512 = false;      ///< F, VL, BW and DQ: 512-bit vectors of every element type, masks
};

/// The machine this runs on, with features ("+a,-b") added to and taken from what it has.
Result<TargetFacts> query_host(const std::string& features = {});
/// A named target. Errors: a triple that gradc does not serve, an unknown CPU or feature, a CPU or
/// features that cannot run the code of the triple.
Result<TargetFacts> query_target(const std::string& triple, const std::string& cpu,
                                 const std::string& features);
/// What code for a target that one of these gave needs of a processor: "avx2,fma".
Result<std::string> query_needs(const std::string& triple, const std::string& cpu,
                                const std::string& features);
/// Whether programs for the triple run in this system.
bool links_here(const std::string& triple);
/// "LLVM 19.1.7".
std::string llvm_version();

}  // namespace gradc::cg
