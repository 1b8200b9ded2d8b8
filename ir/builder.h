// Building graphs: Val handles with operators. Types are inferred as nodes are added; a Builder
// call with wrong operands is an internal error (GRADC_CHECK), try_add reports it as a diagnostic
// for callers that take user input.
#pragma once

#include "ir/graph.h"
#include "ir/op.h"

#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// A value together with the builder that extends its graph. Empty handles stand for "no gradient".
class Val {
 public:
  Val() = default;
  Val(Builder* builder, ValueId id) : builder_(builder), id_(id) {}

  bool valid() const { return builder_ != nullptr; }
  ValueId id() const { return id_; }
  Builder& builder() const { return *builder_; }
  /// Copies: the graph moves its values when it grows, so a reference would not outlive the next
  /// node, not even as an argument beside one that adds it.
  TensorType type() const;
  Shape shape() const { return type().shape; }
  int rank() const { return type().rank(); }
  DType dtype() const { return type().dtype; }

 private:
  Builder* builder_ = nullptr;
  ValueId id_;
};

class Builder {
 public:
  explicit Builder(Graph& graph) : graph_(graph) {}

  Graph& graph() { return graph_; }

  // ---- where new nodes go, and what they carry
  // ---------------------------------------------------
  void set_insertion_point(NodeId before) { before_ = before; }  ///< invalid: the end
  void set_phase(Phase phase) { phase_ = phase; }
  void set_location(LocId loc) { loc_ = loc; }
  void set_location(std::string text) { loc_ = graph_.add_location(std::move(text)); }
  Phase phase() const { return phase_; }
  LocId location() const { return loc_; }

  // ---- nodes ------------------------------------------------------------------------------------
  Val input(InputKind kind, const TensorType& type, std::string name, std::string_view hint,
            InitSpec init = {});
  Val add(Op op, std::vector<Val> operands, AttrRef attrs = {}, std::string_view hint = {});
  std::vector<Val> add_multi(Op op, std::vector<Val> operands, AttrRef attrs = {},
                             std::string_view hint = {}, std::shared_ptr<Graph> body = nullptr);
  Result<std::vector<Val>> try_add(Op op, std::vector<Val> operands, AttrRef attrs = {},
                                   std::string_view hint = {},
                                   std::shared_ptr<Graph> body = nullptr);
  void update(Val target, Val value);  ///< update %target <- %value
  Val wrap(ValueId id) { return {this, id}; }

  /// A constant of any shape with all elements equal.
  Val splat(double value, const TensorType& type);
  Val scalar(double value, DType dtype = DType::kF32) { return splat(value, {dtype, {}}); }
  Val constant(const TensorType& type, std::vector<double> elements);

 private:
  Graph& graph_;
  NodeId before_;
  Phase phase_ = Phase::kForward;
  LocId loc_;
};

/// What a gradient rule sees: operands, results, gradients of the results, attributes.
struct GradArgs {
  Builder& builder;
  const Node& node;
  std::span<const Val> operands;
  std::span<const Val> results;
  std::span<const Val> douts;  ///< one per result; empty Val: that result has no gradient (zero)
  std::vector<bool> needed;    ///< operands whose gradient is wanted
  DiagnosticSink& sink;        ///< for what cannot be differentiated inside
  const std::string& file;     ///< of those diagnostics

  Val in(size_t i) const { return operands[i]; }
  Val out(size_t i = 0) const { return results[i]; }
  Val dout(size_t i = 0) const { return douts[i]; }
  bool needs(size_t i) const { return needed[i]; }
  template <class T>
  const T& attr() const {
    return node.attrs.as<T>();
  }
};

struct ExpandArgs {
  Builder& builder;
  std::span<const Val> operands;
  const AttrRef& attrs;
  Val in(size_t i) const { return operands[i]; }
  template <class T>
  const T& attr() const {
    return attrs.as<T>();
  }
};

