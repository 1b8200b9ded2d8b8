#include "exchange/zip_writer.h"

#include <zlib.h>

namespace gradc::exchange {
namespace {

constexpr uint64_t kMaxBytes = 0xFFFFFFFE;  // beyond, zip needs another format
constexpr uint64_t kVersion = 20;
constexpr uint64_t kFirstDay = 0x21;  // 1 January 1980: what is the same has the same bytes

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    out += static_cast<char>(value >> (8 * i) & 0xFFU);
}

}  // namespace

void ZipWriter::add(std::string_view name, std::string_view content) {
  const auto* data = reinterpret_cast<const Bytef*>(content.data());
  const auto crc = static_cast<uint32_t>(crc32_z(crc32_z(0, nullptr, 0), data, content.size()));
  members_.push_back({std::string(name), crc, content.size(), bytes_.size()});
  put(bytes_, 0x04034B50, 4);
  put(bytes_, kVersion, 2);
  bytes_.append(6, '\0');  // no flags, stored, midnight
  put(bytes_, kFirstDay, 2);
  put(bytes_, crc, 4);
  put(bytes_, content.size(), 4);
  put(bytes_, content.size(), 4);
  put(bytes_, name.size(), 2);
  put(bytes_, 0, 2);
  bytes_ += name;
  bytes_ += content;
}

Result<std::string> ZipWriter::finish() {
  const uint64_t directory = bytes_.size();
  for (const Member& member : members_) {
    put(bytes_, 0x02014B50, 4);
    put(bytes_, kVersion, 2);
    put(bytes_, kVersion, 2);
    bytes_.append(6, '\0');
    put(bytes_, kFirstDay, 2);
    put(bytes_, member.crc, 4);
    put(bytes_, member.size, 4);
    put(bytes_, member.size, 4);
    put(bytes_, member.name.size(), 2);
    bytes_.append(12, '\0');  // no more fields, no comment, disk, attributes
    put(bytes_, member.offset, 4);
    bytes_ += member.name;
  }
  const uint64_t size = bytes_.size() - directory;
  put(bytes_, 0x06054B50, 4);
  put(bytes_, 0, 4);
  put(bytes_, members_.size(), 2);
  put(bytes_, members_.size(), 2);
  put(bytes_, size, 4);
  put(bytes_, directory, 4);
  put(bytes_, 0, 2);
  if (bytes_.size() > kMaxBytes) {
    return make_error(DiagKind::kTooLarge, {},
                      "an archive of {} bytes, but at most {} can be written", bytes_.size(),
                      kMaxBytes);
  }
  return std::move(bytes_);
}

}  // namespace gradc::exchange
