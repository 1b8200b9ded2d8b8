// LLVM's FileCheck as a function: CHECK, CHECK-NEXT, CHECK-NOT, CHECK-LABEL, [[VAR:...]].
#pragma once

#include <string>
#include <string_view>

namespace gradc::testing {

/// Empty when `output` satisfies the CHECK lines of `checks`; else the report with carets.
std::string file_check(std::string_view checks, const std::string& checks_name,
                       std::string_view output);

}  // namespace gradc::testing
