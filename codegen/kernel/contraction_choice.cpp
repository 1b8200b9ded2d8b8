#include "codegen/kernel/contraction_choice.h"

#include <algorithm>

namespace gradc::kernel {

namespace {

constexpr int64_t kTinyProducts = 2048;  // fewer fill no register tile

}  // namespace

int64_t size_of(const Contraction& c, DimClass cls) {
  int64_t size = 1;
  for (const ContractionDim& dim : c.dims)
    size *= dim.cls == cls ? dim.extent : 1;
  return size;
}

const ContractionDim* innermost_k(const Contraction& c) {
  const auto found = std::find_if(c.dims.rbegin(), c.dims.rend(), [](const ContractionDim& dim) {
    return dim.cls == DimClass::kK && dim.extent > 1;
  });
  return found == c.dims.rend() ? nullptr : &*found;
}

const ContractionDim* outermost_k(const Contraction& c) {
  const auto found = std::find_if(c.dims.begin(), c.dims.end(), [](const ContractionDim& dim) {
    return dim.cls == DimClass::kK && dim.extent > 1;
  });
  return found == c.dims.end() ? nullptr : &*found;
}

bool is_dot(const Contraction& c) {
  constexpr int64_t kShort = 8;
  constexpr int64_t kFew = 4;
  const ContractionDim* inner = innermost_k(c);
  if (inner == nullptr || inner->extent < kShort) return false;
  if (inner->strides[kA] != 1 || inner->strides[kB] != 1) return false;
  const int64_t m = size_of(c, DimClass::kM);
  const int64_t n = size_of(c, DimClass::kN);
  return std::min(m, n) < kFew || m * n * size_of(c, DimClass::kK) <= kTinyProducts;
}

bool prefers_nest(const Contraction& c) {
  const int64_t m = size_of(c, DimClass::kM);
  const int64_t n = size_of(c, DimClass::kN);
  const int64_t k = size_of(c, DimClass::kK);
  if (n < 4 || k == 1 || m * n * k <= kTinyProducts) return true;
  if (m > 1) return false;
  for (const ContractionDim& dim : c.dims) {
    if (dim.cls == DimClass::kN && dim.strides[kB] == 1) return false;
  }
  return true;
}

bool is_depthwise(const Contraction& c) {
  return runs_along_channels(c) && size_of(c, DimClass::kM) > size_of(c, DimClass::kK);
}

bool runs_along_channels(const Contraction& c) {
  constexpr int64_t kFewChannels = 8;
  if (size_of(c, DimClass::kN) != 1) return false;
  return std::any_of(c.dims.begin(), c.dims.end(), [](const ContractionDim& dim) {
    const std::vector<int64_t>& s = dim.strides;
    return dim.cls == DimClass::kBatch && dim.extent >= kFewChannels && s[kA] == 1 && s[kB] == 1 &&
           s[kY] == 1;
  });
}

bool sums_in_groups(const Contraction& c) {
  constexpr int64_t kLongSum = 512;
  return size_of(c, DimClass::kK) > kLongSum;
}

int64_t split_chunks(const Contraction& c) {
  constexpr int64_t kTile = 24;
  constexpr int64_t kFewTiles = 8;
  constexpr int64_t kLongK = 4096;
  constexpr int64_t kChunkK = 512;
  constexpr int64_t kMostChunks = 32;
  const int64_t k = size_of(c, DimClass::kK);
  const int64_t tiles = size_of(c, DimClass::kBatch) *
                        ((size_of(c, DimClass::kM) + kTile - 1) / kTile) *
                        ((size_of(c, DimClass::kN) + kTile - 1) / kTile);
  if (k < kLongK || tiles > kFewTiles) return 1;
  const int64_t extent = outermost_k(c)->extent;
  int64_t best = 1;
  for (int64_t p = 2; p <= std::min(kMostChunks, extent); ++p) {
    if (extent % p == 0 && k / p >= kChunkK) best = p;
  }
  return best >= 4 ? best : 1;
}

}  // namespace gradc::kernel
