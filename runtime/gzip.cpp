// Inflating through zlib. Output grows with what the stream really gives (deflate expands at most
// about 1032 times), so a lying header cannot make us allocate more than the file can produce.
#include "runtime/byte_stream.h"
#include "runtime/memory.h"

#include <algorithm>
#include <zlib.h>

namespace gradc::rt {
namespace {

/// Ends zlib's stream in any case.
class Inflating {
 public:
  explicit Inflating(z_stream* stream) : stream_(stream) {}
  Inflating(const Inflating&) = delete;
  Inflating& operator=(const Inflating&) = delete;
  ~Inflating() { end(this); }

 private:
  static void end(void* self) {
    Inflating* it = static_cast<Inflating*>(self);
    if (it->stream_ != nullptr) inflateEnd(it->stream_);
    it->stream_ = nullptr;
  }

  z_stream* stream_;
  Held held_{&Inflating::end, this};
};

Status cannot_start(int code, const char* name) {
  if (code == Z_MEM_ERROR) return out_of_memory(0);
  return internal_error("%s: zlib did not start", name);
}

const char* zlib_reason(int code, const z_stream& stream) {
  if (stream.msg != nullptr) return stream.msg;
  return code == Z_BUF_ERROR || code == Z_OK ? "the stream ends too early"
                                             : "the stream is damaged";
}

Status read_all(ByteStream& stream, Bytes* out) {
  out->clear();
  while (true) {
    Span<const uint8_t> block;
    GRADC_RT_TRY(stream.next(&block));
    if (block.empty()) return {};
    out->append(block.data(), block.size());
  }
}

}  // namespace

Status gunzip(const Bytes& packed, const char* name, Bytes* out) {
  ByteStream stream;
  GRADC_RT_TRY(stream.open(packed.span(), name));
  return read_all(stream, out);
}

Status inflate_raw(const uint8_t* packed, size_t packed_bytes, size_t bytes, const char* name,
                   uint8_t* out) {
  z_stream stream{};
  const int started = inflateInit2(&stream, -MAX_WBITS);
  if (started != Z_OK) return cannot_start(started, name);
  const Inflating owner(&stream);
  size_t consumed = 0;
  size_t produced = 0;
  int code = Z_OK;
  while (code == Z_OK) {
    const size_t feed = std::min<size_t>(packed_bytes - consumed, 1u << 30);
    const size_t room = std::min<size_t>(bytes - produced, 1u << 30);
    uint8_t overflow;  // one byte of room when the output is full shows a stream that is too long
    stream.next_in = const_cast<Bytef*>(packed + consumed);
    stream.avail_in = static_cast<uInt>(feed);
    stream.next_out = room > 0 ? out + produced : &overflow;
    stream.avail_out = room > 0 ? static_cast<uInt>(room) : 1;
    const uInt offered = stream.avail_out;
    code = inflate(&stream, Z_NO_FLUSH);
    consumed += feed - stream.avail_in;
    if (room == 0 && stream.avail_out == 0) {
      return error("%s: deflate data unpacks to more than the %zu bytes its header states", name,
                   bytes);
    }
    if (room > 0) produced += offered - stream.avail_out;
    if (code == Z_OK && feed == stream.avail_in && offered == stream.avail_out) break;
  }
  Status status;
  if (code != Z_STREAM_END) {
    status = error("%s: deflate data cannot be unpacked: %s", name, zlib_reason(code, stream));
  } else if (produced != bytes) {
    status = error("%s: deflate data unpacks to %zu bytes, its header states %zu", name, produced,
                   bytes);
  }
  if (code == Z_MEM_ERROR) return out_of_memory(0);
  return status;
}

Status read_maybe_gzip(const char* path, Bytes* out) {
  ByteStream stream;
  GRADC_RT_TRY(stream.open(path));
  return read_all(stream, out);
}

}  // namespace gradc::rt
