// Numbers out of a file. Sizes that libhdf5 1.10 takes on trust are compared first: what a layout
// states and what is stored, and what every compressed block is when it is unpacked.
#include "support/utf8.h"

#include "exchange/h5/file_bytes.h"
#include "exchange/h5/handle.h"
#include "exchange/h5_file.h"

#include <algorithm>
#include <array>
#include <zlib.h>

namespace gradc::exchange {
namespace {

/// What may be stated beyond what is stored: a dataset of one value for all elements takes none.
constexpr uint64_t kFreeBytes = uint64_t{64} << 20U;
constexpr uint64_t kMaxInflation = 1000;

/// Whether so much may be stated where so much is stored.
bool is_bomb(uint64_t stated, uint64_t stored) {
  return stated > kFreeBytes && stated / kMaxInflation > stored;
}

struct NumberType {
  rt::Dtype dtype;
  hid_t memory;
};

/// Where sign, exponent and mantissa of a float lie.
struct FloatFields {
  size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;
  bool operator==(const FloatFields&) const = default;
};
constexpr FloatFields kFloats[] = {
    {15, 10, 5, 0, 10}, {15, 7, 8, 0, 7}, {31, 23, 8, 0, 23}, {63, 52, 11, 0, 52}};

bool is_usual_float(hid_t type) {
  FloatFields fields{};
  if (H5Tget_fields(type, &fields.sign, &fields.exponent, &fields.exponent_bits, &fields.mantissa,
                    &fields.mantissa_bits) < 0)
    return false;
  return std::ranges::any_of(kFloats, [&](const FloatFields& usual) {
    return usual == fields && usual.sign + 1 == 8 * H5Tget_size(type) &&
           H5Tget_ebias(type) == (size_t{1} << (usual.exponent_bits - 1)) - 1;
  });
}

/// The type that a dataset is read as; floats of 16 bits become f32, integers i64 unless they are
/// of 32 bits. Only numbers that fill their bytes in the usual way.
bool number_type(hid_t type, NumberType& out) {
  const size_t bytes = H5Tget_size(type);
  const H5T_class_t kind = H5Tget_class(type);
  if (kind != H5T_FLOAT && kind != H5T_INTEGER) return false;
  if (H5Tget_offset(type) != 0 || H5Tget_precision(type) != 8 * bytes) return false;
  if (kind == H5T_FLOAT) {
    out = bytes == 8 ? NumberType{rt::Dtype::kF64, H5T_NATIVE_DOUBLE}
                     : NumberType{rt::Dtype::kF32, H5T_NATIVE_FLOAT};
    return is_usual_float(type);
  }
  out = bytes <= 4 && H5Tget_sign(type) == H5T_SGN_2
            ? NumberType{rt::Dtype::kI32, H5T_NATIVE_INT32}
            : NumberType{rt::Dtype::kI64, H5T_NATIVE_INT64};
  return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

using Extents = std::array<hsize_t, H5S_MAX_RANK>;

/// How the blocks of a dataset are packed.
struct Packing {
  bool known = true;  ///< nothing but these
  bool deflate = false;
};

Packing packing_of(hid_t made) {
  Packing packing;
  const int filters = H5Pget_nfilters(made);
  packing.known = filters >= 0 && filters <= 2;
  for (int i = 0; packing.known && i < filters; ++i) {
    unsigned flags = 0;
    unsigned config = 0;
    size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(made, static_cast<unsigned>(i), &flags, &values,
                                               nullptr, 0, nullptr, &config);
    // Bytes are shuffled before they are compressed.
    if (filter == H5Z_FILTER_DEFLATE && !packing.deflate) {
      packing.deflate = true;
    } else {
      packing.known = filter == H5Z_FILTER_SHUFFLE && i == 0;
    }
  }
  return packing;
}

/// Whether zlib makes exactly so many bytes of these.
bool inflates_to(std::span<const uint8_t> packed, size_t bytes, std::vector<uint8_t>& room) {
  room.resize(bytes + 1);
  z_stream stream{};
  if (packed.size() > UINT32_MAX || room.size() > UINT32_MAX || inflateInit(&stream) != Z_OK)
    return false;
  stream.next_in = const_cast<uint8_t*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = room.data();
  stream.avail_out = static_cast<uInt>(room.size());
  const int state = inflate(&stream, Z_FINISH);
  const bool exact = state == Z_STREAM_END && stream.total_out == bytes;
  inflateEnd(&stream);
  return exact;
}

/// Whether every block that is stored is as long as the layout says.
bool are_sound_blocks(hid_t set, const H5Bytes& file, size_t element, hid_t made, int rank,
                      const Extents& extents) {
  Extents block{};
  if (rank < 1 || H5Pget_chunk(made, rank, block.data()) != rank) return false;
  const Packing packing = packing_of(made);
  size_t bytes = element;
  for (int i = 0; i < rank; ++i) {
    const auto axis = static_cast<size_t>(i);
    if (block[axis] == 0 || bytes > UINT32_MAX / block[axis]) return false;
    bytes *= block[axis];
  }
  std::vector<uint8_t> room;
  Extents at{};
  for (;;) {
    unsigned skipped = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t size = 0;
    if (H5Dget_chunk_info_by_coord(set, at.data(), &skipped, &address, &size) < 0) return false;
    if (address != HADDR_UNDEF) {
      const std::span<const uint8_t> stored = file.at(address, size);
      if (skipped != 0 || stored.empty() || is_bomb(bytes, stored.size())) return false;
      if (packing.deflate ? !inflates_to(stored, bytes, room) : stored.size() != bytes)
        return false;
    }
    int axis = rank - 1;
    for (; axis >= 0; --axis) {
      const auto i = static_cast<size_t>(axis);
      at[i] += block[i];
      if (at[i] < extents[i]) break;
      at[i] = 0;
    }
    if (axis < 0) return true;
  }
}

/// Why the bytes of a dataset cannot be what its shape says; empty if they are.
std::string_view what_is_wrong(hid_t set, const H5Bytes& file, hid_t type, hid_t made, int rank,
                               const Extents& extents, size_t count) {
  const size_t element = H5Tget_size(type);
  const uint64_t stored = H5Dget_storage_size(set);
  switch (H5Pget_layout(made)) {
    case H5D_COMPACT:
      return stored == count * element ? "" : "is damaged";
    case H5D_CONTIGUOUS:
      return stored == count * element || stored == 0 ? "" : "is damaged";
    case H5D_CHUNKED:
      if (!packing_of(made).known) return "is packed by another filter than gzip (deflate)";
      return count == 0 || are_sound_blocks(set, file, element, made, rank, extents) ? ""
                                                                                     : "is damaged";
    case H5D_VIRTUAL:
    case H5D_LAYOUT_ERROR:
    case H5D_NLAYOUTS:
      break;
  }
  return "is of an unknown layout";
}

}  // namespace

Result<rt::Array> H5File::dataset(const std::string& path) const {
  const auto bad = [&](std::string_view why) {
    return problem(fmt::format("the data \"{}\" {}", printable(path, 120), why));
  };
  if (!has(path)) return bad("is not in the file, or behind a link that leads elsewhere");
  const Handle set(H5Dopen2(file_, path.c_str(), H5P_DEFAULT), H5Dclose);
  if (!set) return bad("cannot be read");
  const Handle type(H5Dget_type(*set), H5Tclose);
  const Handle space(H5Dget_space(*set), H5Sclose);
  const Handle made(H5Dget_create_plist(*set), H5Pclose);
  if (!type || !space || !made) return bad("cannot be read");
  if (H5Pget_external_count(*made) > 0 || H5Pget_layout(*made) == H5D_VIRTUAL)
    return bad("lies in another file, which is not opened");
  NumberType number{};
  if (!number_type(*type, number)) return bad("is of a type that is no number");
  rt::Array array;
  array.name = rt::Str(path.c_str(), path.size());
  array.dtype = number.dtype;
  const int rank = H5Sget_simple_extent_ndims(*space);
  if (rank < 0 || rank > H5S_MAX_RANK) return bad("has no shape");
  Extents extents{};
  if (H5Sget_simple_extent_dims(*space, extents.data(), nullptr) < 0) return bad("has no shape");
  size_t count = 0;
  size_t bytes = 0;
  for (int i = 0; i < rank; ++i)
    array.dims.push(static_cast<int64_t>(extents[static_cast<size_t>(i)]));
  if (!rt::checked_size(array.dims.span(), rt::dtype_bytes(number.dtype), &count, &bytes))
    return bad("is larger than memory can be");
  const uint64_t stored = std::min<uint64_t>(H5Dget_storage_size(*set), bytes_->size());
  if (is_bomb(bytes, stored))
    return bad(fmt::format("states {} bytes, but {} are stored", bytes, stored));
  // Many names may lead to one dataset.
  read_bytes_ += bytes;
  if (is_bomb(read_bytes_, bytes_->size())) {
    return bad(fmt::format("makes {} bytes of what was read of a file of {}: more than it can hold",
                           read_bytes_, bytes_->size()));
  }
  const std::string_view wrong = what_is_wrong(*set, *bytes_, *type, *made, rank, extents, count);
  if (!wrong.empty()) return bad(wrong);
  array.data.resize(bytes);
  if (count > 0 &&
      H5Dread(*set, number.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.data.data()) < 0)
    return bad("cannot be read");
  return array;
}

}  // namespace gradc::exchange
