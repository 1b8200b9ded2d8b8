// Many files on all processors.
#pragma once

#include "runtime/status.h"

#include <functional>
#include <string>
#include <vector>

namespace gradc::exchange {

/// Calls `work` with the place of every path, on as many threads as there are processors. What it
/// says is wrong ("": nothing) is told together, with the files' names, in their order.
rt::Status each_file(rt::Span<const rt::Str> paths, const std::function<std::string(size_t)>& work);

/// All of a file, at most 1 GiB; "" when all is well, else what is wrong.
std::string read_bytes(const char* path, std::vector<uint8_t>* out);

}  // namespace gradc::exchange
