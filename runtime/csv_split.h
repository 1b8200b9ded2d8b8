// Parts of a table: rows that are held out for validation and test, drawn by a seed.
#pragma once

#include "runtime/array.h"

namespace gradc::rt {

/// What the parts are called, in files and in columns.
inline constexpr const char* kPartNames[3][3] = {
    {"train", "training", ""}, {"validation", "val", "valid"}, {"test", "testing", ""}};

enum class RowPart : uint8_t { kTrain, kValidation, kTest };

struct CsvSplit {
  double validation = 0;  // fractions of all rows
  double test = 0;
  int64_t fold = 0;  // from 1: the test part is that one of `folds`
  int64_t folds = 0;
  uint64_t seed = 0;

  bool any() const { return validation > 0 || test > 0 || folds > 0; }
};

/// The part of each row. With the class of each row (else none) every part has its share of every
/// class.
Status draw_parts(const char* path, const CsvSplit& split, size_t rows, const Vec<int32_t>& classes,
                  Vec<RowPart>* parts);

/// The part that is called so; 3: none is.
size_t part_named(const Str& name);

/// Leaves the rows that are trained on in the array; the others move to `validation` and `test`,
/// which are named after it.
void move_parts(const Vec<RowPart>& parts, Array* array, Array* validation, Array* test);

}  // namespace gradc::rt
