// gradc new text: a language model of characters, bytes or words; or classes of texts in a column.
#include "runtime/csv_options.h"
#include "runtime/dataset.h"
#include "support/source_file.h"
#include "support/utf8.h"
#include "tools/gradc/draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <map>
#include <string_view>

namespace gradc::tool {

namespace {

constexpr size_t kMostFileBytes = size_t{1} << 30U;
constexpr size_t kLeastTokens = 1000;
constexpr size_t kLongText = 200'000;  ///< tokens that a larger model has use for
constexpr size_t kMostWords = 5000;
constexpr size_t kLongestRow = 256;

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/// As the runtime cuts words by default: small letters, no ASCII punctuation, white space between.
template <class Take>
void for_each_word(std::string_view text, const Take& take) {
  std::string word;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    if (is_space(c)) {
      if (!word.empty()) take(word);
      word.clear();
    } else if (static_cast<unsigned char>(c) >= 0x80 ||
               std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
  }
}

/// A text in the unit of a language model.
struct Corpus {
  std::string path, unit, spec;
  size_t tokens = 0;
  size_t known = 0;  ///< numbers that the model tells apart
};

Result<Corpus> read_corpus(const std::string& spec) {
  Corpus corpus;
  corpus.spec = spec;
  for (const char* unit : {"chars", "bytes", "words"}) {
    const size_t at = spec.rfind(std::string(":") + unit);
    const size_t behind = at + std::string_view(unit).size() + 1;
    if (at == std::string::npos || (behind < spec.size() && spec[behind] != ':')) continue;
    corpus.path = spec.substr(0, at);
    corpus.unit = unit;
  }
  if (corpus.unit.empty())
    return make_error(DiagKind::kInvalidData, {},
                      "\"{0}\" is no text: {0}:chars, {0}:bytes, {0}:words or "
                      "FILE.csv:target=COLUMN was expected",
                      printable(spec, 100));
  GRADC_TRY(const SourceFile file, read_source_file(corpus.path, kMostFileBytes));
  const std::string& text = file.text();
  if (corpus.unit == "words") {
    std::map<std::string, size_t> counts;
    for_each_word(text, [&](const std::string& word) { ++counts[word], ++corpus.tokens; });
    // Words that come once teach nothing; padding and unknown have numbers too.
    const auto again = static_cast<size_t>(
        std::ranges::count_if(counts, [](const auto& count) { return count.second > 1; }));
    corpus.known = std::clamp<size_t>(again + 2, 4, kMostWords);
  } else {
    std::bitset<256> used;
    for (const char c : text)
      used.set(static_cast<unsigned char>(c));
    corpus.tokens = text.size();
    corpus.known = corpus.unit == "bytes" ? 256 : used.count();
  }
  if (corpus.tokens < kLeastTokens)
    return make_error(DiagKind::kInvalidData, {}, "{}: {} {}, at least {} were expected",
                      printable(corpus.path, 200), corpus.tokens, corpus.unit, kLeastTokens);
  return corpus;
}

Json decoder_block() {
  const Json init = "$init";
  return {{"parameters", {{"init", {{"type", "random_normal"}, {"stddev", 0.02}}}}},
          {"layers",
           Json::array(
               {{{"type", "layer_norm"}},
                {{"type", "multi_head_attention"},
                 {"name", "attention"},
                 {"num_heads", 4},
                 {"key_dim", 32},
                 {"use_causal_mask", true},
                 {"kernel_initializer", init}},
                {{"type", "add"}, {"name", "attended"}, {"inputs", {"input", "attention"}}},
                {{"type", "layer_norm"}},
                {{"type", "dense"},
                 {"units", 512},
                 {"activation", "gelu"},
                 {"kernel_initializer", init}},
                {{"type", "dense"}, {"name", "out"}, {"units", 128}, {"kernel_initializer", init}},
                {{"type", "add"}, {"inputs", {"attended", "out"}}}})}};
}

/// Attention where there is much to read, recurrence where there is little.
void add_language_layers(const Corpus& corpus, size_t length, Json& model) {
  if (corpus.tokens < kLongText) {
    model["layers"] =
        Json::array({{{"type", "embedding"}, {"input_dim", corpus.known}, {"output_dim", 64}},
                     {{"type", "gru"}, {"units", 128}, {"return_sequences", true}},
                     {{"type", "dropout"}, {"rate", 0.2}},
                     {{"type", "dense"}, {"units", corpus.known}, {"name", "next"}}});
    return;
  }
  model["blocks"]["decoder"] = decoder_block();
  model["layers"] =
      Json::array({{{"type", "token_and_position_embedding"},
                    {"name", "embedding"},
                    {"vocabulary_size", corpus.known},
                    {"sequence_length", length},
                    {"embedding_dim", 128}},
                   {{"type", "block"}, {"block", "decoder"}, {"repeat", 4}, {"name", "decoder"}},
                   {{"type", "layer_norm"}},
                   {{"type", "dense"}, {"units", corpus.known}, {"name", "next"}}});
}

Result<Draft> draft_language(const std::string& spec) {
  GRADC_TRY(const Corpus corpus, read_corpus(spec));
  const size_t length = corpus.tokens < kLongText ? 32 : 64;
  Draft draft;
  draft.data = corpus.spec;
  draft.model["name"] = "text";
  draft.model["inputs"] =
      Json::array({{{"name", "text"}, {"shape", {length}}, {"dtype", "int32"}}});
  add_language_layers(corpus, length, draft.model);
  draft.model["training"] = {
      {"loss", {{"type", "sparse_categorical_crossentropy"}, {"from_logits", true}}},
      {"optimizer", {{"type", "adam"}, {"learning_rate", 0.002}, {"global_clipnorm", 1}}},
      {"metrics", {"accuracy"}},
      {"batch_size", 16},
      {"epochs", corpus.tokens < kLongText ? 30 : 5},
      {"validation_split", 0.1},
      {"early_stopping",
       {{"monitor", "val_loss"}, {"patience", 3}, {"restore_best_weights", true}}}};
  if (corpus.unit == "words")
    draft.model["data"]["text"]["text"] = {{"split", "whitespace"},
                                           {"max_tokens", std::max<size_t>(corpus.known, 3)}};
  draft.notes.push_back(fmt::format("{} {}, of which the model tells {} apart, in windows of {}",
                                    corpus.tokens, corpus.unit, corpus.known, length));
  draft.notes.push_back(
      "let it write: gradc generate MODEL.json --weights weights.safetensors "
      "--prompt TEXT --length 200");
  return draft;
}

size_t words_of(const std::string& text) {
  size_t count = 0;
  for_each_word(text, [&](const std::string&) { ++count; });
  return count;
}

/// The column of the most different texts that is no target.
const ColumnProfile* text_column(const TableProfile& table) {
  const ColumnProfile* found = nullptr;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const ColumnProfile& column = table.columns[c];
    if (table.dropped[c] || std::ranges::count(table.targets, c) > 0 ||
        column.texts <= column.numbers)
      continue;
    if (found == nullptr || column.distinct.size() > found->distinct.size()) found = &column;
  }
  return found;
}

/// Nineteen of twenty texts have room.
size_t usual_length(const ColumnProfile& column) {
  std::vector<size_t> lengths;
  for (const std::string& text : column.distinct)
    lengths.push_back(words_of(text));
  std::ranges::sort(lengths);
  const size_t most = lengths[lengths.size() * 19 / 20];
  return std::clamp<size_t>((most + 7) / 8 * 8, 8, kLongestRow);
}

Result<Draft> draft_classes(const std::string& spec) {
  GRADC_TRY(const TableProfile table, profile_table(spec));
  GRADC_TRY(const ColumnProfile* target, only_target(table, spec));
  const ColumnProfile* column = text_column(table);
  if (column == nullptr)
    return make_error(DiagKind::kInvalidData, {}, "{}: no column but the target holds texts",
                      printable(spec, 100));
  Draft draft;
  draft.data = spec + (table.splits ? "" : ":validation=0.15:test=0.15");
  const size_t length = usual_length(*column);
  draft.model["name"] = target_name(*target);
  draft.model["inputs"] =
      Json::array({{{"name", "words"}, {"shape", {length}}, {"dtype", "int32"}}});
  draft.model["layers"] = Json::array(
      {{{"type", "embedding"}, {"input_dim", kMostWords}, {"output_dim", 32}, {"mask_zero", true}},
       {{"type", "dropout"}, {"rate", 0.4}},
       {{"type", "lstm"}, {"units", 32}}});
  Json& training = draft.model["training"];
  training["loss"] = nullptr;
  training["optimizer"] = {{"type", "adam"}, {"learning_rate", 0.003}};
  add_output(*target, classes_of(*target, table.rows), draft);
  training["batch_size"] = 32;
  training["epochs"] = 20;
  training["early_stopping"] = {
      {"monitor", "val_loss"}, {"patience", 2}, {"restore_best_weights", true}};
  draft.model["data"]["words"]["text"] = {{"split", "whitespace"}, {"max_tokens", kMostWords}};
  draft.notes.push_back(fmt::format("column {} is read as texts: the first {} words of each",
                                    quoted(column->name), length));
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const ColumnProfile& other = table.columns[c];
    if (&other == column || &other == target || table.dropped[c]) continue;
    draft.data += ":drop=" + other.name;
    draft.notes.push_back(fmt::format("column {} is left out", quoted(other.name)));
  }
  return draft;
}

}  // namespace

Result<Draft> draft_text(const std::string& spec) {
  rt::Str path, options;
  return rt::is_table_spec(rt::Str(spec.c_str()), &path, &options) ? draft_classes(spec)
                                                                   : draft_language(spec);
}

}  // namespace gradc::tool
