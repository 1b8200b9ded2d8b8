#include "codegen/llvm/open_sums.h"

#include "codegen/kernel/sum_order.h"
#include "support/check.h"

#include <algorithm>

namespace gradc::cg {

using kernel::AccumulateOp;

OpenSums::OpenSums(Emitter& em, const std::map<uint32_t, AccumulateOp>& accumulated) : em_(em) {
  for (const auto& [local, op] : accumulated) {
    const LocalValue& outer = em.locals_[local];
    const kernel::Local& named = em.kernel().locals[local];
    GRADC_CHECK(outer.slot != nullptr, "accumulator '{}' is not initialised", named.name);
    sums_.push_back(
        {local, op, named.dtype, is_ordered(op, named.dtype), outer, outer.type, {outer.slot}});
  }
}

size_t OpenSums::num_ordered() const {
  return static_cast<size_t>(
      std::count_if(sums_.begin(), sums_.end(), [](const Sum& sum) { return sum.ordered; }));
}

llvm::Value* OpenSums::place(const Sum& sum) {
  llvm::AllocaInst* slot = em_.entry_alloca(sum.type, "sum");
  if (in_parts_) slot->setAlignment(llvm::Align(64));
  return slot;
}

llvm::Value* OpenSums::fresh_slot(const Sum& sum) {
  llvm::Value* slot = place(sum);
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(sum.type);
  const unsigned width = vector == nullptr ? 1 : vector->getNumElements();
  llvm::Value* neutral = splat(em_.ir(), em_.identity(sum.op, sum.dtype), width);
  em_.store_slot(neutral, {nullptr, slot, sum.type});
  return slot;
}

void OpenSums::start(size_t slots, unsigned width, bool in_parts) {
  in_parts_ = in_parts;
  for (Sum& sum : sums_) {
    sum.type = with_lanes(register_type(em_.context(), sum.dtype), width);
    sum.slots.clear();
    for (size_t i = 0; i < slots; ++i)
      sum.slots.push_back(fresh_slot(sum));
  }
}

void OpenSums::start_columns(unsigned columns, unsigned width, bool in_parts) {
  in_parts_ = in_parts;
  for (Sum& sum : sums_) {
    const bool whole = sum.ordered && in_parts;
    sum.type = with_lanes(register_type(em_.context(), sum.dtype), whole ? columns : width);
    sum.slots.clear();
    for (unsigned i = 0; i < (sum.ordered && !in_parts ? columns / width : 1); ++i)
      sum.slots.push_back(fresh_slot(sum));
  }
}

void OpenSums::bind(size_t slot) {
  for (const Sum& sum : sums_)
    em_.locals_[sum.local] = {nullptr, sum.slots[std::min(slot, sum.slots.size() - 1)], sum.type};
}

void OpenSums::bind_part(llvm::Value* column, unsigned width) {
  for (const Sum& sum : sums_) {
    llvm::Type* element = sum.type->getScalarType();
    if (sum.type == with_lanes(element, width)) {
      em_.locals_[sum.local] = {nullptr, sum.slots[0], sum.type};
      continue;
    }
    llvm::Value* place = em_.ir().CreateInBoundsGEP(element, sum.slots[0], column);
    em_.locals_[sum.local] = {nullptr, place, with_lanes(element, width)};
  }
}

void OpenSums::rotate() {
  for (const Sum& sum : sums_) {
    if (sum.slots.size() == 1) continue;
    std::vector<llvm::Value*> values;
    for (llvm::Value* slot : sum.slots)
      values.push_back(em_.load_slot({nullptr, slot, sum.type}));
    std::rotate(values.begin(), values.begin() + 1, values.end());
    for (size_t i = 0; i < values.size(); ++i)
      em_.store_slot(values[i], {nullptr, sum.slots[i], sum.type});
  }
}

llvm::Value* OpenSums::all_lanes(const Sum& sum, unsigned width) {
  std::vector<llvm::Value*> parts;
  for (llvm::Value* slot : sum.slots)
    parts.push_back(em_.load_slot({nullptr, slot, sum.type}));
  while (parts.size() > 1) {
    const size_t half = parts.size() / 2;
    for (size_t i = 0; i < half; ++i)
      parts[i] = em_.combine(sum.op, parts[i], parts[i + half]);
    parts.resize(half);
  }
  return em_.combine_lanes(sum.op, parts[0], width);
}

void OpenSums::narrow(unsigned width, bool in_parts) {
  in_parts_ = in_parts;
  for (Sum& sum : sums_) {
    llvm::Value* value = all_lanes(sum, width);
    sum.type = value->getType();
    sum.slots = {place(sum)};
    em_.store_slot(value, {nullptr, sum.slots[0], sum.type});
  }
}

void OpenSums::finish() {
  for (const Sum& sum : sums_) {
    llvm::Value* value = all_lanes(sum, 1);
    em_.store_slot(em_.combine(sum.op, em_.load_slot(sum.outer), value), sum.outer);
  }
  restore();
}

void OpenSums::restore() {
  for (const Sum& sum : sums_)
    em_.locals_[sum.local] = sum.outer;
}

OpenSums::Node OpenSums::begin_node() {
  Node above;
  for (Sum& sum : sums_) {
    above.push_back(sum.slots);
    if (!sum.ordered) continue;
    for (llvm::Value*& slot : sum.slots)
      slot = fresh_slot(sum);
  }
  return above;
}

void OpenSums::end_node(const Node& above) {
  for (size_t i = 0; i < sums_.size(); ++i) {
    Sum& sum = sums_[i];
    for (size_t s = 0; sum.ordered && s < sum.slots.size(); ++s) {
      const LocalValue total{nullptr, above[i][s], sum.type};
      llvm::Value* node = em_.load_slot({nullptr, sum.slots[s], sum.type});
      em_.store_slot(em_.combine(sum.op, em_.load_slot(total), node), total);
    }
    sum.slots = above[i];
  }
}

// ---- groups
// --------------------------------------------------------------------------------------

namespace {

class Groups {
 public:
  using Body = std::function<void(llvm::Value*)>;
  Groups(Emitter& em, OpenSums& sums, int64_t step, int64_t stride, const Body& body,
         const char* name)
      : em_(em), sums_(sums), step_(step), stride_(stride), body_(body), name_(name) {}

