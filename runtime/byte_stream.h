// A file's bytes block by block, inflated on the way when they are gzip, so that no reader has to
// hold a file twice and none is made to by a small file that unpacks to a large one.
#pragma once

#include "runtime/file.h"
#include "runtime/memory.h"

namespace gradc::rt {

class ByteStream {
 public:
  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  ~ByteStream();

  Status open(const char* path);
  /// Over bytes in memory, which must stay; `name` is for messages.
  Status open(Span<const uint8_t> bytes, const char* name);
  /// The next bytes, valid until the next call; none at the end.
  Status next(Span<const uint8_t>* block);
  /// Up to `count` bytes into `out`; fewer only at the end.
  Status read(uint8_t* out, size_t count, size_t* got);
  /// `count` bytes into `out`, whose memory grows with what the file really has; *have is how many
  /// bytes the file had at this place: fewer, or some more (not all of them are counted).
  Status read_exactly(size_t count, Bytes* out, size_t* have);

 private:
  static void release(void* self);
  Status fill();  // input_ is empty: the next bytes of the file
  Status start();
  Status inflate_block();

  Str name_;
  int descriptor_ = -1;
  Span<const uint8_t> memory_;  // what is left of open(bytes)
  Bytes buffer_;                // packed or plain bytes of the file
  Span<const uint8_t> input_;   // what is left of them
  bool ended_ = false;          // the file has no more
  bool packed_ = false;
  void* inflate_ = nullptr;  // z_stream of the member being read
  size_t consumed_ = 0;
  Bytes output_;               // unpacked bytes
  Span<const uint8_t> ready_;  // what read() has left of the last block
  Held held_{&ByteStream::release, this};
};

}  // namespace gradc::rt
