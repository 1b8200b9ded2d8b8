// Reading and inflating in blocks.
#include "runtime/byte_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

namespace gradc::rt {
namespace {

constexpr size_t kBlock = 256u << 10;

Span<const uint8_t> rest(Span<const uint8_t> bytes, size_t first) {
  return {bytes.data() + first, bytes.size() - first};
}

}  // namespace

ByteStream::~ByteStream() {
  release(this);
}

void ByteStream::release(void* self) {
  ByteStream* stream = static_cast<ByteStream*>(self);
  if (stream->descriptor_ >= 0) close(stream->descriptor_);
  stream->descriptor_ = -1;
  if (stream->inflate_ == nullptr) return;
  inflateEnd(static_cast<z_stream*>(stream->inflate_));
  free(stream->inflate_);
  stream->inflate_ = nullptr;
}

Status ByteStream::open(const char* path) {
  name_ = Str(path);
  descriptor_ = ::open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) return error("%s: cannot open: %s", path, strerror(errno));
  struct stat info;
  if (fstat(descriptor_, &info) != 0) return error("%s: %s", path, strerror(errno));
  if (S_ISDIR(info.st_mode)) return error("%s: is a directory, a file was expected", path);
  buffer_.reserve(kBlock);
  return start();
}

Status ByteStream::open(Span<const uint8_t> bytes, const char* name) {
  name_ = Str(name);
  memory_ = bytes;
  return start();
}

Status ByteStream::start() {
  GRADC_RT_TRY(fill());
  packed_ = input_.size() >= 2 && input_[0] == 0x1F && input_[1] == 0x8B;
  return {};
}

Status ByteStream::fill() {
  if (descriptor_ < 0) {
    const size_t count = std::min<size_t>(memory_.size(), 1u << 30);
    input_ = {memory_.data(), count};
    memory_ = rest(memory_, count);
    ended_ = count == 0;
    return {};
  }
  size_t filled = 0;
  while (filled < 2 || (filled < kBlock && filled % 4096 != 0)) {  // pipes give what they have
    const ssize_t n = ::read(descriptor_, buffer_.data() + filled, kBlock - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error("%s: cannot read: %s", name_.c_str(), strerror(errno));
    if (n == 0) break;
    filled += static_cast<size_t>(n);
  }
  input_ = {buffer_.data(), filled};
  ended_ = filled == 0;
  return {};
}

Status ByteStream::next(Span<const uint8_t>* block) {
  if (input_.empty() && !ended_) GRADC_RT_TRY(fill());
  if (!packed_) {
    *block = input_;
    input_ = {};
    return {};
  }
  output_.clear();
  while (output_.empty() && !(input_.empty() && ended_ && inflate_ == nullptr)) {
    GRADC_RT_TRY(inflate_block());
  }
  *block = output_.span();
  return {};
}

// One step of inflation: a block of output, or the end of a member.
Status ByteStream::inflate_block() {
  if (input_.empty() && !ended_) GRADC_RT_TRY(fill());
  if (inflate_ == nullptr) {
    if (consumed_ > 0) {  // zero padding after the last member is common and allowed by gzip itself
      size_t zeros = 0;
      while (zeros < input_.size() && input_[zeros] == 0)
        ++zeros;
      consumed_ += zeros;
      input_ = rest(input_, zeros);
    }
    if (input_.empty()) return {};
    // Not grow_memory: this is given back with zlib's own memory, whatever happens.
    void* fresh = calloc(1, sizeof(z_stream));
    if (fresh == nullptr) return out_of_memory(sizeof(z_stream));
    if (inflateInit2(static_cast<z_stream*>(fresh), 16 + MAX_WBITS) != Z_OK) {
      free(fresh);
      return out_of_memory(0);
    }
    inflate_ = fresh;
  }
  z_stream& stream = *static_cast<z_stream*>(inflate_);
  output_.reserve(kBlock);
  stream.next_in = const_cast<Bytef*>(input_.data());
  stream.avail_in = static_cast<uInt>(input_.size());
  stream.next_out = output_.data();
  stream.avail_out = kBlock;
  const int code = inflate(&stream, Z_NO_FLUSH);
  const size_t taken = input_.size() - stream.avail_in;
  consumed_ += taken;
  input_ = rest(input_, taken);
  output_.set_size_within_capacity(kBlock - stream.avail_out);
  if (code == Z_MEM_ERROR) return out_of_memory(0);
  const bool cut_off = (code == Z_OK || code == Z_BUF_ERROR) && ended_ && output_.empty();
  if (cut_off || (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END)) {
    const char* reason = cut_off                 ? "the stream ends too early"
                         : stream.msg != nullptr ? stream.msg
                                                 : "the stream is damaged";
    return error("%s: gzip data cannot be unpacked: %s (after %zu bytes)", name_.c_str(), reason,
                 consumed_);
  }
  if (code == Z_STREAM_END) {
    inflateEnd(&stream);
    free(inflate_);
    inflate_ = nullptr;
  }
  return {};
}

Status ByteStream::read(uint8_t* out, size_t count, size_t* got) {
  *got = 0;
  while (*got < count) {
    if (ready_.empty()) {
      GRADC_RT_TRY(next(&ready_));
      if (ready_.empty()) return {};
    }
    const size_t part = std::min(count - *got, ready_.size());
    memcpy(out + *got, ready_.data(), part);
    ready_ = rest(ready_, part);
    *got += part;
  }
  return {};
}

Status ByteStream::read_exactly(size_t count, Bytes* out, size_t* have) {
  out->clear();
  *have = 0;
  while (*have < count) {
    const size_t part = std::min(count - *have, std::max<size_t>(kBlock, *have));
    out->reserve(*have + part);
    size_t got = 0;
    GRADC_RT_TRY(read(out->data() + *have, part, &got));
    *have += got;
    out->set_size_within_capacity(*have);
    if (got < part) return {};
  }
  *have += ready_.size();
  for (int i = 0; i < 4; ++i) {  // enough for a message: a bomb is not unpacked for it
    Span<const uint8_t> block;
    GRADC_RT_TRY(next(&block));
    *have += block.size();
  }
  return {};
}

}  // namespace gradc::rt
