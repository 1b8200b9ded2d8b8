// A door as a libFuzzer target: compiled once per door, GRADC_FUZZ_TARGET is its function.
#include "tests/fuzz/door.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gradc::fuzz::GRADC_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
