// Source text and positions. Lines end at "\n"; a "\r" before it is not shown.
#include "support/source_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sys/stat.h>

namespace gradc {

SourceFile::SourceFile(std::string path, std::string text)
    : path_(std::move(path)), text_(std::move(text)) {
  line_begins_.push_back(0);
  for (size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') line_begins_.push_back(i + 1);
  }
}

LineColumn SourceFile::line_column(size_t byte) const {
  byte = std::min(byte, text_.size());
  const size_t line = line_number(byte);
  size_t column = 1;
  for (size_t i = line_begins_[line - 1]; i < byte; ++i) {
    const bool continuation = (static_cast<unsigned char>(text_[i]) & 0xC0U) == 0x80U;
    if (!continuation) ++column;
  }
  return {line, column};
}

size_t SourceFile::line_number(size_t byte) const {
  const auto after = std::upper_bound(line_begins_.begin(), line_begins_.end(), byte);
  return static_cast<size_t>(after - line_begins_.begin());
}

std::string_view SourceFile::line(size_t line_number) const {
  const size_t begin = line_begin(line_number);
  size_t end = line_number < line_begins_.size() ? line_begins_[line_number] - 1 : text_.size();
  if (end > begin && text_[end - 1] == '\r') --end;
  return std::string_view(text_).substr(begin, end - begin);
}

Result<SourceFile> read_source_file(const std::string& path, size_t max_bytes) {
  const Place place{.file = path};
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return make_error(DiagKind::kFileNotFound, place, "no such file: \"{}\"", path);
    }
    return make_error(DiagKind::kFileUnreadable, place, "cannot read \"{}\": {}", path,
                      std::strerror(errno));
  }
  if (S_ISDIR(info.st_mode)) {
    return make_error(DiagKind::kFileUnreadable, place, "\"{}\" is a directory, not a file", path);
  }
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) {
    return make_error(DiagKind::kFileUnreadable, place, "cannot open \"{}\": {}", path,
                      std::strerror(errno));
  }
  // A device may never end; a pipe is hardly ever larger.
  if (!S_ISREG(info.st_mode)) max_bytes = std::min(max_bytes, size_t{64} << 20);
  std::string text;
  std::string block(size_t{1} << 16, '\0');
  while (const size_t count = std::fread(block.data(), 1, block.size(), file.get())) {
    text.append(block, 0, count);
    if (text.size() > max_bytes) {
      return make_error(DiagKind::kFileUnreadable, place, "\"{}\" is larger than {} bytes", path,
                        max_bytes);
    }
  }
  if (std::ferror(file.get())) {
    return make_error(DiagKind::kFileUnreadable, place, "reading \"{}\" failed: {}", path,
                      std::strerror(errno));
  }
  return SourceFile(path, std::move(text));
}

const SourceFile& SourceSet::add(SourceFile file) {
  return files_.emplace_back(std::move(file));
}

const SourceFile* SourceSet::find(std::string_view path) const {
  for (const SourceFile& file : files_) {
    if (file.path() == path) return &file;
  }
  return nullptr;
}

}  // namespace gradc
