#include "runtime/csv_split.h"

#include "runtime/philox.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

// All rows, class by class, in a random order.
struct DrawnRow {
  int32_t kind;
  uint64_t key;
  size_t row;

  bool operator<(const DrawnRow& other) const {
    if (kind != other.kind) return kind < other.kind;
    return key != other.key ? key < other.key : row < other.row;
  }
};

Vec<DrawnRow> draw(const CsvSplit& split, size_t rows, const Vec<int32_t>& classes) {
  Vec<DrawnRow> order(rows);
  const uint64_t key = random_key(split.seed, RandomUse::kSplit);
  for (size_t r = 0; r < rows; ++r) {
    const PhiloxBlock words = philox4x32(
        {{0, 0, static_cast<uint32_t>(r), static_cast<uint32_t>(static_cast<uint64_t>(r) >> 32)}},
        key);
    order[r] = {classes.empty() ? 0 : classes[r],
                words.word[0] | static_cast<uint64_t>(words.word[1]) << 32, r};
  }
  std::sort(order.begin(), order.end());
  return order;
}

// Is place i one of the fraction's, spread evenly?
bool is_taken(size_t i, double fraction) {
  return std::floor(static_cast<double>(i + 1) * fraction + 0.5) >
         std::floor(static_cast<double>(i) * fraction + 0.5);
}

}  // namespace

Status draw_parts(const char* path, const CsvSplit& split, size_t rows, const Vec<int32_t>& classes,
                  Vec<RowPart>* parts) {
  parts->resize(rows);
  size_t count[3] = {};
  const Vec<DrawnRow> order = draw(split, rows, classes);
  // A fraction of all rows is a larger one of those that are no test.
  const double tested = split.folds > 0 ? 1.0 / static_cast<double>(split.folds) : split.test;
  const double of_rest = std::min(split.validation / (1.0 - tested), 1.0);
  size_t rest = 0;
  for (size_t i = 0; i < rows; ++i) {
    RowPart& part = (*parts)[order[i].row];
    part = RowPart::kTrain;
    const bool test = split.folds > 0 ? static_cast<int64_t>(i) % split.folds == split.fold - 1
                                      : is_taken(i, split.test);
    if (test) {
      part = RowPart::kTest;
    } else if (is_taken(rest++, of_rest)) {
      part = RowPart::kValidation;
    }
    ++count[static_cast<size_t>(part)];
  }
  const bool holds_out = split.test > 0 || split.folds > 0;
  const char* empty = count[0] == 0                           ? "training"
                      : split.validation > 0 && count[1] == 0 ? "validation"
                      : holds_out && count[2] == 0            ? "test"
                                                              : nullptr;
  if (empty == nullptr) return {};
  return error("%s: the split of %zu rows leaves the %s part empty", path, rows, empty);
}

size_t part_named(const Str& name) {
  for (size_t part = 0; part < 3; ++part) {
    for (const char* one : kPartNames[part])
      if (*one != '\0' && name == one) return part;
  }
  return 3;
}

void move_parts(const Vec<RowPart>& parts, Array* array, Array* validation, Array* test) {
  const size_t row_bytes = array->row_elements() * dtype_bytes(array->dtype);
  size_t count[3] = {};
  for (const RowPart part : parts)
    ++count[static_cast<size_t>(part)];
  for (Array* held : {validation, test}) {
    held->name = format("%s_%s", array->name.c_str(), held == validation ? "val" : "test");
    held->source = array->source.clone();
    held->dtype = array->dtype;
    held->dims = array->dims.clone();
    held->dims[0] = static_cast<int64_t>(count[held == validation ? 1 : 2]);
    held->data.reserve(static_cast<size_t>(held->dims[0]) * row_bytes);
  }
  const auto move_file = [array](size_t row, Array* to, size_t place) {
    if (row >= array->files.size()) return;
    Str file = static_cast<Str&&>(array->files[row]);
    if (to == array) {
      to->files[place] = static_cast<Str&&>(file);
    } else {
      to->files.push(static_cast<Str&&>(file));
    }
  };
  uint8_t* kept = array->data.data();
  size_t kept_rows = 0;
  for (size_t r = 0; r < parts.size(); ++r) {
    const uint8_t* row = array->data.data() + r * row_bytes;
    switch (parts[r]) {
      case RowPart::kTrain:
        if (kept != row) memmove(kept, row, row_bytes);
        kept += row_bytes;
        move_file(r, array, kept_rows++);
        break;
      case RowPart::kValidation:
        validation->data.append(row, row_bytes);
        move_file(r, validation, 0);
        break;
      case RowPart::kTest:
        test->data.append(row, row_bytes);
        move_file(r, test, 0);
        break;
    }
  }
  array->dims[0] = static_cast<int64_t>(count[0]);
  array->data.resize(count[0] * row_bytes);
  if (!array->files.empty()) array->files.resize(count[0]);
}

}  // namespace gradc::rt
