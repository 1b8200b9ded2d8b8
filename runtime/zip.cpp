// Through the central directory; every offset is checked against the file before it is followed.
#include "runtime/zip.h"

#include "runtime/text.h"

#include <zlib.h>

namespace gradc::rt {
namespace {

constexpr uint32_t kEndOfDirectory = 0x06054B50;
constexpr uint32_t kDirectoryEntry = 0x02014B50;
constexpr uint32_t kLocalHeader = 0x04034B50;
constexpr size_t kEndBytes = 22;
constexpr size_t kEntryBytes = 46;
constexpr size_t kLocalBytes = 30;

uint64_t little(const uint8_t* p, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = bytes; i-- > 0;)
    value = (value << 8) | p[i];
  return value;
}

// Sizes of 0xFFFFFFFF are in the zip64 extra field (id 1), in the order unpacked, packed, offset.
bool read_zip64(const uint8_t* extra, size_t length, ZipMember* member) {
  size_t at = 0;
  while (at + 4 <= length) {
    const size_t id = little(extra + at, 2);
    const size_t size = little(extra + at + 2, 2);
    at += 4;
    if (size > length - at) return false;
    if (id == 1) {
      size_t field = at;
      for (uint64_t* value : {&member->unpacked, &member->packed, &member->offset}) {
        if (*value != 0xFFFFFFFF) continue;
        if (field + 8 > at + size) return false;
        *value = little(extra + field, 8);
        field += 8;
      }
      return true;
    }
    at += size;
  }
  return true;
}

}  // namespace

Status read_zip_directory(const Bytes& bytes, const char* path, const char* kind,
                          Vec<ZipMember>* members) {
  if (bytes.size() < kEndBytes || little(bytes.data(), 4) != kLocalHeader) {
    return error("%s: not %s file: it is not a zip archive", path, kind);
  }
  size_t end =
      bytes.size() - kEndBytes;  // the end record may be followed by a comment of up to 64 KiB
  const size_t lowest = end > 65535 ? end - 65535 : 0;
  while (little(bytes.data() + end, 4) != kEndOfDirectory) {
    if (end == lowest) {
      return error("%s: the file is cut off: the zip directory at its end is missing", path);
    }
    --end;
  }
  const size_t count = little(bytes.data() + end + 10, 2);
  uint64_t at = little(bytes.data() + end + 16, 4);
  for (size_t i = 0; i < count; ++i) {
    if (at > bytes.size() || bytes.size() - at < kEntryBytes ||
        little(bytes.data() + at, 4) != kDirectoryEntry) {
      return error("%s: the file is damaged: zip directory entry %zu is not where it should be",
                   path, i);
    }
    const uint8_t* entry = bytes.data() + at;
    const size_t name_length = little(entry + 28, 2);
    const size_t extra_length = little(entry + 30, 2);
    const size_t comment_length = little(entry + 32, 2);
    if (bytes.size() - at - kEntryBytes < name_length + extra_length) {
      return error("%s: the file is damaged: zip directory entry %zu is cut off", path, i);
    }
    ZipMember member;
    member.name = Str(reinterpret_cast<const char*>(entry) + kEntryBytes, name_length);
    member.flags = little(entry + 8, 2);
    member.method = little(entry + 10, 2);
    member.crc = little(entry + 16, 4);
    member.packed = little(entry + 20, 4);
    member.unpacked = little(entry + 24, 4);
    member.offset = little(entry + 42, 4);
    if (!read_zip64(entry + kEntryBytes + name_length, extra_length, &member)) {
      return error("%s: zip member \"%s\" has a damaged zip64 field", path,
                   shown(member.name).c_str());
    }
    members->push(static_cast<ZipMember&&>(member));
    at += kEntryBytes + name_length + extra_length + comment_length;
  }
  return {};
}

Status unpack_zip_member(const Bytes& bytes, const char* where, const ZipMember& member,
                         Bytes* out) {
  if (member.offset > bytes.size() || bytes.size() - member.offset < kLocalBytes ||
      little(bytes.data() + member.offset, 4) != kLocalHeader) {
    return error("%s: the zip member is not where the directory says", where);
  }
  const uint8_t* local = bytes.data() + member.offset;
  const size_t skip = kLocalBytes + little(local + 26, 2) + little(local + 28, 2);
  const size_t left = bytes.size() - member.offset;
  if (left < skip || left - skip < member.packed) {
    return error("%s: the zip member is cut off: %llu bytes stated, the file has %zu", where,
                 static_cast<unsigned long long>(member.packed), left < skip ? 0 : left - skip);
  }
  if ((member.flags & 1) != 0) return error("%s: the zip member is encrypted", where);
  const uint8_t* packed = local + skip;
  if (member.method == 0) {
    if (member.packed != member.unpacked) {
      return error("%s: the stored zip member states two different sizes", where);
    }
    out->append(packed, member.packed);
  } else if (member.method == 8) {
    // Deflate gives at most 1032 bytes per byte: a larger claim is false, and is not allocated.
    if (member.unpacked / 1032 > member.packed) {
      return error("%s: %llu packed bytes cannot unpack to the stated %llu", where,
                   static_cast<unsigned long long>(member.packed),
                   static_cast<unsigned long long>(member.unpacked));
    }
    out->resize(member.unpacked);
    GRADC_RT_TRY(inflate_raw(packed, member.packed, member.unpacked, where, out->data()));
  } else {
    return error("%s: zip method %llu is not supported, expected stored (0) or deflate (8)", where,
                 static_cast<unsigned long long>(member.method));
  }
  if (crc32_z(crc32_z(0, nullptr, 0), out->data(), out->size()) != member.crc) {
    return error("%s: the zip member's checksum does not match its data", where);
  }
  return {};
}

}  // namespace gradc::rt