/// Operands of one step, or of all of them with a leading axis of `steps`; elementwise ops.
struct StackArgs {
  Builder& builder;
  const AttrRef& attrs;
  std::span<const Val> operands;
  std::vector<bool> stacked;  ///< by operand
  int64_t steps = 1;
  Val in(size_t i) const { return operands[i]; }
  template <class T>
  const T& attr() const {
    return attrs.as<T>();
  }
  /// The operand with the leading axis, repeated where every step has the same.
  Val all_steps(size_t i) const;
};

// ---- operators: equal types, or a Val with a number (a splat of the Val's type)
// ------------------
Val operator+(Val a, Val b);
Val operator-(Val a, Val b);
Val operator*(Val a, Val b);
Val operator/(Val a, Val b);
Val operator-(Val a);
Val operator+(Val a, double b);
Val operator+(double a, Val b);
Val operator-(Val a, double b);
Val operator-(double a, Val b);
Val operator*(Val a, double b);
Val operator*(double a, Val b);
Val operator/(Val a, double b);
Val operator/(double a, Val b);

// ---- elementwise
// ----------------------------------------------------------------------------------
Val neg(Val x);
Val abs(Val x);
Val sign(Val x);
Val exp(Val x);
Val expm1(Val x);
Val log(Val x);
Val log1p(Val x);
Val sqrt(Val x);
Val rsqrt(Val x);
Val sin(Val x);
Val cos(Val x);
Val tanh(Val x);
Val erf(Val x);
Val erfc(Val x);
Val sigmoid(Val x);
Val relu(Val x);
Val maximum(Val a, Val b);
Val minimum(Val a, Val b);
Val maximum(Val a, double b);
Val minimum(Val a, double b);
Val pow(Val a, Val b);
Val pow(Val a, double b);
Val equal(Val a, Val b);
Val not_equal(Val a, Val b);
Val less(Val a, Val b);
Val less_equal(Val a, Val b);
Val greater(Val a, Val b);
Val greater_equal(Val a, Val b);
Val less(Val a, double b);
Val less_equal(Val a, double b);
Val greater(Val a, double b);
Val greater_equal(Val a, double b);
Val equal(Val a, double b);
Val logical_and(Val a, Val b);
Val logical_or(Val a, Val b);
Val logical_not(Val a);
Val select(Val condition, Val a, Val b);
Val select(Val condition, Val a, double b);
Val select(Val condition, double a, Val b);
Val cast(Val x, DType dtype);

// ---- shapes
// ---------------------------------------------------------------------------------------
/// Operand axis i becomes axis dims[i] of `shape`; other axes are repeated.
Val broadcast(Val x, const Shape& shape, std::vector<int64_t> dims);
/// NumPy's rule: align trailing axes, extents of 1 are repeated.
Val broadcast_to(Val x, const Shape& shape);
Val reshape(Val x, const Shape& shape);
Val transpose(Val x, std::vector<int64_t> perm);
Val slice(Val x, std::vector<int64_t> start, std::vector<int64_t> limit,
          std::vector<int64_t> stride = {});
/// Pads with `value`; negative amounts are not allowed. `interior` inserts elements between
/// neighbours.
Val pad(Val x, std::vector<int64_t> low, std::vector<int64_t> high, double value = 0.0,
        std::vector<int64_t> interior = {});
Val concat(std::vector<Val> parts, int64_t axis);
Val reverse(Val x, std::vector<int64_t> axes);

// ---- reductions: the axes disappear
// ------------------------------------------------------------------
Val reduce_sum(Val x, std::vector<int64_t> axes);
Val reduce_max(Val x, std::vector<int64_t> axes);
Val reduce_min(Val x, std::vector<int64_t> axes);
Val reduce_prod(Val x, std::vector<int64_t> axes);
Val reduce_mean(Val x, std::vector<int64_t> axes);
Val argmax(Val x, int64_t axis);  ///< i32, first of equal maxima

// ---- contractions
// ----------------------------------------------------------------------------------
/// [batch..., m, k] x [batch..., k, n] -> [batch..., m, n]; flags take the transposed operand.
Val matmul(Val a, Val b, bool transpose_a = false, bool transpose_b = false);

// ---- sources
// -----------------------------------------------------------------------------------------
Val iota(Builder& b, const TensorType& type, int64_t axis);

}  // namespace gradc
