// NumPy's .npy: magic, version, a Python dict literal {'descr': '<f4', 'fortran_order': False,
// 'shape': (3, 4), }, data. The dict is read by a strict little reader of its own that accepts
// exactly these three keys.
#include "runtime/array.h"
#include "runtime/byte_stream.h"
#include "runtime/output_file.h"
#include "runtime/text.h"

#include <cctype>
#include <cstdlib>

namespace gradc::rt {
namespace {

constexpr size_t kMostHeader = 1u << 20;  // NumPy's own are about 100 bytes

struct NpyType {
  char kind;
  char size;
  FileType file_type;
  Dtype dtype;
  size_t bytes;
};

constexpr NpyType kTypes[] = {
    {'f', '4', FileType::kNative, Dtype::kF32, 4}, {'f', '8', FileType::kNative, Dtype::kF64, 8},
    {'f', '2', FileType::kNative, Dtype::kF16, 2}, {'i', '1', FileType::kI8, Dtype::kI32, 1},
    {'i', '2', FileType::kI16, Dtype::kI32, 2},    {'i', '4', FileType::kNative, Dtype::kI32, 4},
    {'i', '8', FileType::kNative, Dtype::kI64, 8}, {'u', '1', FileType::kNative, Dtype::kU8, 1},
    {'u', '2', FileType::kU16, Dtype::kI32, 2},    {'u', '4', FileType::kU32, Dtype::kI64, 4},
    {'u', '8', FileType::kU64, Dtype::kI64, 8},    {'b', '1', FileType::kNative, Dtype::kBool, 1},
};

struct Header {
  Str descr;
  bool fortran = false;
  Vec<int64_t> shape;
  bool has_descr = false;
  bool has_order = false;
  bool has_shape = false;
};

// A cursor over the dict literal.
class DictReader {
 public:
  DictReader(const char* text, size_t size) : at_(text), end_(text + size) {}

  bool read(Header* header) {
    if (!eat('{')) return false;
    while (!eat('}')) {
      Str key;
      if (!string(&key) || !eat(':') || !value(key, header)) return false;
      if (!eat(',')) {
        if (!eat('}')) return false;
        break;
      }
    }
    skip_space();
    return at_ == end_ && header->has_descr && header->has_order && header->has_shape;
  }

 private:
  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t'))
      ++at_;
  }
  bool eat(char c) {
    skip_space();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  bool word(const char* text) {
    skip_space();
    const size_t n = strlen(text);
    if (static_cast<size_t>(end_ - at_) < n || memcmp(at_, text, n) != 0) return false;
    at_ += n;
    return true;
  }
  bool string(Str* out) {
    skip_space();
    if (at_ == end_ || (*at_ != '\'' && *at_ != '"')) return false;
    const char quote = *at_++;
    const char* first = at_;
    while (at_ < end_ && *at_ != quote)
      ++at_;
    if (at_ == end_) return false;
    *out = Str(first, static_cast<size_t>(at_ - first));
    ++at_;
    return true;
  }
  bool integer(int64_t* out) {
    skip_space();
    int64_t value = 0;
    const char* first = at_;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9') {
      if (__builtin_mul_overflow(value, int64_t{10}, &value) ||
          __builtin_add_overflow(value, int64_t{*at_ - '0'}, &value)) {
        return false;
      }
      ++at_;
    }
    const bool some = at_ > first;
    if (some && at_ < end_ && *at_ == 'L') ++at_;  // Python 2 wrote long integers so
    *out = value;
    return some;
  }
  bool value(const Str& key, Header* header) {
    if (key == "descr") {
      header->has_descr = true;
      return string(&header->descr);
    }
    if (key == "fortran_order") {
      header->has_order = true;
      header->fortran = word("True");
      return header->fortran || word("False");
    }
    if (key == "shape") {
      header->has_shape = true;
      return shape(&header->shape);
    }
    return false;
  }
  bool shape(Vec<int64_t>* dims) {
    if (!eat('(')) return false;
    while (!eat(')')) {
      int64_t size = 0;
      if (dims->size() == 32 || !integer(&size)) return false;
      dims->push(size);
      if (!eat(',')) return eat(')');
    }
    return true;
  }

