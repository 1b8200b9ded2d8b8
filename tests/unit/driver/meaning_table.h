// Data whose columns, classes and characters are shuffled, missing or new, and what a model trained
// on other data must make of them: for the table of meaning_test.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gradc::test {

/// One file B for a model trained on a file A.
struct MeaningCase {
  std::string name{};  ///< "classes missing"
  std::string spec{};  ///< what --data gets for it
  bool refused = false;
  std::vector<std::string> named{};  ///< refused: what the message names
  bool same_rows = false;            ///< the rows of A again, so that resuming is right too
  std::string inputs{};  ///< the same examples as arrays, in A's order: --input, --target
  std::string csv{};     ///< a table: its file
};

struct MeaningModel {
  std::string json;
  std::string spec;  ///< A
  std::vector<MeaningCase> cases;
};

/// Three columns, three classes. Files are written into `folder`.
MeaningModel colour_model(const std::string& folder);
/// A text by characters.
MeaningModel text_model(const std::string& folder);

}  // namespace gradc::test
