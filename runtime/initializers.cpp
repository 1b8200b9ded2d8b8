// Formulas: Keras 3 `keras/src/initializers/random_initializers.py`. Orthogonal is the Q of a
// Householder QR of a normal matrix with the signs of R's diagonal multiplied in, as Keras does
// (Saxe et al., 2014).
#include "runtime/initializers.h"

#include "runtime/dtype.h"
#include "runtime/philox.h"

#include <cmath>

namespace gradc::rt {
namespace {

// Standard deviation of a normal truncated at two sigma, as Keras's VarianceScaling divides by.
constexpr double kTruncatedStddev = 0.87962566103423978;

struct NormalPair {
  double value[2];
};

PhiloxBlock random_block(uint64_t key, uint64_t stream, uint64_t block, uint32_t attempt) {
  // Bits 32 to 39 of the block index share a word with the number of the attempt.
  return philox4x32(
      {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32) | (attempt << 8),
        static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)}},
      key);
}

double to_unit(uint32_t low, uint32_t high) {
  const uint64_t bits = low | (static_cast<uint64_t>(high) << 32);
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

// Two standard normals (Box-Muller) for elements 2 * pair and 2 * pair + 1; `attempt` numbers
// redraws.
NormalPair normal_pair(uint64_t key, uint64_t stream, uint64_t pair, uint32_t attempt) {
  constexpr double kTwoPi = 6.283185307179586476925;
  const PhiloxBlock b = random_block(key, stream, pair, attempt);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - to_unit(b.word[0], b.word[1])));
  const double angle = kTwoPi * to_unit(b.word[2], b.word[3]);
  return {{radius * std::cos(angle), radius * std::sin(angle)}};
}

size_t element_count(const gradc_rt_tensor& tensor) {
  size_t count = 1;
  for (int64_t d = 0; d < tensor.rank; ++d)
    count *= static_cast<size_t>(tensor.dims[d]);
  return count;
}

struct Target {
  void* data;
  Dtype dtype;
  size_t count;
  uint64_t key;
  uint64_t stream;
  size_t begin;  // this share; even, as random values come in pairs
  size_t end;

  void store(size_t index, double value) const {
    if (dtype == Dtype::kF32) {
      static_cast<float*>(data)[index] = static_cast<float>(value);
    } else {
      store_f64(data, dtype, index, value);
    }
  }
};

void fill_constant(const Target& t, double value) {
  for (size_t i = t.begin; i < t.end; ++i)
    t.store(i, value);
}

void fill_uniform(const Target& t, double low, double high) {
  for (size_t i = t.begin; i < t.end; i += 2) {
    const PhiloxBlock b = random_block(t.key, t.stream, i / 2, 0);
    for (size_t k = 0; k < 2 && i + k < t.end; ++k) {
      const double u = to_unit(b.word[2 * k], b.word[2 * k + 1]);
      t.store(i + k, low + (high - low) * u);
    }
  }
}

void fill_normal(const Target& t, double mean, double stddev, bool truncated) {
  for (size_t i = t.begin; i < t.end; i += 2) {
    const NormalPair first = normal_pair(t.key, t.stream, i / 2, 0);
    for (size_t k = 0; k < 2 && i + k < t.end; ++k) {
      double z = first.value[k];
      for (uint32_t attempt = 1; truncated && std::fabs(z) >= 2.0; ++attempt)
        z = normal_pair(t.key, t.stream, i / 2, attempt).value[k];
      t.store(i + k, mean + stddev * z);
    }
  }
}

