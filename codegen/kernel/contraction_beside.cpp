#include "codegen/kernel/contraction_beside.h"

#include "codegen/kernel/contraction_choice.h"

#include <algorithm>
#include <utility>

namespace gradc::kernel {

std::vector<std::vector<int64_t>> take_beside(const Contraction& c, Nest& nest) {
  constexpr int64_t kMostBeside = 12;
  constexpr int64_t kEnough = 32;
  constexpr int64_t kShortSum = 32;
  int64_t left = 1;
  for (const NestDim& dim : nest.dims)
    left *= dim.reduce ? 1 : dim.extent;
  std::vector<std::vector<int64_t>> beside = {std::vector<int64_t>(nest.offsets.size(), 0)};
  for (size_t d = c.dims.size(); d-- > 0 && size_of(c, DimClass::kK) >= kShortSum;) {
    const ContractionDim& dim = c.dims[d];
    const auto at = std::find_if(nest.dims.begin(), nest.dims.end(),
                                 [&](const NestDim& n) { return n.name == dim.name; });
    if (dim.cls != DimClass::kM || dim.strides[kB] != 0 || at == nest.dims.end()) continue;
    const auto count = static_cast<int64_t>(beside.size()) * dim.extent;
    if (count > kMostBeside || left / dim.extent < kEnough) break;
    left /= dim.extent;
    std::vector<std::vector<int64_t>> more;
    for (int64_t i = 0; i < dim.extent; ++i) {
      for (std::vector<int64_t> offsets : beside) {
        for (size_t space = 0; space < offsets.size(); ++space)
          offsets[space] += i * at->strides[space];
        more.push_back(std::move(offsets));
      }
    }
    beside = std::move(more);
    nest.dims.erase(at);
  }
  return beside;
}

NestCursor moved(NestCursor& at, const std::vector<int64_t>& offsets) {
  std::vector<Index> spaces;
  for (size_t space = 0; space < offsets.size(); ++space) {
    spaces.push_back(at.at(space));
    spaces.back().affine.offset += offsets[space];
  }
  return {at.emitter(), std::move(spaces)};
}

}  // namespace gradc::kernel
