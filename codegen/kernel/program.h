// A compiled unit before LLVM: unique kernels, and per entry the sequence of kernel calls with
// where each argument lives.
#pragma once

#include "codegen/kernel/kernel.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gradc::kernel {

/// Where an argument lives when the entry runs.
struct BufferRef {
  enum class Where : uint8_t { kSlot, kArena, kConstant };
  Where where = Where::kSlot;
  int64_t index = 0;  ///< slot number, byte offset in the arena, or index into Program::constants
  bool operator==(const BufferRef&) const = default;
};

struct Call {
  uint32_t kernel = 0;
  std::vector<BufferRef> arguments;
  bool barrier_before = true;  ///< some earlier call since the last barrier conflicts with this one
  std::string label;           ///< for profiles and dumps: the graph kernel's label
  std::string location;
};

struct Entry {
  std::string name;  ///< "train_step", "predict", ...
  std::vector<Call> calls;
  int64_t arena_bytes = 0;
};

struct ConstantData {
  DType dtype = DType::kF32;
  std::vector<double> elements;
};

/// Slots are numbered by the caller (the driver), the same for all entries of a model.
struct Program {
  std::string name;
  std::vector<Kernel> kernels;  ///< no two equal (up to names)
  std::vector<Entry> entries;
  std::vector<ConstantData> constants;
};

}  // namespace gradc::kernel
