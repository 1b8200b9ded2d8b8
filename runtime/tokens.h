// Texts as the numbers that a model reads, and back. What a number stands for is a table: entry n
// is the bytes of token n. Of texts that may hold what the table lacks (words) the first two
// entries are kPadding, behind or before a short text, and kUnknown.
#pragma once

#include "runtime/csv.h"
#include "runtime/model_abi.h"

namespace gradc::rt {

constexpr int32_t kPadding = 0;  // the empty text
constexpr int32_t kUnknown = 1;  // "[UNK]"

/// The bytes that the text has, in byte order.
Vec<Str> used_bytes(Span<const uint8_t> text);
/// All 256.
Vec<Str> all_bytes();

/// The number of each byte of the text; the first one that the table lacks is refused with its
/// place. `where` is the file, or what else the text was given by.
Status number_characters(const char* where, Span<const uint8_t> text, const Vec<Str>& table,
                         Vec<int32_t>* out);

/// Texts cut into tokens as a data rule says; the table is made when all are there.
class TokenTexts {
 public:
  explicit TokenTexts(const gradc_rt_data& rule)
      : split_(rule.text_split), flags_(rule.text_flags) {}

  void add(const char* text, size_t size);
  size_t size() const { return ends_.size(); }
  const Str& token(size_t i) const { return distinct_.texts()[static_cast<size_t>(tokens_[i])]; }

  size_t tokens() const { return tokens_.size(); }
  /// Tokens of the first `texts` texts.
  size_t tokens_of(size_t texts) const { return texts > 0 ? ends_[texts - 1] : 0; }

  /// What is among the first `tokens` tokens, the most frequent first, equal ones in byte order; at
  /// most `most` entries (0: any number).
  Vec<Str> make_table(size_t tokens, size_t most) const;
  /// The same of the texts that are marked.
  Vec<Str> make_table(const Vec<uint8_t>& texts, size_t most) const;
  /// The numbers of all tokens of all texts, one text after the other.
  Vec<int32_t> numbers(const Vec<Str>& table) const;
  /// i32 [texts, length]: cut and filled up as the rule says.
  Bytes rows(const Vec<Str>& table, size_t length) const;

 private:
  void add_token(const char* text, size_t size);
  Vec<Str> table_of(const Vec<size_t>& count, size_t most) const;

  int64_t split_;
  int64_t flags_;
  CsvTexts distinct_;
  Vec<int32_t> tokens_;  // of `distinct_`
  Vec<size_t> ends_;     // of each text in tokens_
  Vec<char> token_;      // standardized
};

/// How a text is cut into words for an input: as its data rule says, or else small letters without
/// punctuation.
gradc_rt_data word_rule(const gradc_rt_tensor& input);

/// How many numbers an input or target can tell apart; 0: any.
size_t token_room(const gradc_rt_tensor& tensor);

}  // namespace gradc::rt
