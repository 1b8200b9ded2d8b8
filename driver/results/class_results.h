// What a classification got right and wrong, over all positions that count: sums that are added up
// position by position, in double and in the order of the data, so that they depend on neither
// batches nor threads; and, for curves, the scores of all of them.
#pragma once

#include "driver/results/curves.h"
#include "support/json.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gradc::results {

/// Scores of one output that are held for its curves, in bytes (8 each), at most.
inline constexpr int64_t kMostHeldBytes = int64_t{512} << 20;
/// Of more classes there is no matrix and there are no curves: pairs that are confused are counted.
inline constexpr size_t kMostMatrixClasses = 200;
/// So many different pairs at most; what comes later is not told apart.
inline constexpr size_t kMostPairs = size_t{1} << 20;
/// Classes of which numbers of their own are told, the worst by F1 where there are more.
inline constexpr size_t kMostToldClasses = 200;
inline constexpr size_t kMostListed = 20;  ///< pairs that are confused, confident mistakes

/// Where a prediction stands.
struct DataPlace {
  int64_t example = 0;
  int64_t position = 0;  ///< in the example, where it has several
};

enum class ClassKind : uint8_t {
  kTwo,     ///< one unit: how much it is the second class
  kMany,    ///< a unit for each class
  kLabels,  ///< a unit for each label, there or not whatever the others are
};

struct ClassTask {
  ClassKind kind = ClassKind::kMany;
  bool logits = false;   ///< units are before their softmax or sigmoid
  size_t classes = 2;    ///< labels of kLabels
  int64_t expected = 0;  ///< positions at most
};

/// A wrong prediction.
struct Mistake {
  DataPlace place;
  size_t truth = 0;
  size_t guess = 0;  ///< of labels: 1 where it was guessed to be there, else 0
  double probability = 0;
};

class ClassResults {
 public:
  explicit ClassResults(const ClassTask& task);

  /// A position of the classes kTwo and kMany: its units, no NaN among them.
  void add(std::span<const double> units, size_t truth, DataPlace place);
  /// Of labels: whether each is there.
  void add(std::span<const double> units, const std::vector<bool>& truth, DataPlace place);

  /// Members of an output's results (driver/results/evaluation.h). Where mistakes are, `where`
  /// adds.
  Json json(const std::vector<std::string>& names) const;
  const std::vector<Mistake>& mistakes() const { return mistakes_; }

 private:
  struct Bin {
    double count = 0, confidence = 0, right = 0;
  };
  bool held() const { return holds_; }
  void note_mistake(const Mistake& mistake);
  void note_confidence(double confidence, bool right);
  void count(size_t truth, size_t guess);
  Json class_rows(std::vector<Curves>& curves) const;
  void put_agreement(Json& out) const;
  Json averages(const std::vector<Curves>& curves) const;
  Json confused() const;
  Json calibration() const;
  Curves curves(size_t of) const;

  ClassTask task_;
  bool holds_ = false;
  double positions_ = 0;
  double right_ = 0;
  double log_loss_ = 0;
  double brier_ = 0;
  std::vector<double> present_, guessed_, hits_;  ///< of each class
  std::vector<int64_t> matrix_;                   ///< [true][guessed]; empty: pairs_
  std::unordered_map<uint64_t, int64_t> pairs_;
  int64_t pairs_left_out_ = 0;
  std::vector<Bin> bins_;
  std::vector<Mistake> mistakes_;  ///< the most confident first
  std::vector<double> scores_;     ///< [position][unit], in the order of probabilities
  std::vector<uint32_t> truths_;   ///< [position], or of labels [position][unit]
};

}  // namespace gradc::results
