// Which sets of nodes make one kernel: the rules between fusion and lowering, in one place. Used by
// fuse to decide and by verify_fused to check.
//
// A kernel runs over points. Values that depend on its contraction, pooling or reductions exist at
// the kernel's points only and may be used there only; all others are "free": functions of any
// index, evaluated wherever they are needed.
#pragma once

#include "ir/graph.h"
#include "ir/op_attrs.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// Its shapes are those of values of the graph, as long as the graph does not change.
class KernelForm {
 public:
  KernelKind kind = KernelKind::kElementwise;
  NodeId anchor;  ///< contraction, opaque: the one; row, column: the first reduction

  /// Row, column: the shape that is reduced; else equal to `full`.
  const Shape& space() const { return *space_; }
  /// Elementwise: the outputs, or their parts; row: as space; else the anchor's result.
  const Shape& full() const { return *full_; }
  /// Row: the reductions' results.
  const Shape& per_row() const { return *per_row_; }
  void set_shapes(const Shape& space, const Shape& full) {
    space_ = &space;
    full_ = &full;
  }
  void set_per_row(const Shape& shape) { per_row_ = &shape; }

  bool is_anchored() const {
    return kind == KernelKind::kContraction || kind == KernelKind::kOpaque;
  }
  int64_t rows() const { return per_row().num_elements(); }
  int64_t cols() const { return space().num_elements() / rows(); }

 private:
  static constexpr Shape kScalar{};
  const Shape* space_ = &kScalar;
  const Shape* full_ = &kScalar;
  const Shape* per_row_ = &kScalar;
};

/// Where a value exists.
enum class PointClass : uint8_t {
  kFree,    ///< at any index
  kFull,    ///< at the points of KernelForm::full only
  kPerRow,  ///< once per row
};

/// The parts of a value that a kernel stores part by part, each at the kernel's points: a
/// concatenation of equal shapes that none of the kernel's own nodes reads. Empty for others.
std::span<const ValueId> joined_parts(const Graph& graph, ValueId output,
                                      std::span<const NodeId> nodes);

/// The points of an elementwise kernel: the shape of its outputs, or of the parts of those that are
/// stored part by part.
const Shape& elementwise_points(const Graph& graph, std::span<const ValueId> outputs,
                                std::span<const NodeId> nodes);

/// Finds the form of sets of nodes of one graph. Keeps scratch tables, so that many sets can be
/// asked about.
class FormFinder {
 public:
  explicit FormFinder(const Graph& graph);

  /// The form of a kernel of these nodes (in topological order) that stores these values; none when
  /// they cannot be one kernel, see reason().
  std::optional<KernelForm> find(std::span<const NodeId> nodes, std::span<const ValueId> outputs);
  std::string_view reason() const { return reason_; }
  static constexpr std::string_view kTwoAnchors = "two contractions or the like";
  static constexpr std::string_view kAnchorAndReduction = "a contraction and a reduction";
  static constexpr std::string_view kOtherReductions = "reductions over different axes";
  static constexpr std::string_view kOtherShapes = "outputs of different shapes";
  static constexpr std::string_view kNothingStored = "nothing is stored";
  /// Another reason, of whoever asked.
  bool no(std::string_view why) {
    reason_ = why;
    return false;
  }
  /// Of a value defined by the nodes last asked about; kFree for others.
  PointClass point_class(ValueId value) const {
    const ValueState& v = values_[value.index];
    return v.stamp == stamp_ ? v.point_class : PointClass::kFree;
  }

 private:
  /// What a node is in a kernel.
  enum class Role : uint8_t {
    kElement,
    kView,
    kReduction,
    kLookup,  ///< gather: the anchor of its own kernel, free in others
    kOpaque,
    kContraction,
    kData,
    kOther
  };
  static Role role_of(const Node& node);
  bool find_anchor(std::span<const NodeId> nodes, KernelForm& form);
  bool set_reduction_form(NodeId node, KernelForm& form);
  bool classify(NodeId node, const KernelForm& form);
  bool classify_reduction(NodeId node, const KernelForm& form);
  bool classify_view(NodeId node, const KernelForm& form, PointClass operand);
  bool check_output(ValueId value, const KernelForm& form, std::span<const NodeId> nodes);
  void set_class(ValueId value, PointClass point_class);

  struct ValueState {
    uint32_t stamp = 0;
    PointClass point_class = PointClass::kFree;
  };

  const Graph& graph_;
  std::vector<Role> role_;          ///< by NodeId
  std::vector<ValueState> values_;  ///< by ValueId
  uint32_t stamp_ = 0;
  std::string_view reason_;  ///< a literal
};

/// Reductions that give sums, products and extremes (argmax gives an index, and is opaque).
bool is_plain_reduction(const Node& node);
/// A constant whose elements are all equal, so that it can be part of any kernel.
bool is_splat_constant(const Node& node);

/// Checks a fused graph against the rules: every node a kernel, update or large constant; every
/// body of the kind it says. One line per violation.
std::vector<std::string> verify_fused(const Graph& graph);

}  // namespace gradc
