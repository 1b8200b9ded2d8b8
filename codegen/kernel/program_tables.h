// The steps of an entry as the tables that the runtime core walks (runtime/model_abi.h).
#pragma once

#include "codegen/kernel/program.h"
#include "runtime/model_abi.h"

#include <cstdint>
#include <span>
#include <vector>

namespace gradc::kernel {

/// Steps in the order of their text, each loop before its body.
struct EntryTables {
  std::vector<gradc_rt_step> steps;
  std::vector<gradc_rt_argument> arguments;
  std::vector<gradc_rt_stride> strides;
  int64_t arena_bytes = 0;
  int64_t scratch_bytes = 0;
  int64_t frame_offset = 0;

  int64_t bytes() const;
  /// The entry as compiled, with these tables; they must stay where they are.
  gradc_rt_entry entry(const char* name, const gradc_rt_kernel* kernels,
                       const void* const* constants) const;
};

/// `kernel_scratch`: bytes per thread, by kernel.
EntryTables make_entry_tables(const Entry& entry, std::span<const int64_t> kernel_scratch);

/// The bytes of a constant in memory, little-endian.
std::vector<std::byte> constant_bytes(const ConstantData& data);

}  // namespace gradc::kernel