Status fill_variance_scaling(const Target& t, const gradc_rt_initializer& init) {
  double fan = 0;
  const double fan_in = static_cast<double>(init.fan_in);
  const double fan_out = static_cast<double>(init.fan_out);
  switch (static_cast<gradc_rt_fan_mode>(init.mode)) {
    case GRADC_RT_FAN_IN:
      fan = fan_in;
      break;
    case GRADC_RT_FAN_OUT:
      fan = fan_out;
      break;
    case GRADC_RT_FAN_AVG:
      fan = (fan_in + fan_out) / 2;
      break;
  }
  const double variance = init.a / (fan > 1 ? fan : 1);
  switch (static_cast<gradc_rt_distribution>(init.distribution)) {
    case GRADC_RT_DIST_TRUNCATED_NORMAL:
      fill_normal(t, 0, std::sqrt(variance) / kTruncatedStddev, true);
      return {};
    case GRADC_RT_DIST_UNTRUNCATED_NORMAL:
      fill_normal(t, 0, std::sqrt(variance), false);
      return {};
    case GRADC_RT_DIST_UNIFORM: {
      const double limit = std::sqrt(3.0 * variance);
      fill_uniform(t, -limit, limit);
      return {};
    }
  }
  return internal_error("variance scaling has unknown distribution %lld",
                        static_cast<long long>(init.distribution));
}

// In place: a (rows x cols, rows >= cols, column major) becomes Q of its QR, signs fixed by R's
// diagonal.
void orthonormalize(double* a, size_t rows, size_t cols) {
  Vec<double> diagonal(cols);
  Vec<double> beta(cols);
  for (size_t k = 0; k < cols; ++k) {  // Householder vectors below the diagonal, v[k] kept in place
    double* v = a + k * rows;
    double norm = 0;
    for (size_t i = k; i < rows; ++i)
      norm += v[i] * v[i];
    norm = std::sqrt(norm);
    const double alpha = v[k] > 0 ? -norm : norm;
    diagonal[k] = alpha;
    v[k] -= alpha;
    double squared = 0;
    for (size_t i = k; i < rows; ++i)
      squared += v[i] * v[i];
    beta[k] = squared > 0 ? 2.0 / squared : 0.0;
    for (size_t j = k + 1; j < cols; ++j) {
      double* column = a + j * rows;
      double dot = 0;
      for (size_t i = k; i < rows; ++i)
        dot += v[i] * column[i];
      for (size_t i = k; i < rows; ++i)
        column[i] -= beta[k] * dot * v[i];
    }
  }
  // Accumulate the reflections backwards onto the first columns of the identity.
  Vec<double> q(rows * cols);
  for (size_t j = 0; j < cols; ++j)
    q[j * rows + j] = 1;
  for (size_t k = cols; k-- > 0;) {
    const double* v = a + k * rows;
    for (size_t j = k; j < cols; ++j) {
      double* column = q.data() + j * rows;
      double dot = 0;
      for (size_t i = k; i < rows; ++i)
        dot += v[i] * column[i];
      for (size_t i = k; i < rows; ++i)
        column[i] -= beta[k] * dot * v[i];
    }
  }
  for (size_t j = 0; j < cols; ++j) {
    const double sign = diagonal[j] < 0 ? -1.0 : 1.0;
    for (size_t i = 0; i < rows; ++i)
      a[j * rows + i] = sign * q[j * rows + i];
  }
}

Status fill_orthogonal(const Target& t, const gradc_rt_tensor& tensor, double gain) {
  if (tensor.rank < 2) {
    return error("orthogonal initializer of \"%s\" needs at least 2 dimensions, it has %lld",
                 tensor.name, static_cast<long long>(tensor.rank));
  }
  const size_t cols = static_cast<size_t>(tensor.dims[tensor.rank - 1]);
  const size_t rows = cols > 0 ? t.count / cols : 0;
  const bool tall = rows >= cols;
  const size_t m = tall ? rows : cols;
  const size_t n = tall ? cols : rows;
  Vec<double> a(m * n);  // column major m x n
  for (size_t i = 0; i < m * n; i += 2) {
    const NormalPair pair = normal_pair(t.key, t.stream, i / 2, 0);
    for (size_t k = 0; k < 2 && i + k < m * n; ++k)
      a[i + k] = pair.value[k];
  }
  orthonormalize(a.data(), m, n);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c)
      store_f64(t.data, t.dtype, r * cols + c, gain * (tall ? a[c * m + r] : a[r * m + c]));
  }
  return {};
}