  void emit(int64_t low, int64_t high) {
    const int64_t iterations = (high - low + step_ - 1) / step_;
    for (int64_t node = kernel::kSumGroup; node < iterations; node *= kernel::kSumGroup)
      nodes_.push_back(node);
    const int64_t length = nodes_.empty() ? high - low : nodes_.back() * step_;
    const int64_t whole = low + (high - low) / length * length;
    // The last node is shorter. One level has code of its own for it, so that its loops have
    // constant ends.
    const bool apart = nodes_.size() == 1 && whole < high;
    level(nodes_.size(), em_.i64(low), em_.i64(apart ? whole : high), whole < high && !apart);
    if (apart) node([&] { level(0, em_.i64(whole), em_.i64(high), false); });
  }

 private:
  /// [low, high), not empty, by nodes of that level; level 0 is the iterations themselves.
  void level(size_t index, llvm::Value* low, llvm::Value* high, bool ragged) {
    if (index == 0) return em_.loop(low, high, stride_, true, body_, name_);
    llvm::Value* length = em_.i64(nodes_[index - 1] * step_);
    em_.loop(
        low, high, nodes_[index - 1] * step_, true,
        [&](llvm::Value* begin) {
          llvm::Value* end = em_.ir().CreateNSWAdd(begin, length);
          if (ragged) end = em_.ir().CreateBinaryIntrinsic(llvm::Intrinsic::smin, end, high);
          node([&] { level(index - 1, begin, end, ragged); });
        },
        "node");
  }

  template <class Emit>
  void node(const Emit& emit) {
    const OpenSums::Node above = sums_.begin_node();
    emit();
    sums_.end_node(above);
  }

  Emitter& em_;
  OpenSums& sums_;
  int64_t step_;
  int64_t stride_;
  const Body& body_;
  const char* name_;
  std::vector<int64_t> nodes_;  ///< iterations of the nodes of each level, innermost first
};

}  // namespace

void grouped_loop(Emitter& em, OpenSums& sums, int64_t low, int64_t high, int64_t step,
                  int64_t stride, const std::function<void(llvm::Value*)>& body, const char* name) {
  Groups(em, sums, step, stride, body, name).emit(low, high);
}

}  // namespace gradc::cg
