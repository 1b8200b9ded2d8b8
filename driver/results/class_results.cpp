// Definitions are scikit-learn's: classification_report, cohen_kappa_score, matthews_corrcoef,
// log_loss, brier_score_loss; the calibration error is that of Guo et al. 2017.
#include "driver/results/class_results.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gradc::results {
namespace {

constexpr size_t kBins = 10;
// What log_loss takes for certain, of f32.
constexpr double kLeast = 1.1920928955078125e-07;

double over(double a, double b) {
  return b > 0 ? a / b : 0;
}

/// One class against the rest.
struct Report {
  double precision = 0, recall = 0, f1 = 0;
};

Report report_of(double hits, double guessed, double present) {
  return {over(hits, guessed), over(hits, present), over(2 * hits, guessed + present)};
}

Json to_json(const Report& report) {
  return {{"precision", report.precision}, {"recall", report.recall}, {"f1", report.f1}};
}

Json or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

double sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

/// -log of the probability of the second class, or of the first.
double two_class_loss(double unit, bool logits, bool second) {
  if (!logits) {
    const double p = std::clamp(unit, kLeast, 1 - kLeast);
    return -std::log(second ? p : 1 - p);
  }
  const double x = second ? unit : -unit;
  return std::log1p(std::exp(-std::abs(x))) + std::max(-x, 0.0);
}

/// log of each class's probability.
std::vector<double> log_softmax(std::span<const double> units) {
  const double most = *std::max_element(units.begin(), units.end());
  double sum = 0;
  for (const double unit : units)
    sum += std::exp(unit - most);
  const double all = most + std::log(sum);
  std::vector<double> logs(units.begin(), units.end());
  for (double& log : logs)
    log -= all;
  return logs;
}

}  // namespace

ClassResults::ClassResults(const ClassTask& task)
    : task_(task),
      present_(task.classes),
      guessed_(task.classes),
      hits_(task.classes),
      bins_(kBins) {
  const bool labels = task.kind == ClassKind::kLabels;
  const auto units = static_cast<int64_t>(task.kind == ClassKind::kTwo ? 1 : task.classes);
  holds_ = task.classes <= kMostMatrixClasses && task.expected <= kMostHeldBytes / 8 / units;
  if (task.classes <= kMostMatrixClasses && !labels) matrix_.resize(task.classes * task.classes);
}

void ClassResults::note_mistake(const Mistake& mistake) {
  const auto place = std::upper_bound(
      mistakes_.begin(), mistakes_.end(), mistake,
      [](const Mistake& a, const Mistake& b) { return a.probability > b.probability; });
  mistakes_.insert(place, mistake);
  if (mistakes_.size() > kMostListed) mistakes_.pop_back();
}

// Bins include their upper ends.
void ClassResults::note_confidence(double confidence, bool right) {
  size_t bin = 0;
  while (bin + 1 < kBins && confidence > static_cast<double>(bin + 1) / static_cast<double>(kBins))
    ++bin;
  bins_[bin].count += 1;
  bins_[bin].confidence += confidence;
  bins_[bin].right += right ? 1 : 0;
}

void ClassResults::count(size_t truth, size_t guess) {
  present_[truth] += 1;
  guessed_[guess] += 1;
  if (truth == guess) {
    hits_[truth] += 1;
    right_ += 1;
  }
  if (!matrix_.empty()) {
    ++matrix_[truth * task_.classes + guess];
    return;
  }
  if (truth == guess) return;
  const uint64_t pair = truth * task_.classes + guess;
  if (pairs_.size() < kMostPairs || pairs_.contains(pair)) {
    ++pairs_[pair];
  } else {
    ++pairs_left_out_;
  }
}

void ClassResults::add(std::span<const double> units, size_t truth, DataPlace place) {
  positions_ += 1;
  std::vector<double> scores(units.begin(), units.end());
  size_t guess = 0;
  double confidence = 0;
  if (task_.kind == ClassKind::kTwo) {
    const double p = task_.logits ? sigmoid(units[0]) : units[0];
    guess = units[0] > (task_.logits ? 0.0 : 0.5) ? 1 : 0;
    confidence = guess == 1 ? p : 1 - p;
    const double off = p - static_cast<double>(truth);
    brier_ += off * off;
    log_loss_ += two_class_loss(units[0], task_.logits, truth == 1);
    note_confidence(p, truth == 1);
  } else {
    if (task_.logits) scores = log_softmax(units);
    guess = static_cast<size_t>(std::max_element(units.begin(), units.end()) - units.begin());
    const auto p = [&](size_t c) { return task_.logits ? std::exp(scores[c]) : scores[c]; };
    for (size_t c = 0; c < units.size(); ++c) {
      const double off = p(c) - (c == truth ? 1 : 0);
      brier_ += off * off;
    }
    confidence = p(guess);
    log_loss_ -=
        task_.logits ? scores[truth] : std::log(std::clamp(scores[truth], kLeast, 1 - kLeast));
    note_confidence(confidence, guess == truth);
  }
  count(truth, guess);
  if (guess != truth) note_mistake({place, truth, guess, confidence});
  if (!holds_) return;
  scores_.insert(scores_.end(), scores.begin(), scores.end());
  truths_.push_back(static_cast<uint32_t>(truth));
}

