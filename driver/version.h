// What `gradc --version` prints.
#pragma once

#include <string>

namespace gradc {

/// "0.1.0".
const char* version_number();
/// Version, LLVM version, host CPU and its vector width.
std::string version_text();

}  // namespace gradc
