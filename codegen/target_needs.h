// What code for a target asks of the machine that runs it.
#pragma once

#include "codegen/target_info.h"

#include <string>

namespace gradc {

/// "avx2,fma": the features that code for the target may use and that not every processor of its
/// architecture has, as LLVM names them.
std::string target_needs(const TargetInfo& target);

/// True if programs for the target run in this system: the same architecture, operating system and
/// C library.
bool target_links_here(const TargetInfo& target);

}  // namespace gradc