void ClassResults::add(std::span<const double> units, const std::vector<bool>& truth,
                       DataPlace place) {
  positions_ += 1;
  bool all = true;
  for (size_t c = 0; c < units.size(); ++c) {
    const double p = task_.logits ? sigmoid(units[c]) : units[c];
    const bool guess = units[c] > (task_.logits ? 0.0 : 0.5);
    present_[c] += truth[c] ? 1 : 0;
    guessed_[c] += guess ? 1 : 0;
    hits_[c] += truth[c] && guess ? 1 : 0;
    all = all && guess == truth[c];
    const double off = p - (truth[c] ? 1 : 0);
    brier_ += off * off;
    log_loss_ += two_class_loss(units[c], task_.logits, truth[c]);
    note_confidence(p, truth[c]);
    if (guess != truth[c])
      note_mistake({place, c, guess ? size_t{1} : size_t{0}, guess ? p : 1 - p});
    if (holds_) truths_.push_back(truth[c] ? 1 : 0);
  }
  if (holds_) scores_.insert(scores_.end(), units.begin(), units.end());
  right_ += all ? 1 : 0;
}

Curves ClassResults::curves(size_t of) const {
  if (!holds_) return {};
  const size_t units = task_.kind == ClassKind::kTwo ? 1 : task_.classes;
  const size_t rows = scores_.size() / units;
  std::vector<Scored> scored(rows);
  for (size_t row = 0; row < rows; ++row) {
    switch (task_.kind) {
      case ClassKind::kTwo:
        scored[row] = {of == 1 ? scores_[row] : -scores_[row], truths_[row] == of};
        break;
      case ClassKind::kMany:
        scored[row] = {scores_[row * units + of], truths_[row] == of};
        break;
      case ClassKind::kLabels:
        scored[row] = {scores_[row * units + of], truths_[row * units + of] == 1};
        break;
    }
  }
  return curves_of(scored);
}

