// CSV, record by record: fields are views into a buffer of a few records, so a file takes no memory
// but for what its columns become.
#pragma once

#include "runtime/byte_stream.h"

namespace gradc::rt {

/// One cell of the current record; valid until the next record is read.
struct CsvField {
  const char* text = nullptr;
  size_t size = 0;
};

/// RFC 4180 and what spreadsheets make of it: fields may be quoted, quotes doubled inside; lines
/// end with LF, CRLF or CR; UTF-8 with or without a byte-order mark, or UTF-16 with one.
class CsvReader {
 public:
  CsvReader(ByteStream& bytes, const char* path, char separator, bool quotes = true)
      : bytes_(bytes), path_(path), separator_(separator), quotes_(quotes) {}

  /// The next record that is not blank; *more is false at the end.
  Status next(bool* more);
  const Vec<CsvField>& fields() const { return fields_; }
  /// The file's line on which the record begins.
  size_t line() const { return line_; }

 private:
  enum class Encoding { kUnknown, kUtf8, kUtf16Little, kUtf16Big };
  enum class Scan { kRecord, kNeedsMore, kEnd };

  Status refill();
  Status decode(Span<const uint8_t> block);
  Status decode_utf16(Span<const uint8_t> block);
  Status find_encoding(Span<const uint8_t>* block);
  void append_code(uint32_t code);
  Scan scan();
  bool scan_quoted(size_t* at, CsvField* field);
  size_t end_of_plain(size_t at) const;
  void unescape(CsvField* field);

  ByteStream& bytes_;
  const char* path_;
  char separator_;
  bool quotes_;
  Encoding encoding_ = Encoding::kUnknown;
  Vec<char> buffer_;       // UTF-8; what is before at_ has been read
  size_t at_ = 0;          // where the next record begins
  bool ended_ = false;     // the buffer holds the rest of the file
  bool has_zero_ = false;  // a zero byte was met
  uint8_t odd_byte_ = 0;   // UTF-16: the half of a unit, the first half of a pair
  bool has_odd_byte_ = false;
  uint32_t high_ = 0;
  Vec<CsvField> fields_;
  Vec<bool> doubled_;       // fields with doubled quotes inside
  size_t line_ = 0;         // of the current record
  size_t next_line_ = 1;    // of the record at at_
  size_t quote_line_ = 0;   // where a quoted field without an end begins
  size_t damage_line_ = 0;  // text after a closing quote
};

/// Cells that were wrong, told once for each column: the first, and how many more there are.
struct CsvTrouble {
  size_t count = 0;
  size_t line = 0;
  Str text;  // "holds "two", a number was expected"

  void note(size_t at_line, const char* pattern, ...) __attribute__((format(printf, 3, 4)));
};

/// Without spaces around it.
CsvField csv_trimmed(CsvField field);
/// The whole cell as a number; spaces around it are allowed.
bool csv_number(CsvField field, double* out);
/// What tables write where there is nothing: an empty cell, "NA", "N/A", "NaN", "null", "none",
/// "?", large or small. `field` is trimmed.
bool csv_is_missing(CsvField field);

/// Distinct texts, numbered as they are met.
class CsvTexts {
 public:
  int32_t number(CsvField field, size_t line);
  const Vec<Str>& texts() const { return texts_; }
  /// The line on which each first stood.
  size_t line(size_t text) const { return lines_[text]; }

 private:
  void grow();

  Vec<Str> texts_;
  Vec<size_t> lines_;
  Vec<uint64_t> hashes_;
  Vec<int32_t> slots_;  // open addressing: number + 1, or 0
};

}  // namespace gradc::rt