Status fill_identity(const Target& t, const gradc_rt_tensor& tensor, double gain) {
  if (tensor.rank != 2) {
    return error("identity initializer of \"%s\" needs 2 dimensions, it has %lld", tensor.name,
                 static_cast<long long>(tensor.rank));
  }
  for (int64_t i = 0; i < tensor.dims[0] && i < tensor.dims[1]; ++i)
    store_f64(t.data, t.dtype, static_cast<size_t>(i * tensor.dims[1] + i), gain);
  return {};
}

/// This share of the elements by the initializer's kind.
Status fill(const Target& t, const gradc_rt_tensor& tensor, int32_t part) {
  const gradc_rt_initializer& init = *tensor.initializer;
  switch (static_cast<gradc_rt_initializer_kind>(init.kind)) {
    case GRADC_RT_INIT_ZEROS:
      return {};
    case GRADC_RT_INIT_ONES:
      fill_constant(t, 1);
      return {};
    case GRADC_RT_INIT_CONSTANT:
      fill_constant(t, init.a);
      return {};
    case GRADC_RT_INIT_RANDOM_NORMAL:
      fill_normal(t, init.a, init.b, false);
      return {};
    case GRADC_RT_INIT_RANDOM_UNIFORM:
      fill_uniform(t, init.a, init.b);
      return {};
    case GRADC_RT_INIT_TRUNCATED_NORMAL:
      fill_normal(t, init.a, init.b, true);
      return {};
    case GRADC_RT_INIT_VARIANCE_SCALING:
      return fill_variance_scaling(t, init);
    case GRADC_RT_INIT_ORTHOGONAL:
      return part > 0 ? Status{} : fill_orthogonal(t, tensor, init.a);
    case GRADC_RT_INIT_IDENTITY:
      return part > 0 ? Status{} : fill_identity(t, tensor, init.a);
    case GRADC_RT_INIT_DATA:
      if (init.data == nullptr) {
        return internal_error("initializer of \"%s\" has no data", tensor.name);
      }
      if (part == 0) memcpy(t.data, init.data, static_cast<size_t>(tensor.bytes));
      return {};
    case GRADC_RT_INIT_KIND_COUNT:
      break;
  }
  return internal_error("initializer of \"%s\" has unknown kind %lld", tensor.name,
                        static_cast<long long>(init.kind));
}

}  // namespace

Status initialize_tensor(const gradc_rt_tensor& tensor, uint64_t seed, void* out) {
  memset(out, 0, static_cast<size_t>(tensor.bytes));
  return initialize_part(tensor, seed, out, 0, 1);
}

Status initialize_part(const gradc_rt_tensor& tensor, uint64_t seed, void* out, int32_t part,
                       int32_t parts) {
  if (tensor.initializer == nullptr) return {};
  const gradc_rt_initializer& init = *tensor.initializer;
  const uint64_t key = random_key(init.has_seed != 0 ? init.seed : seed, RandomUse::kInitialize);
  const size_t count = element_count(tensor);
  const size_t share = count / static_cast<size_t>(parts) / 2 * 2;
  const size_t begin = share * static_cast<size_t>(part);
  const size_t end = part + 1 == parts ? count : begin + share;
  const Dtype dtype = static_cast<Dtype>(tensor.dtype);
  const Target t{out, dtype, count, key, init.stream, begin, end};
  Status status = fill(t, tensor, part);
  if (!status.ok()) return status;
  for (size_t i = begin; i < end; ++i) {
    if (static_cast<int64_t>(i) >= init.ones_begin && static_cast<int64_t>(i) < init.ones_end)
      t.store(i, 1.0);
  }
  return {};
}

}  // namespace gradc::rt
