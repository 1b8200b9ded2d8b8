// Fuzz targets. A door is a function on any bytes; it must return, within bounds of time and
// memory, and what gradc says of itself (a text that it printed reads back the same, a plan that it
// made is legal) must hold. The same functions are libFuzzer targets (GRADC_FUZZ) and, over the
// files of corpus/, tests of every build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gradc::fuzz {

using Door = void (*)(std::string_view bytes);

#define GRADC_FUZZ_DOOR(name) void name##_door(std::string_view bytes);
#include "tests/fuzz/targets.def"
#undef GRADC_FUZZ_DOOR

/// Ends the process with a message when something that must hold does not.
void require(bool holds, std::string_view what, std::string_view detail = {});

/// A file with these bytes in a folder of this process in memory, removed at exit; the same name
/// is written over.
std::string file_of(std::string_view name, std::string_view bytes);

/// Takes the first byte: what a door's options are chosen by.
uint8_t take_byte(std::string_view& bytes);

}  // namespace gradc::fuzz
