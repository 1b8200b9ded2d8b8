// Array: a named tensor read from a file, row-major in native byte order, as the readers give it.
#pragma once

#include "runtime/dtype.h"
#include "runtime/file.h"
#include "runtime/model_abi.h"
#include "runtime/status.h"

namespace gradc::rt {

/// Tokens of which some are hidden from the model and asked for, as the input's rule says.
struct HiddenTokens {
  const gradc_rt_data* rule = nullptr;  // null: none is
  int64_t mask = 0;                     // stands where one is hidden
  int64_t low = 0;                      // [low, high) may stand there as well
  int64_t high = 0;
};

struct Array {
  Str name;    // inside its file; empty for formats that hold one array
  Str source;  // "data.npz: x_train": for messages
  Dtype dtype = Dtype::kF32;
  Vec<int64_t> dims;
  Bytes data;
  const uint8_t* lent = nullptr;  // a host's memory, which then is the data
  size_t row_step = 0;  // elements of data from row to row where rows overlap; 0: they do not
  int64_t draws = 0;    // that many rows are an epoch, drawn anew for each; 0: every row once
  HiddenTokens hidden;
  Vec<Str> files;  // of each row, where rows are files of their own; else empty

  const uint8_t* bytes() const { return lent != nullptr ? lent : data.data(); }
  size_t count() const {
    size_t n = 1;
    for (int64_t d : dims)
      n *= static_cast<size_t>(d);
    return n;
  }
  size_t row_elements() const {
    size_t n = 1;
    for (size_t d = 1; d < dims.size(); ++d)
      n *= static_cast<size_t>(dims[d]);
    return n;
  }
  size_t step() const { return row_step > 0 ? row_step : row_elements(); }
  /// Elements of data that so many rows in turn lie in.
  size_t stored(size_t rows) const {
    if (rows == 0) return 0;
    return row_step > 0 ? (rows - 1) * row_step + row_elements() : rows * row_elements();
  }
  /// Rows along the first dimension; 0 for scalars.
  int64_t rows() const { return dims.empty() ? 0 : dims[0]; }
  Array clone() const;
};

/// "[60000, 28, 28]".
Str dims_text(Span<const int64_t> dims);
/// "f32[60000, 28, 28]".
Str array_type_text(const Array& array);

/// Multiplies dimensions into *count and *bytes; false on negative sizes or 64-bit overflow.
bool checked_size(Span<const int64_t> dims, size_t element_bytes, size_t* count, size_t* bytes);

/// What a file's element type is before conversion to ours.
enum class FileType { kI8, kI16, kU16, kU32, kU64, kNative };

/// Widens file-only integer types: i8 i16 u16 to i32; u32 to i64; u64 to i64 if all values fit.
Status widen(FileType type, size_t count, const Bytes& raw, Array* array);

/// Reverses the bytes of each of `count` elements in place.
void swap_bytes(uint8_t* data, size_t element_bytes, size_t count);

class ByteStream;

/// IDX (MNIST's format); `path` is for messages.
Status read_idx(ByteStream& stream, const char* path, Array* out);
Status parse_idx(const Bytes& bytes, const char* path, Array* out);
/// A binary file of CIFAR-10 or CIFAR-100, packed or not: u8 [n, 32, 32, 3] and the classes, u8
/// [n], behind what the arrays have from other files.
Status append_cifar(const char* path, Array* images, Array* labels);
/// NumPy's .npy, versions 1 to 3, C or Fortran order, either byte order.
Status read_npy(ByteStream& stream, const char* path, Array* out);
Status parse_npy(const uint8_t* bytes, size_t size, const char* path, Array* out);

/// Which arrays of a file with many are read. The others may hold anything (Python objects, text,
/// types that we do not know): their names are kept.
struct ArrayChoice {
  bool (*wants)(const void* context, const Str& name) = nullptr;  // null: all
  const void* context = nullptr;
  Vec<Str> skipped;

  bool takes(const Str& name) const { return wants == nullptr || wants(context, name); }
};

/// A .npz: a zip of .npy members, stored or deflated. `choice` may be null: everything is read.
Status parse_npz(const Bytes& bytes, const char* path, Vec<Array>* out,
                 ArrayChoice* choice = nullptr);
/// Writes one array as .npy version 1 (f32 f64 i32 i64 u8 bool f16; bf16 is written as f32).
Status write_npy(const char* path, const Array& array);

}  // namespace gradc::rt
