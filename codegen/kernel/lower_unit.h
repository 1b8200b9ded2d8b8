// One graph node on its way to kernels: its body, and the calls made for it. Internal to lowering.
#pragma once

#include "codegen/kernel/early_ends.h"
#include "codegen/kernel/kernel.h"
#include "codegen/kernel/nest.h"
#include "ir/graph.h"
#include "support/result.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gradc::kernel {

/// What an argument of a call is, in terms of the graph node.
struct UnitRef {
  enum class Kind : uint8_t { kOperand, kResult, kTemporary, kConstant };
  Kind kind = Kind::kOperand;
  size_t index = 0;
  bool operator==(const UnitRef&) const = default;
};

struct UnitCall {
  Kernel kernel;
  std::vector<UnitRef> arguments;
  bool joins_previous = false;  ///< writes other elements than the call before it: no conflict
};

struct UnitTemporary {
  DType dtype = DType::kF32;
  Shape shape;
};

/// The result of lowering one node.
struct LoweredUnit {
  std::vector<UnitCall> calls;
  std::vector<UnitTemporary> temporaries;
  std::vector<std::pair<DType, Dense>> constants;
};

/// One node to lower: a body whose inputs are the node's operands and whose outputs its results.
class Unit {
 public:
  Unit(std::string name, const Graph& body) : name_(std::move(name)), body_(body) {}

  const std::string& name() const { return name_; }
  const Graph& body() const { return body_; }
  LoweredUnit& lowered() { return lowered_; }

  /// Result and operand may be planned onto the same memory, element for element.
  void set_alias(size_t result, size_t operand) { aliases_.emplace_back(result, operand); }
  const std::vector<std::pair<size_t, size_t>>& aliases() const { return aliases_; }

  /// The operand that says which rows of the results are specified (KernelAttrs::rows).
  void set_rows(size_t operand) { rows_ = operand; }

  UnitRef temporary(DType dtype, const Shape& shape);

  /// All operands, results and dense constants of the body as kernel arguments, and the streams of
  /// its random numbers, so that bodies that differ in these alone have one kernel; what a kernel
  /// does not use is dropped when the call is added.
  struct Frame {
    KernelFrame kernel;
    std::vector<UnitRef> refs;  // by buffer

    BufferId find(UnitRef ref) const;
    BufferId add(std::string name, DType dtype, const Shape& shape, BufferRole role, UnitRef ref);
    void bind(ValueId value, BufferId buffer) { kernel.bindings.emplace_back(value, buffer); }
    /// The buffer of body output i.
    BufferId output(size_t i) const { return find({UnitRef::Kind::kResult, i}); }
  };
  Frame frame(const std::string& suffix = {});

  /// Drops unused arguments and appends the call.
  void add_call(const Frame& frame, Kernel kernel, bool joins_previous = false);
  Status add_nest(const Frame& frame, const Nest& nest, bool joins_previous = false);

 private:
  std::optional<SpecifiedRows> specified_rows(const Frame& frame, const Kernel& kernel) const;

  std::string name_;
  const Graph& body_;
  std::optional<size_t> rows_;
  LoweredUnit lowered_;
  std::vector<std::pair<size_t, size_t>> aliases_;
};

// ---- the kinds; each appends calls to the unit or fails (kInternal)
// -----------------------------

Status lower_elementwise(Unit& unit);
Status lower_reduction(Unit& unit);
Status lower_contraction(Unit& unit, const Node& node);
Status lower_pool(Unit& unit, const Node& node);
Status lower_scatter(Unit& unit, const Node& node);
Status lower_partition(Unit& unit, const Node& node);
Status lower_distinct(Unit& unit, const Node& node);
Status lower_attention(Unit& unit, const Node& node);

/// Dispatches on the node the body is built around; where its fused form does not fit, or the
/// verifier cannot see that it stays inside its buffers, the body's nodes are lowered one by one
/// through temporaries. What comes out is verified.
Status lower_unit(Unit& unit);

/// The stores of all body outputs at one position.
std::vector<NestStore> output_stores(const Unit::Frame& frame, const Graph& body,
                                     NestCursor& cursor, size_t space);

}  // namespace gradc::kernel
