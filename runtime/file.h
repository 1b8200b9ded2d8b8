// Whole files: reading them, and names of files and folders. Writing is in output_file.h.
#pragma once

#include "runtime/memory.h"
#include "runtime/status.h"

#include <cstdint>
#include <cstdio>

namespace gradc::rt {

using Bytes = Vec<uint8_t>;

/// open(), never as one of the three standard descriptors (a program may run with those closed,
/// and others write to them), close-on-exec; -1 with errno set when it fails.
int open_descriptor(const char* path, int flags, unsigned mode);
/// Reads a whole regular file.
Status read_file(const char* path, Bytes* out);
bool is_directory(const char* path);
bool file_exists(const char* path);
/// Names of the entries of a folder in byte order, without "." and "..".
Status list_directory(const char* path, Vec<Str>* names);
/// The last component of a path.
Str base_name(const char* path);
/// The folder that a path is in: "." for a bare name.
Str folder_of(const char* path);
Str join_path(const char* folder, const char* name);

/// Inflates a gzip file's bytes (all members); `name` is for messages.
Status gunzip(const Bytes& packed, const char* name, Bytes* out);
/// Inflates one raw deflate stream that must give exactly `bytes` bytes.
Status inflate_raw(const uint8_t* packed, size_t packed_bytes, size_t bytes, const char* name,
                   uint8_t* out);
/// read_file, then gunzip if the content is gzip.
Status read_maybe_gzip(const char* path, Bytes* out);

}  // namespace gradc::rt
