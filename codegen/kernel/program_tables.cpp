#include "codegen/kernel/program_tables.h"

#include "support/check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace gradc::kernel {

static_assert(kMaxLoops == GRADC_RT_MAX_LOOPS);

namespace {

int64_t aligned(int64_t bytes) {
  constexpr int64_t kAlign = GRADC_RT_ALIGNMENT;
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

int64_t base_of(const Address& address) {
  switch (address.where) {
    case Address::Where::kSlot:
      return address.index;
    case Address::Where::kArena:
      return GRADC_RT_ARENA;
    case Address::Where::kConstant:
      return GRADC_RT_CONSTANT - address.index;
  }
  GRADC_UNREACHABLE();
}

class TableBuilder {
 public:
  TableBuilder(EntryTables& tables, std::span<const int64_t> kernel_scratch)
      : tables_(tables), kernel_scratch_(kernel_scratch) {}

  void add(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      if (const Call* call = step.call()) {
        add(*call);
        continue;
      }
      const Loop& loop = *step.loop();
      const size_t at = tables_.steps.size();
      gradc_rt_step row{};
      row.kind = GRADC_RT_LOOP;
      row.barriers = (loop.barrier_before ? GRADC_RT_BARRIER_BEFORE : 0) |
                     (loop.barrier_between ? GRADC_RT_BARRIER_BETWEEN : 0);
      row.trips = loop.trips;
      tables_.steps.push_back(row);
      add(loop.body);
      tables_.steps[at].body = static_cast<int64_t>(tables_.steps.size() - at - 1);
    }
  }

  void finish() {
    tables_.frame_offset = frame_bytes_ > 0 ? aligned(scratch_) : 0;
    tables_.scratch_bytes =
        frame_bytes_ > 0 ? tables_.frame_offset + aligned(frame_bytes_) : scratch_;
    tables_.steps.shrink_to_fit();  // they stay as long as the code does
    tables_.arguments.shrink_to_fit();
    tables_.strides.shrink_to_fit();
  }

 private:
  void add(const Call& call) {
    gradc_rt_step row{};
    row.kind = GRADC_RT_CALL;
    row.barriers = call.barrier_before ? GRADC_RT_BARRIER_BEFORE : 0;
    row.kernel = call.kernel;
    row.first_argument = static_cast<int64_t>(tables_.arguments.size());
    row.num_arguments = static_cast<int64_t>(call.arguments.size());
    row.first_stride = static_cast<int64_t>(tables_.strides.size());
    for (size_t i = 0; i < call.arguments.size(); ++i) {
      const Address& address = call.arguments[i];
      tables_.arguments.push_back({base_of(address), address.offset});
      for (const Stride& s : address.strides)
        tables_.strides.push_back({static_cast<int64_t>(i), s.loop, s.bytes, s.period, s.phase});
    }
    row.num_strides = static_cast<int64_t>(tables_.strides.size()) - row.first_stride;
    if (row.num_strides != 0)
      frame_bytes_ = std::max(frame_bytes_, row.num_arguments * int64_t{sizeof(void*)});
    scratch_ = std::max(scratch_, kernel_scratch_[call.kernel]);
    tables_.steps.push_back(row);
  }

  EntryTables& tables_;
  std::span<const int64_t> kernel_scratch_;
  int64_t scratch_ = 0;
  int64_t frame_bytes_ = 0;
};

/// The bits of a number in fewer: `exponent_bits` and `mantissa_bits`, to nearest, ties to even.
uint16_t half_bits(double value, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const auto infinity = static_cast<uint16_t>(((1 << exponent_bits) - 1) << mantissa_bits);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | infinity | (1 << (mantissa_bits - 1)));
  const double size = std::fabs(value);
  if (size == 0.0) return sign;
  // The unit in the last place, which subnormal numbers share; a carry moves on into the exponent.
  const int exponent = std::isinf(size) ? bias + 1 : std::max(std::ilogb(size), 1 - bias);
  if (exponent > bias) return static_cast<uint16_t>(sign | infinity);
  const double units = std::nearbyint(std::ldexp(size, mantissa_bits - exponent));
  const int64_t bits =
      static_cast<int64_t>(units) + (int64_t{exponent + bias - 1} << mantissa_bits);
  return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::min<int64_t>(bits, infinity)));
}

template <class T>
void append(std::vector<std::byte>& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  const size_t at = out.size();
  out.resize(at + sizeof(T));
  std::memcpy(out.data() + at, &value, sizeof(T));
}

}  // namespace

gradc_rt_entry EntryTables::entry(const char* name, const gradc_rt_kernel* kernels,
                                  const void* const* constants) const {
  return {name,
          1,
          arena_bytes,
          scratch_bytes,
          frame_offset,
          static_cast<int64_t>(steps.size()),
          steps.data(),
          static_cast<int64_t>(arguments.size()),
          arguments.data(),
          strides.data(),
          kernels,
          constants};
}

int64_t EntryTables::bytes() const {
  return static_cast<int64_t>(steps.size() * sizeof(gradc_rt_step) +
                              arguments.size() * sizeof(gradc_rt_argument) +
                              strides.size() * sizeof(gradc_rt_stride));
}

EntryTables make_entry_tables(const Entry& entry, std::span<const int64_t> kernel_scratch) {
  EntryTables tables;
  tables.arena_bytes = entry.arena_bytes;
  TableBuilder builder(tables, kernel_scratch);
  builder.add(entry.steps);
  builder.finish();
  return tables;
}

std::vector<std::byte> constant_bytes(const ConstantData& data) {
  std::vector<std::byte> out;
  out.reserve(data.elements.size() * static_cast<size_t>(dtype_bytes(data.dtype)));
  for (const double value : data.elements) {
    switch (data.dtype) {
      case DType::kF32:
        append(out, static_cast<float>(value));
        break;
      case DType::kF64:
        append(out, value);
        break;
      case DType::kBF16:
        append(out, half_bits(value, 8, 7));
        break;
      case DType::kF16:
        append(out, half_bits(value, 5, 10));
        break;
      case DType::kI32:
        append(out, static_cast<int32_t>(value));
        break;
      case DType::kI64:
        append(out, static_cast<int64_t>(value));
        break;
      case DType::kU8:
      case DType::kBool:
        append(out, static_cast<uint8_t>(value));
        break;
    }
  }
  return out;
}

}  // namespace gradc::kernel
