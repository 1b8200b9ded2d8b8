// Zip archives in memory: stored and deflated members, zip64 sizes as NumPy writes them.
#pragma once

#include "runtime/file.h"

namespace gradc::rt {

struct ZipMember {
  Str name;
  uint64_t method = 0;
  uint64_t flags = 0;
  uint64_t crc = 0;
  uint64_t packed = 0;
  uint64_t unpacked = 0;
  uint64_t offset = 0;
};

/// `path` and `kind` ("an .npz") are for messages.
Status read_zip_directory(const Bytes& bytes, const char* path, const char* kind,
                          Vec<ZipMember>* members);
/// Appends a member's content, its checksum compared; `where` is for messages.
Status unpack_zip_member(const Bytes& bytes, const char* where, const ZipMember& member,
                         Bytes* out);

}  // namespace gradc::rt
