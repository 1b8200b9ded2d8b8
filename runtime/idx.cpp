// IDX: magic 0 0 type rank, big-endian 32-bit sizes, then the elements, big-endian.
#include "runtime/array.h"
#include "runtime/byte_stream.h"

namespace gradc::rt {
namespace {

uint32_t big_endian(const uint8_t* p) {
  return (static_cast<uint32_t>(p[0]) << 24) | (static_cast<uint32_t>(p[1]) << 16) |
         (static_cast<uint32_t>(p[2]) << 8) | p[3];
}

struct IdxType {
  uint8_t code;
  FileType file_type;
  Dtype dtype;
  size_t bytes;
};

constexpr IdxType kTypes[] = {
    {0x08, FileType::kNative, Dtype::kU8, 1},  {0x09, FileType::kI8, Dtype::kI32, 1},
    {0x0B, FileType::kI16, Dtype::kI32, 2},    {0x0C, FileType::kNative, Dtype::kI32, 4},
    {0x0D, FileType::kNative, Dtype::kF32, 4}, {0x0E, FileType::kNative, Dtype::kF64, 8},
};

}  // namespace

Status parse_idx(const Bytes& bytes, const char* path, Array* out) {
  ByteStream stream;
  GRADC_RT_TRY(stream.open(bytes.span(), path));
  return read_idx(stream, path, out);
}

Status read_idx(ByteStream& stream, const char* path, Array* out) {
  out->source = Str(path);
  uint8_t head[4 + 4 * GRADC_RT_MAX_RANK];
  size_t got = 0;
  GRADC_RT_TRY(stream.read(head, 4, &got));
  if (got < 4) {
    return error("%s: not an IDX file: it has %zu bytes, the header alone needs 4", path, got);
  }
  const IdxType* type = nullptr;
  for (const IdxType& candidate : kTypes) {
    if (candidate.code == head[2]) type = &candidate;
  }
  if (head[0] != 0 || head[1] != 0 || type == nullptr) {
    return error(
        "%s: not an IDX file: it begins %02x %02x %02x %02x, expected 00 00, then a type "
        "of 08 09 0b 0c 0d 0e, then the rank",
        path, head[0], head[1], head[2], head[3]);
  }
  const size_t rank = head[3];
  if (rank == 0 || rank > GRADC_RT_MAX_RANK) {
    return error("%s: IDX rank is %zu, expected 1 to %d", path, rank, GRADC_RT_MAX_RANK);
  }
  GRADC_RT_TRY(stream.read(head + 4, 4 * rank, &got));
  if (got < 4 * rank) {
    return error("%s: IDX header is cut off: %zu bytes for rank %zu, expected %zu", path, 4 + got,
                 rank, 4 + 4 * rank);
  }
  out->dims.clear();
  for (size_t d = 0; d < rank; ++d)
    out->dims.push(big_endian(head + 4 + 4 * d));
  size_t count = 0;
  size_t need = 0;
  size_t have = 0;
  Bytes data;
  const bool fits = checked_size(out->dims.span(), type->bytes, &count, &need);
  GRADC_RT_TRY(stream.read_exactly(fits ? need : 0, &data, &have));
  if (!fits || have != need) {
    return error("%s: IDX header says %s, which needs %s bytes of data, the file has %zu", path,
                 dims_text(out->dims.span()).c_str(),
                 fits ? format("%zu", need).c_str() : "more than 2^62", have);
  }
  if (type->bytes > 1) swap_bytes(data.data(), type->bytes, count);
  if (type->file_type != FileType::kNative) return widen(type->file_type, count, data, out);
  out->dtype = type->dtype;
  out->data = static_cast<Bytes&&>(data);
  return {};
}

}  // namespace gradc::rt
