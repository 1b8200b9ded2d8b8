#include "codegen/kernel/image_blocks.h"

#include "codegen/kernel/contraction_choice.h"
#include "ir/conv_geometry.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace gradc::kernel {

namespace {

constexpr int kSharedGroup = 102;
// Spaces of what a block copies.
constexpr size_t kSource = kFirstGuard;
constexpr size_t kRow = kFirstGuard + 1;

/// Of an operand with zeros around it.
struct Image {
  int64_t images = 1, rows = 1, channels = 1;
  int64_t results = 1;    ///< rows of windows
  int64_t step = 1;       ///< rows from one of these to the next
  int64_t row_bytes = 1;  ///< of one channel
};

struct BlockSize {
  int64_t channels = 1;
  int64_t results = 1;  ///< rows of windows
};

/// Elements from one pixel of a copy to the next: a line apart, so that neighbours lie in sets of
/// the first cache of their own.
int64_t pixel_of(int64_t channels) {
  constexpr int64_t kLine = 16;
  return channels + kLine;
}

int64_t rows_of(const Image& image, int64_t results) {
  return image.rows - (image.results - results) * image.step;
}

/// Few channels, so that the first cache holds the rows that windows share, and as many rows as a
/// part of the second cache holds, or fewer where threads would have too little to share.
std::optional<BlockSize> choose_block(const Image& image) {
  constexpr int64_t kMostChannels = 64;
  constexpr int64_t kVector = 16;
  constexpr int64_t kBytes = 384 * 1024;
  constexpr int64_t kEnoughBlocks = 8;
  for (int64_t channels = std::min(image.channels, kMostChannels); channels > 0; --channels) {
    if (image.channels % channels != 0) continue;
    if (channels % kVector != 0 && channels != image.channels) continue;
    for (int64_t results = image.results; results > 0; --results) {
      const int64_t rows = rows_of(image, results);
      if (image.results % results != 0 || rows * image.row_bytes * pixel_of(channels) > kBytes)
        continue;
      if (2 * rows > 3 * results * image.step) break;  // most would be copied twice
      const int64_t parts = image.channels / channels * (image.results / results);
      if (image.images * parts >= kEnoughBlocks) return BlockSize{channels, results};
    }
  }
  return std::nullopt;
}

/// Cuts so many steps of a dimension off, which move by `by` in the spaces of what is copied and
/// not in the copy; the rest of it to `blocks`.
void cut(ContractionDim& dim, int64_t extent, std::array<int64_t, 2> by,
         std::vector<ContractionDim>& blocks) {
  blocks.push_back(dim);
  ContractionDim& outer = blocks.back();
  outer.name += "b";
  outer.extent /= extent;
  for (int64_t& stride : outer.strides)
    stride *= extent;
  outer.strides[kA] = 0;
  outer.strides[kSource] = by[0] * extent;
  outer.strides[kRow] = by[1] * extent;
  dim.extent = extent;
}

}  // namespace

bool wants_image_blocks(const Graph& body, const ContractionSet& set) {
  constexpr int64_t kCollide = 256;  // elements: pixels so far apart evict one another
  constexpr int64_t kFewTerms = 128;
  constexpr int64_t kCached = int64_t{8} << 20;  // bytes
  if (set.parts.size() != 1) return false;
  const Contraction& c = set.parts.front();
  if (c.empty || c.guards.empty() || !is_depthwise(c)) return false;
  const int64_t terms = size_of(c, DimClass::kK);
  const int64_t channels = size_of(c, DimClass::kBatch);
  if (terms > kFewTerms || channels % kCollide != 0) return false;
  const auto bytes = [&](ValueId id) {
    return body.type(id).num_elements() * dtype_bytes(body.type(id).dtype);
  };
  return channels * size_of(c, DimClass::kM) * terms >= kPaddedProducts &&
         bytes(c.a) + bytes(c.y) <= kCached;
}

