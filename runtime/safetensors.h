// safetensors: 8 bytes of header length, a JSON header {"name": {"dtype", "shape", "data_offsets"},
// ...,
// "__metadata__": {string: string}}, then the tensors. Read strictly: offsets must tile the data
// exactly.
#pragma once

#include "runtime/array.h"

namespace gradc::rt {

struct Metadata {
  Str key;
  Str value;
};

struct SafetensorsFile {
  Vec<Array> arrays;  // in header order
  Vec<Metadata> metadata;

  const Array* find(const char* name) const;
  const Metadata* find_meta(const char* key) const;
  /// The value of a metadata key, or NULL.
  const char* meta(const char* key) const;
};

/// Parses a whole file's bytes; `path` is for messages. `choice` may be null: everything is read.
Status parse_safetensors(const Bytes& bytes, const char* path, SafetensorsFile* out,
                         ArrayChoice* choice = nullptr);
Status read_safetensors(const char* path, SafetensorsFile* out);

/// One tensor to write; the memory stays the caller's.
struct TensorView {
  const char* name;
  Dtype dtype;
  Span<const int64_t> dims;
  const void* data;
  size_t bytes;
};

/// Writes atomically (temporary file, fsync, rename). Tensors keep the given order; names must be
/// distinct.
Status write_safetensors(const char* path, Span<const TensorView> tensors,
                         Span<const Metadata> metadata);

}  // namespace gradc::rt
