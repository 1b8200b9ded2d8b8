// Whole files: reading, and writing that is never half done (temporary file, fsync, rename, fsync
// of the folder).
#pragma once

#include "runtime/memory.h"
#include "runtime/status.h"

#include <cstdint>
#include <cstdio>

namespace gradc::rt {

using Bytes = Vec<uint8_t>;

/// Reads a whole regular file.
Status read_file(const char* path, Bytes* out);
bool is_directory(const char* path);
bool file_exists(const char* path);
/// Names of the entries of a folder in byte order, without "." and "..".
Status list_directory(const char* path, Vec<Str>* names);
/// The last component of a path.
Str base_name(const char* path);
Str join_path(const char* folder, const char* name);

/// Writes a file under a temporary name beside its place; commit() makes it appear whole under its
/// own name. Without commit() the temporary file is removed.
class AtomicFile {
 public:
  AtomicFile() = default;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  Status open(const char* path);
  Status write(const void* data, size_t bytes);
  Status commit();

 private:
  static void abandon(void* self);

  Str path_;
  Str temporary_;
  int descriptor_ = -1;
  Held held_{&AtomicFile::abandon, this};
};

/// Inflates a gzip file's bytes (all members); `name` is for messages.
Status gunzip(const Bytes& packed, const char* name, Bytes* out);
/// Inflates one raw deflate stream that must give exactly `bytes` bytes.
Status inflate_raw(const uint8_t* packed, size_t packed_bytes, size_t bytes, const char* name,
                   uint8_t* out);
/// read_file, then gunzip if the content is gzip.
Status read_maybe_gzip(const char* path, Bytes* out);

}  // namespace gradc::rt