Json ClassResults::class_rows(std::vector<Curves>& all) const {
  std::vector<size_t> told(task_.classes);
  std::iota(told.begin(), told.end(), size_t{0});
  const auto f1 = [&](size_t c) { return report_of(hits_[c], guessed_[c], present_[c]).f1; };
  if (told.size() > kMostToldClasses) {
    std::erase_if(told, [&](size_t c) { return present_[c] + guessed_[c] == 0; });
    std::sort(told.begin(), told.end(), [&](size_t a, size_t b) {
      const double first = f1(a), second = f1(b);
      return first < second || (first == second && a < b);
    });
    told.resize(std::min(told.size(), kMostToldClasses));
  }
  Json rows = Json::array();
  for (const size_t c : told) {
    Json row = {{"class", c}};
    row.update(to_json(report_of(hits_[c], guessed_[c], present_[c])));
    row["support"] = static_cast<int64_t>(present_[c]);
    row["guessed"] = static_cast<int64_t>(guessed_[c]);
    row["hits"] = static_cast<int64_t>(hits_[c]);
    if (holds_) {
      const Curves& curve = all.emplace_back(curves(c));
      row["roc_auc"] = or_null(curve.roc_area);
      row["average_precision"] = or_null(curve.average_precision);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json ClassResults::averages(const std::vector<Curves>& curves) const {
  Report macro, weighted;
  double classes = 0, support = 0, hits = 0, guesses = 0;
  for (size_t c = 0; c < task_.classes; ++c) {
    support += present_[c];
    guesses += guessed_[c];
    hits += hits_[c];
    // As scikit-learn: a class that is neither there nor guessed is none; labels are all there.
    if (task_.kind != ClassKind::kLabels && present_[c] + guessed_[c] == 0) continue;
    const Report one = report_of(hits_[c], guessed_[c], present_[c]);
    classes += 1;
    for (double Report::* member : {&Report::precision, &Report::recall, &Report::f1}) {
      macro.*member += one.*member;
      weighted.*member += one.*member * present_[c];
    }
  }
  for (double Report::* member : {&Report::precision, &Report::recall, &Report::f1}) {
    macro.*member = over(macro.*member, classes);
    weighted.*member = over(weighted.*member, support);
  }
  Json out = {{"micro", to_json(report_of(hits, guesses, support))},
              {"macro", to_json(macro)},
              {"weighted", to_json(weighted)},
              {"support", static_cast<int64_t>(support)},
              {"classes_met", static_cast<int64_t>(classes)}};
  if (!holds_) return out;
  double area = 0, areas = 0, precision = 0, precisions = 0;
  for (const Curves& one : curves) {
    if (one.roc_area) area += *one.roc_area, areas += 1;
    if (one.average_precision) precision += *one.average_precision, precisions += 1;
  }
  out["macro"]["roc_auc"] = areas > 0 ? Json(area / areas) : Json(nullptr);
  out["macro"]["average_precision"] = precisions > 0 ? Json(precision / precisions) : Json(nullptr);
  return out;
}

void ClassResults::put_agreement(Json& out) const {
  double both = 0, present = 0, guessed = 0;
  for (size_t c = 0; c < task_.classes; ++c) {
    both += present_[c] * guessed_[c];
    present += present_[c] * present_[c];
    guessed += guessed_[c] * guessed_[c];
  }
  const double all = positions_ * positions_;
  const double chance = over(both, all);
  const double spreads = (all - present) * (all - guessed);
  const double share = over(right_, positions_);
  out["kappa"] = chance < 1 && positions_ > 0 ? Json((share - chance) / (1 - chance)) : Json();
  out["matthews"] = spreads > 0 ? (right_ * positions_ - both) / std::sqrt(spreads) : 0.0;
}

Json ClassResults::confused() const {
  std::vector<std::pair<int64_t, uint64_t>> pairs;
  for (size_t at = 0; at < matrix_.size(); ++at) {
    if (matrix_[at] > 0 && at / task_.classes != at % task_.classes)
      pairs.emplace_back(matrix_[at], at);
  }
  for (const auto& [pair, count] : pairs_)
    pairs.emplace_back(count, pair);
  std::sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  });
  Json list = Json::array();
  for (size_t i = 0; i < std::min(pairs.size(), kMostListed); ++i) {
    list.push_back({{"true", pairs[i].second / task_.classes},
                    {"predicted", pairs[i].second % task_.classes},
                    {"count", pairs[i].first}});
  }
  return list;
}

Json ClassResults::calibration() const {
  double count = 0, error = 0;
  Json bins = Json::array();
  for (size_t b = 0; b < bins_.size(); ++b) {
    const Bin& bin = bins_[b];
    count += bin.count;
    error += std::abs(bin.right - bin.confidence);
    Json one = {{"low", static_cast<double>(b) / kBins},
                {"high", static_cast<double>(b + 1) / kBins},
                {"count", static_cast<int64_t>(bin.count)}};
    if (bin.count > 0) one["mean"] = bin.confidence / bin.count;
    if (bin.count > 0) one["share"] = bin.right / bin.count;
    bins.push_back(std::move(one));
  }
  return {{"error", over(error, count)}, {"bins", std::move(bins)}};
}

Json ClassResults::json(const std::vector<std::string>& names) const {
  Json out;
  out["kind"] = task_.kind == ClassKind::kLabels ? "labels"
                : task_.kind == ClassKind::kTwo  ? "two classes"
                                                 : "classes";
  Json notes = Json::array();
  out["positions"] = static_cast<int64_t>(positions_);
  out["classes"] = names;
  out["accuracy"] = over(right_, positions_);
  if (task_.kind != ClassKind::kLabels) put_agreement(out);
  const double values =
      positions_ * (task_.kind == ClassKind::kLabels ? static_cast<double>(task_.classes) : 1.0);
  out["log_loss"] = over(log_loss_, values);
  out["brier"] = over(brier_, values);
  std::vector<Curves> all;
  out["per_class"] = class_rows(all);
  out["averages"] = averages(all);
  if (!matrix_.empty()) {
    Json matrix = Json::array();
    for (size_t c = 0; c < task_.classes; ++c) {
      matrix.push_back(std::vector<int64_t>(
          matrix_.begin() + static_cast<std::ptrdiff_t>(c * task_.classes),
          matrix_.begin() + static_cast<std::ptrdiff_t>((c + 1) * task_.classes)));
    }
    out["confusion"] = std::move(matrix);
  }
  if (task_.kind != ClassKind::kLabels) out["confused"] = confused();
  out["calibration"] = calibration();
  Json drawn = Json::array();
  for (size_t c = 0; c < all.size(); ++c)
    drawn.push_back({{"class", c}, {"roc", all[c].roc}, {"pr", all[c].pr}});
  if (holds_) out["curves"] = std::move(drawn);
  if (task_.classes > kMostMatrixClasses) {
    notes.push_back("the output tells " + std::to_string(task_.classes) +
                    " classes apart: of more than " + std::to_string(kMostMatrixClasses) +
                    " there are no matrix and no curves, and numbers of the worst classes alone");
  } else if (!holds_) {
    notes.push_back("the scores of all positions would take more than 512 MiB: no curves");
  }
  if (pairs_left_out_ > 0)
    notes.push_back(std::to_string(pairs_left_out_) +
                    " mistakes are of pairs that were met too late to be told apart");
  out["notes"] = std::move(notes);
  return out;
}

}  // namespace gradc::results
