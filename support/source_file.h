// The text of one input file, with byte offset -> line and column. Columns count characters (UTF-8
// code points).
#pragma once

#include "support/result.h"

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// A position as people count it: both from 1.
struct LineColumn {
  size_t line = 1;
  size_t column = 1;
};

class SourceFile {
 public:
  SourceFile(std::string path, std::string text);

  const std::string& path() const { return path_; }
  const std::string& text() const { return text_; }

  /// Line and column of a byte; offsets past the end give the place just after the last byte.
  LineColumn line_column(size_t byte) const;
  /// The line (from 1) of a byte.
  size_t line_number(size_t byte) const;
  /// The text of a line (from 1) without its line break.
  std::string_view line(size_t line_number) const;
  /// Byte offset of the first byte of a line (from 1).
  size_t line_begin(size_t line_number) const { return line_begins_.at(line_number - 1); }
  size_t num_lines() const { return line_begins_.size(); }

 private:
  std::string path_;
  std::string text_;
  std::vector<size_t> line_begins_;
};

/// Reads a whole file; kFileNotFound, kFileUnreadable (also for a directory or more than
/// `max_bytes`).
Result<SourceFile> read_source_file(const std::string& path, size_t max_bytes = size_t{1} << 30);

/// The files one command has read, so that diagnostics can show their lines. Addresses stay valid.
class SourceSet {
 public:
  const SourceFile& add(SourceFile file);
  /// The file of that path, or null when it was never read.
  const SourceFile* find(std::string_view path) const;

 private:
  std::deque<SourceFile> files_;
};

}  // namespace gradc
