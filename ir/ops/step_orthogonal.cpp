// Muon (Jordan et al. 2024) with the formulas of Keras 3: the momentum of a matrix is made nearly
// orthogonal by Newton-Schulz iterations, all singular values near 1; what is no matrix follows
// Adam.
#include "ir/ops/step_pieces.h"

#include <algorithm>
#include <cmath>

namespace gradc::ops {

namespace {

constexpr StepNumber kMuonNumbers[] = {
    {"momentum", 0.95},  {"nesterov", 1, true},  {"ns_steps", 6},       {"muon_a", 3.4445},
    {"muon_b", -4.7750}, {"muon_c", 2.0315},     {"adam_beta_1", 0.9},  {"adam_beta_2", 0.999},
    {"epsilon", 1e-7},   {"adam_lr_ratio", 0.1}, {"as_matrix", 1, true}};

/// Of the norm that a matrix is divided by.
constexpr double kLeastNorm = 1e-7;

/// As Keras: two axes are a matrix, three are several.
bool is_matrix(const StepAttrs& a, const Shape& w) {
  return a.flag("as_matrix") && (w.rank() == 2 || w.rank() == 3);
}
/// A tall matrix makes longer steps.
double stretch(const Shape& w) {
  return std::sqrt(std::max(1.0, static_cast<double>(w[0]) / static_cast<double>(w[1])));
}

Slots muon_slots(const StepAttrs& a, const TensorType& w) {
  if (is_matrix(a, w.shape)) return {{"momentum", w}};
  return {{"momentum", w}, {"velocity", w}};
}
size_t num_muon_scalars(const StepAttrs&) {
  return 2;
}
/// The rate of matrices, and Adam's, corrected for the bias of both moments.
StepScalars muon_scalars(const StepAttrs& a, const StepTime& t) {
  const Val adam = t.learning_rate * t.of("adam_lr_ratio");
  const Val second = sqrt(bias(a.number("adam_beta_2"), t.number));
  return {.operands = {t.learning_rate, adam * second / bias(a.number("adam_beta_1"), t.number)},
          .shared = {}};
}

/// Newton-Schulz: with the singular values s of x, each step makes a s + b s^3 + c s^5 of them.
Val orthogonal(const StepAttrs& a, Val x) {
  const int rank = x.rank();
  std::vector<int64_t> perm, outer;
  for (int axis = 0; axis < rank; ++axis)
    perm.push_back(axis);
  std::swap(perm[static_cast<size_t>(rank) - 1], perm[static_cast<size_t>(rank) - 2]);
  for (int axis = 0; axis + 2 < rank; ++axis)
    outer.push_back(axis);
  const bool tall = x.shape()[rank - 2] > x.shape()[rank - 1];
  if (tall) x = transpose(x, perm);
  const Val norm = sqrt(reduce_sum(x * x, {rank - 2, rank - 1})) + kLeastNorm;
  x = x / broadcast(norm, x.shape(), outer);
  for (int step = 0; step < static_cast<int>(a.number("ns_steps")); ++step) {
    const Val square = matmul(x, x, false, true);
    const Val odd = square * a.number("muon_b") + matmul(square, square) * a.number("muon_c");
    x = x * a.number("muon_a") + matmul(odd, x);
  }
  return tall ? transpose(x, perm) : x;
}

Results expand_matrix(const StepAttrs& a, const StepOperands& o) {
  const double momentum = a.number("momentum");
  const Val m = o.slots[0] * momentum + o.g;
  const Val step = orthogonal(a, a.flag("nesterov") ? o.g + m * momentum : m);
  return {o.w - o.like_w(0) * step * stretch(o.w.shape()), m};
}
Results expand_muon(const StepAttrs& a, const StepOperands& o) {
  if (is_matrix(a, o.w.shape())) return expand_matrix(a, o);
  const Val m = o.slots[0] + (o.g - o.slots[0]) * (1.0 - a.number("adam_beta_1"));
  const Val v = o.slots[1] + (o.g * o.g - o.slots[1]) * (1.0 - a.number("adam_beta_2"));
  const double epsilon = a.number("epsilon");
  return {o.w - ratio(o.like_w(1) * m, sqrt(v) + epsilon, epsilon), m, v};
}

/// A matrix in double: rows x columns, in row-major order.
struct Matrix {
  int64_t rows, columns;
  std::vector<double> x;
  double& at(int64_t i, int64_t j) { return x[static_cast<size_t>(i * columns + j)]; }
  double at(int64_t i, int64_t j) const { return x[static_cast<size_t>(i * columns + j)]; }
};
Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c{a.rows, b.columns, std::vector<double>(static_cast<size_t>(a.rows * b.columns))};
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < b.columns; ++j) {
      for (int64_t k = 0; k < a.columns; ++k)
        c.at(i, j) += a.at(i, k) * b.at(k, j);
    }
  }
  return c;
}
Matrix transposed(const Matrix& a) {
  Matrix t{a.columns, a.rows, std::vector<double>(a.x.size())};
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.columns; ++j)
      t.at(j, i) = a.at(i, j);
  }
  return t;
}
/// x (a + b y + c y^2) with y = x^T x, on the side that the graph does not take.
void iterate(const StepAttrs& a, Matrix& x) {
  double squares = 0.0;
  for (const double e : x.x)
    squares += e * e;
  for (double& e : x.x)
    e /= std::sqrt(squares) + kLeastNorm;
  for (int step = 0; step < static_cast<int>(a.number("ns_steps")); ++step) {
    const Matrix y = product(transposed(x), x);
    const Matrix y2 = product(y, y);
    Matrix factor = y;
    for (size_t i = 0; i < factor.x.size(); ++i)
      factor.x[i] = a.number("muon_b") * y.x[i] + a.number("muon_c") * y2.x[i];
    for (int64_t i = 0; i < factor.rows; ++i)
      factor.at(i, i) += a.number("muon_a");
    x = product(x, factor);
  }
}
void eval_matrices(const StepAttrs& a, const StepValues& v) {
  const Shape& shape = v.w.type.shape;
  const double momentum = a.number("momentum");
  const int64_t rows = shape[shape.rank() - 2], columns = shape[shape.rank() - 1];
  for (int64_t first = 0; first < v.w.size(); first += rows * columns) {
    Matrix x{rows, columns, std::vector<double>(static_cast<size_t>(rows * columns))};
    for (int64_t i = 0; i < rows * columns; ++i) {
      const double m = momentum * (*v.slots[0])[first + i] + v.g[first + i];
      v.new_slots[0][first + i] = m;
      x.x[static_cast<size_t>(i)] = a.flag("nesterov") ? v.g[first + i] + momentum * m : m;
    }
    iterate(a, x);
    for (int64_t i = 0; i < rows * columns; ++i)
      v.new_w[first + i] =
          v.w[first + i] - v.scalars[0] * stretch(shape) * x.x[static_cast<size_t>(i)];
  }
}
void eval_muon(const StepAttrs& a, const StepValues& v) {
  if (is_matrix(a, v.w.type.shape)) return eval_matrices(a, v);
  const double one = a.number("adam_beta_1"), two = a.number("adam_beta_2");
  for_each_element(v, [&](double& w, double g, auto& s) {
    s[0] = one * s[0] + (1.0 - one) * g;
    s[1] = two * s[1] + (1.0 - two) * std::pow(g, 2.0);
    w -= fraction(v.scalars[1] * s[0], std::sqrt(s[1]) + a.number("epsilon"));
  });
}

Settings muon_settings() {
  return {StepAttrs("muon"),
          StepAttrs("muon", {{"momentum", 0.8}, {"nesterov", 0}, {"ns_steps", 2}}),
          StepAttrs("muon", {{"ns_steps", 3}, {"weight_decay", 0.1}}),
          StepAttrs("muon", {{"as_matrix", 0}, {"adam_beta_2", 0.9}, {"epsilon", 1e-3}})};
}

constexpr StepRule kRules[] = {
    {.name = "muon",
     .formula =
         "matrices: m' = momentum m + g; x = g + momentum m', or m' without nesterov; w - lr "
         "sqrt(max(1, rows / columns)) o(x), where o makes x / |x| and then ns_steps times x "
         "<- a x + (b y + c y^2) x with y = x x^T; others, and all with as_matrix 0: adam's "
         "formula at lr adam_lr_ratio",
     .numbers = kMuonNumbers,
     .slots = muon_slots,
     .num_scalars = num_muon_scalars,
     .scalars = muon_scalars,
     .expand = expand_muon,
     .eval = eval_muon,
     .samples = muon_settings},
};

}  // namespace

std::span<const StepRule> orthogonal_rules() {
  return kRules;
}

}  // namespace gradc::ops
