#include "codegen/kernel/program_builder.h"

#include "codegen/kernel/barriers.h"
#include "codegen/kernel/kernel_printer.h"

#include <fmt/format.h>

#include <bit>

namespace gradc::kernel {

uint32_t ProgramBuilder::kernel(Kernel kernel) {
  const auto [it, is_new] =
      kernels_.try_emplace(canonical_text(kernel), static_cast<uint32_t>(program_.kernels.size()));
  if (!is_new) return it->second;
  std::string name = kernel.name;
  for (int i = 1; !names_.insert(name).second; ++i)
    name = fmt::format("{}.{}", kernel.name, i);
  kernel.name = std::move(name);
  program_.kernels.push_back(std::move(kernel));
  return it->second;
}

int64_t ProgramBuilder::constant(DType dtype, const Dense& elements, int64_t count) {
  const bool is_one = elements->size() == 1;
  const auto key = std::tuple{dtype, is_one ? nullptr : static_cast<const void*>(elements.get()),
                              is_one ? std::bit_cast<uint64_t>(elements->front()) : 0, count};
  const auto [it, is_new] =
      constants_.try_emplace(key, static_cast<int64_t>(program_.constants.size()));
  if (is_new) {
    ConstantData data{dtype, *elements};
    if (is_one) data.elements.assign(static_cast<size_t>(count), (*elements)[0]);
    program_.constants.push_back(std::move(data));
    alive_.push_back(elements);
  }
  return it->second;
}

void ProgramBuilder::add(Entry entry) {
  place_barriers(program_, entry);
  program_.entries.push_back(std::move(entry));
}

}  // namespace gradc::kernel
