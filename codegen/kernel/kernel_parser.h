// Reads the text of kernels (kernel_printer.h): what was printed comes back as an equal kernel.
#pragma once

#include "codegen/kernel/kernel.h"
#include "support/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace gradc::kernel {

/// The one kernel of a text. All errors are collected, with byte ranges into the text (kIrSyntax);
/// `begin` is added to them: where the text stands in its file. What a kernel must be beyond being
/// readable verify() says.
Result<Kernel> parse_kernel(std::string_view text, const std::string& file, size_t begin = 0);

/// The same for a text of any number of kernels.
Result<std::vector<Kernel>> parse_kernels(std::string_view text, const std::string& file);

}  // namespace gradc::kernel
