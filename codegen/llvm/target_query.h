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
  bool sse = false;
  bool avx = false;
  bool avx2 = false;
  bool fma = false;
  bool avx512 = false;  ///< F, VL, BW and DQ: 512-bit vectors of every element type, masks
};

/// The machine this runs on.
TargetFacts query_host();
/// A named target. Errors: unknown triple, CPU or feature.
Result<TargetFacts> query_target(const std::string& triple, const std::string& cpu,
                                 const std::string& features);
/// "LLVM 19.1.7".
std::string llvm_version();

}  // namespace gradc::cg
