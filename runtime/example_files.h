// Files that hold one example each: images, recordings. What is in them is decoded by a reader that
// the command brings along: libgradc and compiled programs have none.
#pragma once

#include "runtime/dataset.h"

namespace gradc::rt {

struct ExampleReader {
  /// Is this such a file, a folder of them, or one with a folder for each class?
  bool (*reads)(const char* path) = nullptr;
  /// Its arrays, of all parts that the folder has.
  Status (*load)(const Loading& loading, const char* path) = nullptr;
  /// What an input gets from one file for each row: *out has all but a name and a source. Damaged
  /// files are told together, by their names.
  Status (*read)(const gradc_rt_tensor& input, Span<const Str> paths, Array* out) = nullptr;
};

}  // namespace gradc::rt
