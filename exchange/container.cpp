#include "exchange/container.h"

#include "runtime/zip.h"
#include "support/utf8.h"

#include <filesystem>
#include <fstream>

namespace gradc::exchange {
namespace {

/// Keras's own rule: a member is at most this many times what is packed.
constexpr uint64_t kMaxInflation = 100;
constexpr uint64_t kFreeBytes = uint64_t{64} << 20U;

bool is_h5(std::string_view bytes) {
  return bytes.starts_with(std::string_view("\x89HDF\r\n\x1a\n", 8));
}

std::string beginning_of(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return {};
  std::ifstream file(path, std::ios::binary);
  std::string bytes(8, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  return bytes;
}

Diagnostic from(const rt::Status& status, const std::string& path) {
  return make_error(DiagKind::kInvalidData, {.file = path}, "{}", status.text.c_str());
}

}  // namespace

std::string file_in_folder(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return path;
  const std::string inside = (std::filesystem::path(path) / "model.json").string();
  return std::filesystem::exists(inside, error) ? inside : path;
}

ContainerKind container_kind(const std::string& path) {
  const std::string file = file_in_folder(path);
  const std::string begin = beginning_of(file);
  if (is_h5(begin)) return ContainerKind::kH5;
  if (begin.starts_with("PK\x03\x04") && !file.ends_with(".npz")) return ContainerKind::kKeras;
  if (!file.ends_with(".json")) return ContainerKind::kOther;
  constexpr size_t kMaxJsonBytes = size_t{128} << 20U;
  const auto text = read_source_file(file, kMaxJsonBytes);
  const bool manifest = text.ok() && text->text().find("\"weightsManifest\"") != std::string::npos;
  return manifest ? ContainerKind::kTfjs : ContainerKind::kOther;
}

Result<rt::Bytes> read_archive(const std::string& path) {
  rt::Bytes bytes;
  const rt::Status read = rt::read_file(path.c_str(), &bytes);
  if (!read.ok()) return from(read, path);
  return bytes;
}

Result<rt::Bytes> read_keras_member(const std::string& path, const rt::Bytes& archive,
                                    const std::string& member) {
  rt::Vec<rt::ZipMember> members;
  const rt::Status listed = rt::read_zip_directory(archive, path.c_str(), "a .keras", &members);
  if (!listed.ok()) return from(listed, path);
  for (const rt::ZipMember& one : members) {
    if (!(one.name == member.c_str())) continue;
    if (one.unpacked > kFreeBytes && one.unpacked / kMaxInflation > one.packed) {
      return make_error(DiagKind::kInvalidData, {.file = path},
                        "\"{}\" states {} bytes, but {} are stored", member, one.unpacked,
                        one.packed);
    }
    rt::Bytes content;
    const std::string where = path + "/" + member;
    const rt::Status unpacked = rt::unpack_zip_member(archive, where.c_str(), one, &content);
    if (!unpacked.ok()) return from(unpacked, path);
    return content;
  }
  return make_error(DiagKind::kInvalidData, {.file = path}, "the archive has no \"{}\"", member);
}

}  // namespace gradc::exchange
