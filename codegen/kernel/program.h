// A compiled unit before LLVM: unique kernels, and per entry a tree of steps (calls of kernels,
// loops around steps) with where each argument lives. LLVM sees the kernels only; the steps become
// the tables of runtime/model_abi.h (program_tables.h), which the runtime core walks.
#pragma once

#include "codegen/kernel/kernel.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace gradc::kernel {

/// What an enclosing loop adds to an address: bytes times its iteration, or with a period bytes
/// times ((iteration + phase) mod period), for values that swap between buffers.
struct Stride {
  uint32_t loop = 0;  ///< the loop: 0 is the outermost one around the call
  int64_t bytes = 0;  ///< negative where the loop walks backwards
  int64_t period = 0;
  int64_t phase = 0;  ///< in [0, period)

  int64_t factor(int64_t iteration) const {
    return period == 0 ? iteration : (iteration + phase) % period;
  }
  bool operator==(const Stride&) const = default;
};

/// Where an argument lives when a call runs.
struct Address {
  enum class Where : uint8_t { kSlot, kArena, kConstant };
  Where where = Where::kSlot;
  int64_t index = 0;            ///< slot number or index into Program::constants; 0 in the arena
  int64_t offset = 0;           ///< bytes, at the first iteration of all loops without period
  std::vector<Stride> strides;  ///< by loop, at most one for each

  static Address slot(int64_t number) { return {Where::kSlot, number, 0, {}}; }
  static Address arena(int64_t offset) { return {Where::kArena, 0, offset, {}}; }
  static Address constant(int64_t number) { return {Where::kConstant, number, 0, {}}; }

  bool same_base(const Address& other) const {
    return where == other.where && index == other.index;
  }
  /// The offset at these iterations of the enclosing loops, outermost first.
  int64_t offset_at(std::span<const int64_t> iterations) const;
  /// The least and the greatest offset, by the trips of the enclosing loops, outermost first.
  std::pair<int64_t, int64_t> offsets(std::span<const int64_t> trips) const;
  bool operator==(const Address&) const = default;
};

struct Call {
  uint32_t kernel = 0;
  std::vector<Address> arguments;
  bool barrier_before = false;  ///< an earlier call since the last barrier conflicts with this one
  bool joins_previous = false;  ///< writes other elements than the call before it: no conflict
  std::string location;         ///< for profiles and dumps: where in the model it comes from
  bool operator==(const Call&) const = default;
};

struct Step;

/// The body, `trips` times over.
struct Loop {
  int64_t trips = 1;
  std::vector<Step> body;
  bool barrier_before = false;
  bool barrier_between = false;  ///< before every iteration but the first
};

struct Step {
  std::variant<Call, Loop> it;

  explicit Step(Call call) : it(std::move(call)) {}
  explicit Step(Loop loop) : it(std::move(loop)) {}

  const Call* call() const { return std::get_if<Call>(&it); }
  const Loop* loop() const { return std::get_if<Loop>(&it); }
};
bool operator==(const Loop& a, const Loop& b);
bool operator==(const Step& a, const Step& b);

/// Loops inside loops, at most (runtime/model_abi.h: GRADC_RT_MAX_LOOPS).
inline constexpr size_t kMaxLoops = 8;

/// A buffer of the caller's; without a name where the entry does not use the number.
struct Slot {
  std::string name;
  TensorType type;
};

/// Slots are numbered by the caller (the driver), the same for all entries of a model.
struct Entry {
  std::string name;  ///< "train_step", "predict", ...
  std::vector<Step> steps;
  int64_t arena_bytes = 0;
  std::vector<Slot> slots{};
};

struct ConstantData {
  DType dtype = DType::kF32;
  std::vector<double> elements;
};

struct Program {
  std::string name;
  std::vector<Kernel> kernels;  ///< no two equal (up to names)
  std::vector<Entry> entries;
  std::vector<ConstantData> constants;
};

/// Visits calls in the order of their text (a loop's body once), with the trips of the loops around
/// each, outermost first.
using CallVisitor = std::function<void(const Call&, std::span<const int64_t> trips)>;
void for_each_call(const std::vector<Step>& steps, const CallVisitor& visit);

}  // namespace gradc::kernel
