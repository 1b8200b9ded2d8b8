// What every report's page carries: page.css, page.html and page.js beside this file, as
// driver/CMakeLists.txt puts them into the library.
#pragma once

#include <string_view>

namespace gradc::page {

extern const std::string_view kStyle;
extern const std::string_view kBody;
extern const std::string_view kScript;
/// Of pages of results, behind kStyle: driver/results/results.css.
extern const std::string_view kResultsStyle;

}  // namespace gradc::page
