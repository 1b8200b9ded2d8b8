// Which build of a program or library is running, as its linker numbered it.
#pragma once

#include <string>

namespace gradc {

/// The GNU build id of the file that `code` was loaded from, in hexadecimal; empty if it has none.
std::string build_id_of(const void* code);

}  // namespace gradc
