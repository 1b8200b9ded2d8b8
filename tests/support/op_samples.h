// Operands for the samples of the op table, drawn the same on every run, and graphs of one op made
// from them: what all generic op tests start from.
#pragma once

#include "ir/builder.h"
#include "ir/op.h"
#include "ir/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace gradc::test {

/// Uniform numbers that are the same with every standard library.
class Draw {
 public:
  explicit Draw(uint64_t seed) : engine_(seed) {}
  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(engine_() >> 11U) * 0x1p-53;
  }
  int64_t below(int64_t limit) {
    return static_cast<int64_t>(engine_() % static_cast<uint64_t>(limit));
  }
  /// Numbers at least half of (high - low) / count apart, in random order.
  std::vector<double> spaced(size_t count, double low, double high) {
    const double step = (high - low) / static_cast<double>(count);
    std::vector<double> values(count);
    for (size_t i = 0; i < count; ++i)
      values[i] = low + (static_cast<double>(i) + uniform(0.25, 0.75)) * step;
    for (size_t i = count; i > 1; --i)
      std::swap(values[i - 1], values[static_cast<size_t>(below(static_cast<int64_t>(i)))]);
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

inline double draw_float(Draw& draw, const Sample& s) {
  if (!s.away_from_zero) return draw.uniform(s.low, s.high);
  const double size = draw.uniform(0.1, s.high);
  return draw.below(2) == 0 ? size : -size;
}

/// The operands of a sample.
inline std::vector<Tensor> draw_operands(const Sample& s, uint64_t seed) {
  Draw draw(seed);
  int64_t floats = 0;
  for (const TensorType& type : s.operands)
    floats += is_float(type.dtype) ? type.num_elements() : 0;
  const std::vector<double> spaced = draw.spaced(static_cast<size_t>(floats), s.low, s.high);
  size_t next = 0;
  std::vector<Tensor> operands;
  for (const TensorType& type : s.operands) {
    Tensor& t = operands.emplace_back(type);
    for (double& x : t.data) {
      if (is_float(type.dtype)) {
        x = s.distinct ? spaced[next++] : draw_float(draw, s);
      } else {
        const int64_t limit = type.dtype == DType::kBool ? 2 : std::max(s.index_limit, int64_t{1});
        x = static_cast<double>(draw.below(limit));
      }
    }
  }
  return operands;
}

/// The attributes of a sample, which leaves them out where they are the defaults.
inline AttrRef sample_attrs(const OpDef& op, const Sample& s) {
  if (!s.attrs.empty() || op.attrs == nullptr) return s.attrs;
  return {op.attrs->make_default(), op.attrs};
}

/// A graph of inputs for every operand of the sample.
struct SampleGraph {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>("sample");
  Builder builder{*graph};
  std::vector<Val> operands;

  explicit SampleGraph(const Sample& s) {
    for (const TensorType& type : s.operands) {
      const std::string name = fmt::format("x{}", operands.size());
      operands.push_back(builder.input(InputKind::kInput, type, name, name));
    }
  }
};

/// A body of one's own for a call of the sample; null for ops that have none.
inline std::shared_ptr<Graph> sample_body(const Sample& s) {
  return s.body ? s.body->clone() : nullptr;
}

/// "conv sample 2".
inline std::string sample_name(const OpDef& op, size_t index) {
  return fmt::format("{} sample {}", op.name, index);
}

/// Equal within `tolerance`, relative for numbers over one; NaN equals NaN.
inline bool near(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::fabs(a - b) <= tolerance * std::max({1.0, std::fabs(a), std::fabs(b)});
}

}  // namespace gradc::test