  const char* at_;
  const char* end_;
};

// Column-major to row-major: walks the output in order, the input by its strides.
Bytes from_fortran(const Bytes& data, Span<const int64_t> dims, size_t element_bytes,
                   size_t count) {
  Bytes out(data.size());
  Vec<size_t> index(dims.size());
  for (size_t i = 0; i < count; ++i) {
    size_t source = 0;
    size_t stride = 1;
    for (size_t d = 0; d < dims.size(); ++d) {
      source += index[d] * stride;
      stride *= static_cast<size_t>(dims[d]);
    }
    memcpy(out.data() + i * element_bytes, data.data() + source * element_bytes, element_bytes);
    for (size_t d = dims.size(); d-- > 0;) {
      if (++index[d] < static_cast<size_t>(dims[d])) break;
      index[d] = 0;
    }
  }
  return out;
}

const NpyType* find_type(const Str& descr) {
  if (descr.size() != 3 || strchr("<>|=", descr[0]) == nullptr) return nullptr;
  for (const NpyType& type : kTypes) {
    if (type.kind == descr[1] && type.size == descr[2]) return &type;
  }
  return nullptr;
}

// Reads up to the first element; *dict is the header's text.
Status read_preamble(ByteStream& stream, const char* path, Bytes* dict) {
  uint8_t head[12];
  size_t got = 0;
  GRADC_RT_TRY(stream.read(head, 10, &got));
  if (got < 10 || memcmp(head, "\x93NUMPY", 6) != 0) {
    return error("%s: not an .npy file: it does not begin with \\x93NUMPY", path);
  }
  const bool wide = head[6] >= 2;
  if (wide) GRADC_RT_TRY(stream.read(head + 10, 2, &got));
  if (head[6] < 1 || head[6] > 3 || (wide && got < 2)) {
    return error("%s: .npy format version is %d.%d, expected 1.0 to 3.0", path, head[6], head[7]);
  }
  size_t length = head[8] | (static_cast<size_t>(head[9]) << 8);
  if (wide) length |= (static_cast<size_t>(head[10]) << 16) | (static_cast<size_t>(head[11]) << 24);
  if (length > kMostHeader) {
    return error("%s: .npy header says that it has %zu bytes, at most %zu were expected", path,
                 length, kMostHeader);
  }
  dict->resize(length);
  GRADC_RT_TRY(stream.read(dict->data(), length, &got));
  if (got < length) {
    return error("%s: .npy header is cut off: it needs %zu bytes, the file has %zu", path, length,
                 got);
  }
  return {};
}

}  // namespace

Status parse_npy(const uint8_t* bytes, size_t size, const char* path, Array* out) {
  ByteStream stream;
  GRADC_RT_TRY(stream.open({bytes, size}, path));
  return read_npy(stream, path, out);
}

Status read_npy(ByteStream& stream, const char* path, Array* out) {
  out->source = Str(path);
  Bytes dict;
  GRADC_RT_TRY(read_preamble(stream, path, &dict));
  Header header;
  DictReader reader(reinterpret_cast<const char*>(dict.data()), dict.size());
  if (!reader.read(&header)) {
    return error(
        "%s: .npy header is not a dict of 'descr', 'fortran_order' and 'shape' "
        "(structured types are not supported)",
        path);
  }
  const NpyType* type = find_type(header.descr);
  if (type == nullptr) {
    return error(
        "%s: .npy element type '%s' is not supported, expected f2 f4 f8 i1 i2 i4 i8 u1 u2 "
        "u4 u8 b1",
        path, shown(header.descr).c_str());
  }
  size_t count = 0;
  size_t need = 0;
  size_t have = 0;
  Bytes data;
  const bool fits = checked_size(header.shape.span(), type->bytes, &count, &need);
  GRADC_RT_TRY(stream.read_exactly(fits ? need : 0, &data, &have));
  if (!fits || have != need) {
    return error("%s: .npy header says '%s' %s, which needs %s bytes of data, the file has %zu",
                 path, header.descr.c_str(), dims_text(header.shape.span()).c_str(),
                 fits ? format("%zu", need).c_str() : "more than 2^62", have);
  }
  if (header.descr[0] == '>' && type->bytes > 1) swap_bytes(data.data(), type->bytes, count);
  if (header.fortran && header.shape.size() > 1) {
    data = from_fortran(data, header.shape.span(), type->bytes, count);
  }
  out->dims = static_cast<Vec<int64_t>&&>(header.shape);
  if (type->file_type != FileType::kNative) return widen(type->file_type, count, data, out);
  out->dtype = type->dtype;
  out->data = static_cast<Bytes&&>(data);
  return {};
}

Status write_npy(const char* path, const Array& array) {
  const char* descr = "<f4";
  switch (array.dtype) {
    case Dtype::kF32:
    case Dtype::kBF16:
      break;
    case Dtype::kF64:
      descr = "<f8";
      break;
    case Dtype::kF16:
      descr = "<f2";
      break;
    case Dtype::kI32:
      descr = "<i4";
      break;
    case Dtype::kI64:
      descr = "<i8";
      break;
    case Dtype::kU8:
      descr = "|u1";
      break;
    case Dtype::kBool:
      descr = "|b1";
      break;
  }
  Str dict = format("{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (int64_t d : array.dims)
    dict.appendf("%lld, ", static_cast<long long>(d));
  dict.append("), }");
  while ((10 + dict.size() + 1) % 64 != 0)
    dict.push(' ');
  dict.push('\n');
  const size_t length = dict.size();
  const char preamble[10] = {'\x93',
                             'N',
                             'U',
                             'M',
                             'P',
                             'Y',
                             1,
                             0,
                             static_cast<char>(length & 255),
                             static_cast<char>(length >> 8)};
  OutputFile file;
  GRADC_RT_TRY(file.open(path));
  GRADC_RT_TRY(file.write(preamble, sizeof preamble));
  GRADC_RT_TRY(file.write(dict.c_str(), dict.size()));
  if (array.dtype == Dtype::kBF16) {
    Vec<float> wide(array.count());
    for (size_t i = 0; i < wide.size(); ++i)
      wide[i] = static_cast<float>(load_f64(array.data.data(), array.dtype, i));
    GRADC_RT_TRY(file.write(wide.data(), wide.size() * sizeof(float)));
  } else {
    GRADC_RT_TRY(file.write(array.data.data(), array.data.size()));
  }
  return file.commit();
}

}  // namespace gradc::rt
