// Which LLVM gradc was built with.
#pragma once

namespace gradc {

/// "19.1.7".
const char* llvm_version();

}  // namespace gradc
