// A column of classes: numbers as they are, names numbered in byte order or as a model knows them.
#pragma once

#include "runtime/array.h"
#include "runtime/csv.h"
#include "runtime/model_abi.h"

namespace gradc::rt {

struct ClassColumn {
  size_t tensor = 0;
  size_t column = 0;
  CsvTexts texts;
  Bytes ids;  // i32: the text of each row
};

/// May a column of names be this target?
bool takes_classes(const gradc_rt_tensor& target);

/// i32 [rows] of class numbers, or f64 [rows] where the target is of numbers and all cells are
/// numbers. `classes` gets the names, if it has been names. `known` may be null or empty.
Status number_classes(const char* path, const Str& name, const gradc_rt_tensor& target,
                      const Vec<Str>* known, ClassColumn& column, Array* out, Vec<Str>* classes);

}  // namespace gradc::rt
