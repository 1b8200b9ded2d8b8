// Arithmetic that a person writes for a loss: "mean(abs(target - output)) + 0.1 * mean(code^2)"
// (docs/schema.md, "Losses of one's own"). Here is its text form; frontend/formula_builder.h makes
// ops of it.
#pragma once

#include "support/diagnostic.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc {

/// Bytes of a formula's text.
struct FormulaRange {
  size_t begin = 0;
  size_t end = 0;
};

/// One of the subscripts of x[1:, 0]: elements first to last of an axis, the last not among them,
/// or one element, whose axis is gone. Negative numbers count from the end.
struct FormulaSubscript {
  std::optional<int64_t> first{};
  std::optional<int64_t> last{};
  bool one = false;  ///< `first` is the element
  FormulaRange range{};
};

struct FormulaNode {
  enum class Kind : uint8_t {
    kNumber,
    kName,   ///< an output; in quotes it is never a word of the language
    kInfix,  ///< `text` is the operator: + - * / ^ < <= > >= == !=
    kMinus,
    kCall,       ///< `text` is the function
    kSubscript,  ///< of operands[0]
  };
  /// axis=-1, delta=0.5, from_logits=true
  struct Keyword {
    std::string name;
    double number = 0.0;
    bool is_truth = false;  ///< true or false, which `number` says
    FormulaRange range{};
  };

  Kind kind{};
  std::string text{};
  double number = 0.0;
  bool quoted = false;
  std::vector<FormulaNode> operands{};
  std::vector<Keyword> keywords{};
  std::vector<FormulaSubscript> subscripts{};
  FormulaRange range{};  ///< of the operator or the name; of everything in kSubscript
};

/// The longest text.
inline constexpr int kMostFormulaBytes = 10000;

struct Formula {
  std::string text;
  FormulaNode root;
};

/// The place of a part of a formula that stands in a JSON string.
Place place_in(Place text, FormulaRange range);

/// Null after a report (bad-value), at the place in the text. At most 64 levels and 1,000 names and
/// numbers.
std::shared_ptr<const Formula> parse_formula(const std::string& text, const Place& place,
                                             DiagnosticSink& sink);

}  // namespace gradc
