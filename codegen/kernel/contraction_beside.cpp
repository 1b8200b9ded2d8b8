#include "codegen/kernel/contraction_beside.h"

#include "codegen/kernel/contraction_choice.h"

#include <algorithm>
#include <utility>

namespace gradc::kernel {

namespace {

/// How many of so many neighbours one pass makes: their sums, an element of the window and one of
/// the filter fit into 16 registers.
int64_t tile_of(int64_t extent, int64_t least, int64_t most) {
  for (int64_t tile = most; tile >= least && tile > 1; --tile) {
    if (extent % tile == 0) return tile;
  }
  return 1;
}

/// Neighbours in a row of windows, which share the filter's elements and most of what they read.
/// Of so many sums beside each other guards are choices of addresses, of fewer they are branches.
/// Pixels so far apart that they evict one another are read from a copy only.
std::vector<std::vector<int64_t>> take_row(const Contraction& c, Nest& nest, int64_t most) {
  constexpr int64_t kManySums = 6;
  constexpr int64_t kCollide = 256;
  std::vector<std::vector<int64_t>> beside = {std::vector<int64_t>(nest.offsets.size(), 0)};
  const auto row = std::find_if(nest.dims.rbegin(), nest.dims.rend(), [](const NestDim& dim) {
    return !dim.reduce && dim.strides[kA] > 1 && dim.strides[kB] == 0 && dim.strides[kY] > 1;
  });
  if (row == nest.dims.rend()) return beside;
  const bool in_place = !c.copy.valid();
  if (in_place && (row->strides[kA] % kCollide == 0 || row->strides[kY] % kCollide == 0))
    return beside;
  const int64_t tile = tile_of(row->extent, in_place ? kManySums : 1, most);
  if (in_place && tile == 1) return beside;
  nest.rows_share = true;
  for (int64_t i = 1; i < tile; ++i) {
    beside.push_back(beside.front());
    for (size_t space = 0; space < nest.offsets.size(); ++space)
      beside.back()[space] += i * row->strides[space];
  }
  row->extent /= tile;
  for (int64_t& stride : row->strides)
    stride *= tile;
  return beside;
}

}  // namespace

std::vector<std::vector<int64_t>> take_beside(const Contraction& c, Nest& nest, int64_t row) {
  if (row > 1) return take_row(c, nest, row);
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