std::optional<PaddedCopy> take_image_blocks(ContractionSet& set) {
  Contraction& c = set.parts.front();
  PaddedCopy copy = *set.padded;
  const NestDim images = copy.dims.front();
  copy.dims.erase(copy.dims.begin());
  NestDim& rows = copy.dims.front();
  NestDim& channels = copy.dims.back();
  const int64_t pixel = copy.dims[copy.dims.size() - 2].strides[0];
  const auto results = std::find_if(c.dims.begin(), c.dims.end(), [&](const ContractionDim& dim) {
    return dim.cls == DimClass::kM && dim.strides[kA] < images.strides[0];
  });
  if (results == c.dims.end()) return std::nullopt;
  const int64_t step = results->strides[kA] / rows.strides[0];
  const int64_t row_bytes = rows.strides[0] / pixel * dtype_bytes(c.types.multiply);
  const Image image{images.extent, rows.extent, channels.extent, results->extent, step, row_bytes};
  const std::optional<BlockSize> size = choose_block(image);
  if (!size) return std::nullopt;
  std::vector<ContractionDim> blocks, own, of_channels;
  for (ContractionDim& dim : c.dims) {
    dim.strides.resize(kRow + 1, 0);
    if (&dim == &*results) {
      cut(dim, size->results, {step * rows.strides[1], step}, blocks);
    } else if (dim.cls == DimClass::kM && dim.strides[kA] >= images.strides[0]) {
      cut(dim, 1, {images.strides[1], 0}, blocks);
    } else if (dim.cls == DimClass::kBatch && dim.strides[kA] == 1) {
      cut(dim, size->channels, {1, 0}, of_channels);
    }
    own.push_back(dim);
  }
  blocks.insert(blocks.end(), of_channels.begin(), of_channels.end());
  blocks.insert(blocks.end(), own.begin(), own.end());
  c.dims = std::move(blocks);
  const auto repitch = [&](int64_t& elements) {
    if (elements != 1) elements = elements / pixel * pixel_of(size->channels);
  };
  for (ContractionDim& dim : c.dims)
    repitch(dim.strides[kA]);
  repitch(c.a_offset);
  for (NestDim& dim : copy.dims)
    repitch(dim.strides[0]);
  rows.extent = rows_of(image, size->results);
  channels.extent = size->channels;
  copy.size = rows.extent * rows.strides[0];
  return copy;
}

namespace {

/// The loops of a copy from the d-th on.
void copy_image(NestCursor& at, const Contraction& c, const PaddedCopy& copy, size_t d) {
  Emitter& e = at.emitter();
  if (d == copy.dims.size()) {
    ExprId inside;
    for (size_t axis = 0; axis < copy.last.size(); ++axis)
      inside = e.both(inside, e.in_range(at.at(2 + axis), 0, copy.last[axis]));
    const ExprId zero = e.builder().constant(0, e.body().type(c.a).dtype);
    const ExprId value = e.guarded(inside, c.a, at.at(1), zero);
    const ExprId element = e.builder().cast(value, c.types.multiply);
    e.block().push_back(Store{c.copy, at.at(0).affine, {}, element, false});
    return;
  }
  const NestDim& dim = copy.dims[d];
  auto loop = std::make_unique<For>();
  loop->var = e.new_var(dim.name, dim.extent);
  loop->end = dim.extent;
  loop->kind = d + 1 == copy.dims.size() ? LoopKind::kVector : LoopKind::kSerial;
  std::vector<Index> spaces;
  for (size_t space = 0; space < copy.offsets.size(); ++space) {
    spaces.push_back(at.at(space));
    if (dim.strides[space] != 0)
      spaces.back().affine.add(Affine::variable(loop->var), dim.strides[space]);
  }
  e.open(&loop->body, {loop->var});
  NestCursor inner(e, std::move(spaces));
  copy_image(inner, c, copy, d + 1);
  e.close();
  e.block().push_back(std::move(loop));
}

}  // namespace

void share_image_blocks(Nest& nest, const Contraction& c, const PaddedCopy& copy) {
  nest.offsets.resize(kRow + 1, 0);
  for (NestDim& dim : nest.dims) {
    if (dim.reduce || dim.strides[kA] != 0) continue;
    dim.group = kSharedGroup;
    dim.shared = true;
  }
  nest.rows_share = true;
  nest.first = [&c, &copy](NestCursor& at) {
    std::vector<Index> spaces;
    for (const int64_t offset : copy.offsets)
      spaces.push_back(Emitter::constant_index(offset));
    spaces[1].affine.add(at.at(kSource).affine);
    spaces[2].affine.add(at.at(kRow).affine);
    NestCursor begin(at.emitter(), std::move(spaces));
    copy_image(begin, c, copy, 0);
  };
}

}  // namespace gradc::kernel
