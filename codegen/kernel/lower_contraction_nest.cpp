// Contractions as plain loop nests, where a register tile would be mostly empty, whole or in
// pieces.
#include "codegen/kernel/contraction_beside.h"
#include "codegen/kernel/contraction_choice.h"
#include "codegen/kernel/lower_contraction.h"
#include "support/check.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

namespace gradc::kernel {

std::vector<NestDim> nest_dims(const Contraction& c) {
  std::vector<NestDim> dims;
  for (const ContractionDim& dim : c.dims) {
    if (dim.extent == 1) continue;
    dims.push_back({dim.name, dim.extent, dim.cls == DimClass::kK, dim.strides, group_of(dim.cls)});
  }
  return dims;
}

std::vector<int64_t> space_offsets(const Contraction& c) {
  std::vector<int64_t> offsets = {c.a_offset, c.b_offset, c.y_offset};
  for (const ContractionGuard& guard : c.guards)
    offsets.push_back(guard.offset);
  return offsets;
}

ExprId operand_a(const Contraction& c, NestCursor& at, ExprId counts) {
  Emitter& e = at.emitter();
  if (c.copy.valid()) {
    const ExprId element = e.builder().load(c.copy, at.at(kA).affine);
    if (!counts.valid()) return element;
    return e.builder().guard(counts, element, e.builder().constant(0, c.types.multiply));
  }
  const ExprId zero = e.builder().constant(0, e.body().type(c.a).dtype);
  ExprId condition = counts;
  for (size_t g = 0; g < c.guards.size(); ++g) {
    const Index place = at.at(kFirstGuard + g);
    if (e.never_in_range(place, 0, c.guards[g].last))  // the window sees padding only
      return e.builder().constant(0, c.types.multiply);
    condition = e.both(condition, e.in_range(place, 0, c.guards[g].last));
  }
  return e.builder().cast(e.guarded(condition, c.a, at.at(kA), zero), c.types.multiply);
}

ExprId operand_b(const Contraction& c, NestCursor& at, ExprId counts) {
  Emitter& e = at.emitter();
  const ExprId zero = e.builder().constant(0, e.body().type(c.b).dtype);
  return e.builder().cast(e.guarded(counts, c.b, at.at(kB), zero), c.types.multiply);
}

void bind_sum(const Contraction& c, NestCursor& at, size_t space, LocalId sum) {
  Emitter& e = at.emitter();
  if (c.types.accumulate() != c.types.result) {
    const ExprId rounded = e.builder().cast(e.builder().read(sum), c.types.result);
    sum = e.kernel().expr(e.let(rounded, "rounded")).local;
  }
  e.bind_local(c.y, sum, at.at(space));
}

Contraction with_copy(const Contraction& c, const std::optional<Copy>& copy, Unit::Frame& frame) {
  Contraction result = c;
  if (copy)
    result.copy =
        frame.add("padded", c.types.multiply, Shape{copy->size}, BufferRole::kIn, copy->ref);
  return result;
}

namespace {

constexpr int kRowsGroup = 100;  // of dimensions that are cut apart, and stay so
constexpr int kBlocksGroup = 101;

/// Adds products as they come, long sums in groups so that they keep their digits (each dimension
/// is a sum of its own then, so none is merged), or by lanes along the innermost k.
void set_order(Nest& nest, bool dot, bool in_groups) {
  nest.sums = in_groups ? SumOrder::kGroups : SumOrder::kSequence;
  if (dot) nest.sums = SumOrder::kLanes;
  int number = 0;
  for (NestDim& dim : nest.dims) {
    if (dim.reduce && in_groups && !dot) dim.group = ++number;
  }
  if (!dot) return;
  NestDim& inner = nest.dims.back();
  GRADC_CHECK(inner.reduce, "the innermost dimension is one of k");
  inner.group = 1;
  const auto reduced = std::count_if(nest.dims.begin(), nest.dims.end(),
                                     [](const NestDim& dim) { return dim.reduce; });
  nest.lanes_outside = reduced > 1;
}

/// What is stored of a sum.
using SumStores = std::function<std::vector<NestStore>(NestCursor&, LocalId sum)>;

/// Sums that go by in equal blocks end before the last block does: terms count whose position in
/// this space is at most `last`.
struct RowEnd {
  size_t space = 0;
  int64_t last = 0;
};

/// The sums of a nest, at every point so many beside each other.
Status add_sums(Unit& unit, const Unit::Frame& frame, const Contraction& c, Nest nest,
                const std::vector<std::vector<int64_t>>& beside, const SumStores& stored,
                bool joins, std::optional<RowEnd> end = {}) {
  std::vector<LocalId> sums(beside.size());
  const auto counts = [&](NestCursor& at) {
    return end ? at.emitter().in_range(at.at(end->space), 0, end->last) : ExprId{};
  };
  nest.stages.emplace_back();
  for (size_t i = 0; i < beside.size(); ++i) {
    const std::vector<int64_t>& offsets = beside[i];
    Reduction r;
    r.dtype = c.types.accumulate();
    r.value = [&](NestCursor& at) {
      NestCursor there = moved(at, offsets);
      return operand_a(c, there, counts(at));
    };
    r.factor = [&](NestCursor& at) { return operand_b(c, at, counts(at)); };
    r.done = [&sums, i](NestCursor&, LocalId acc) { sums[i] = acc; };
    nest.stages.back().push_back(std::move(r));
  }
  nest.points = [&](NestCursor& at) {
    std::vector<NestStore> stores;
    for (size_t i = 0; i < beside.size(); ++i) {
      NestCursor there = moved(at, beside[i]);
      for (NestStore& store : stored(there, sums[i]))
        stores.push_back(std::move(store));
    }
    return stores;
  };
  GRADC_TRY(Kernel kernel, build_nest(frame.kernel, unit.body(), nest));
  kernel.flops = 2 * size_of(c, DimClass::kBatch) * size_of(c, DimClass::kM) *
                 size_of(c, DimClass::kN) * size_of(c, DimClass::kK);
  unit.add_call(frame, std::move(kernel), joins);
  return Ok{};
}

Nest nest_of(const Contraction& c) {
  Nest nest;
  nest.dims = nest_dims(c);
  for (NestDim& dim : nest.dims)
    dim.group = 0;
  nest.offsets = space_offsets(c);
  return nest;
}

}  // namespace

namespace {

/// How many neighbours of a row of depthwise windows one pass may make. Their many streams of reads
/// and writes are no pattern that memory foresees: without a copy only what the caches hold.
int64_t neighbours_of_row(const Graph& body, const Contraction& c) {
  constexpr size_t kFewNodes = 6;  // more behind a sum are much code for every neighbour
  constexpr int64_t kLongTile = 8;
  constexpr int64_t kShortTile = 4;
  constexpr int64_t kCached = int64_t{8} << 20;  // bytes
  if (!is_depthwise(c)) return 1;
  const int64_t most = body.num_nodes() <= kFewNodes ? kLongTile : kShortTile;
  if (c.copy.valid()) return most;
  const auto bytes = [&](ValueId id) {
    return body.type(id).num_elements() * dtype_bytes(body.type(id).dtype);
  };
  return body.is_input(c.a) && bytes(c.a) + bytes(c.y) <= kCached ? most : 1;
}

}  // namespace

Status lower_as_nest(Unit& unit, const Contraction& part, const std::optional<Copy>& copy, bool dot,
                     bool joins) {
  const Graph& body = unit.body();
  Unit::Frame frame = unit.frame(part.suffix);
  const Contraction c = with_copy(part, copy, frame);
  Nest nest = nest_of(c);
  set_order(nest, dot, sums_in_groups(c));
  std::vector<std::vector<int64_t>> beside = {std::vector<int64_t>(nest.offsets.size(), 0)};
  if (!dot) beside = take_beside(c, nest, neighbours_of_row(body, c));
  const SumStores stored = [&](NestCursor& at, LocalId sum) {
    bind_sum(c, at, kY, sum);
    return output_stores(frame, body, at, kY);
  };
  return add_sums(unit, frame, c, std::move(nest), beside, stored, joins);
}

Status lower_by_blocks(Unit& unit, const Contraction& part, const PaddedCopy& copy) {
  const Graph& body = unit.body();
  Unit::Frame frame = unit.frame(part.suffix);
  Contraction c = part;
  c.copy = BufferId(frame.kernel.buffers.size());
  frame.kernel.buffers.push_back({"image", c.types.multiply, Shape{copy.size}, BufferRole::kLocal,
                                  false, dtype_bytes(c.types.multiply)});
  Nest nest = nest_of(c);
  set_order(nest, false, false);
  const auto beside = take_beside(c, nest, neighbours_of_row(body, c));
  share_image_blocks(nest, c, copy);
  const SumStores stored = [&](NestCursor& at, LocalId sum) {
    bind_sum(c, at, kY, sum);
    return output_stores(frame, body, at, kY);
  };
  return add_sums(unit, frame, c, std::move(nest), beside, stored, false);
}

namespace {

/// How many rows, a divisor of theirs, one piece adds up: at most 16, so that sums keep their
/// digits, and fewer where there would be few pieces. Rows that nothing divides are one piece, or
/// one each.
int64_t rows_of_piece(int64_t images, int64_t rows) {
  constexpr int64_t kMostRows = 16;
  constexpr int64_t kEnoughPieces = 16;
  constexpr int64_t kFewPieces = 4;
  for (int64_t count = std::min(kMostRows, rows); count > 1; --count) {
    if (rows % count == 0 && images * (rows / count) >= kEnoughPieces) return count;
  }
  for (int64_t count = 2; count <= kMostRows; ++count) {
    if (rows % count == 0 && rows / count > 1) return count;
  }
  return images >= kFewPieces ? rows : 1;
}

/// Makes the outermost so many dimensions of k points, those of the partial results, which come
/// first of all. The last of several, rows, is cut in two: what threads share, and the rows that
/// are added up one after the other. The pieces' extents.
std::vector<int64_t> take_pieces(Nest& nest, size_t outer, size_t space, int64_t size) {
  std::vector<NestDim> pieces;
  std::vector<int64_t> extents;
  int64_t images = 1;
  for (auto dim = nest.dims.begin(); pieces.size() < outer;) {
    if (!dim->reduce) {
      ++dim;
      continue;
    }
    pieces.push_back(std::move(*dim));
    pieces.back().reduce = false;
    pieces.back().group = 0;
    dim = nest.dims.erase(dim);
    if (pieces.size() < outer) images *= pieces.back().extent;
  }
  std::optional<NestDim> rows;
  if (const int64_t count = rows_of_piece(images, pieces.back().extent); outer > 1 && count > 1) {
    rows = pieces.back();
    rows->extent = count;
    rows->adds = true;
    rows->group = kRowsGroup;
    pieces.back().name += "s";
    pieces.back().extent /= count;
    for (int64_t& stride : pieces.back().strides)
      stride *= count;
  }
  int64_t step = size;
  for (size_t d = pieces.size(); d-- > 0; step *= pieces[d].extent)
    pieces[d].strides[space] = step;
  for (const NestDim& piece : pieces)
    extents.push_back(piece.extent);
  if (rows) pieces.push_back(std::move(*rows));
  nest.dims.insert(nest.dims.begin(), pieces.begin(), pieces.end());
  return extents;
}

/// Cuts the innermost sum, if it is too long to be unrolled, into equal blocks that are, and that
/// reach as little beyond its end as may be.
void take_blocks(Nest& nest, int64_t sums) {
  constexpr int64_t kManySums = 6;
  constexpr int64_t kUnrolled = 128;  // products
  constexpr int64_t kBlock = 72;
  constexpr int64_t kLongest = 16;
  NestDim& row = nest.dims.back();
  if (sums < kManySums || row.extent <= std::min(kLongest, kUnrolled / sums)) return;
  const auto rounded = [&](int64_t length) { return (row.extent + length - 1) / length * length; };
  int64_t best = kBlock / sums;
  for (int64_t length = best; 2 * length > kBlock / sums; --length) {
    if (rounded(length) < rounded(best)) best = length;
  }
  NestDim blocks = row;
  blocks.name += "b";
  blocks.group = kBlocksGroup;
  blocks.extent = rounded(best) / best;
  for (int64_t& stride : blocks.strides)
    stride *= best;
  row.extent = best;
  nest.dims.insert(nest.dims.end() - 1, std::move(blocks));
}

}  // namespace

Status lower_in_pieces(Unit& unit, const Contraction& part, const std::optional<Copy>& copy,
                       size_t outer) {
  const int64_t size = unit.body().type(part.y).num_elements();
  const DType dtype = part.types.accumulate();
  Unit::Frame frame = unit.frame(".partial");
  const Contraction c = with_copy(part, copy, frame);
  const size_t space = kFirstGuard + c.guards.size();  // of the partial results
  const size_t along = space + 1;                      // in a row
  Nest nest = nest_of(c);
  set_order(nest, false, true);
  for (NestDim& dim : nest.dims) {
    dim.strides.push_back(dim.strides[kY]);
    dim.strides.push_back(0);
  }
  nest.dims.back().strides[along] = 1;
  nest.offsets.insert(nest.offsets.end(), 2, 0);
  const RowEnd end{along, nest.dims.back().extent - 1};
  const std::vector<int64_t> pieces = take_pieces(nest, outer, space, size);
  const int64_t count =
      std::accumulate(pieces.begin(), pieces.end(), int64_t{1}, std::multiplies<>());
  const bool adds =
      std::any_of(nest.dims.begin(), nest.dims.end(), [](const NestDim& dim) { return dim.adds; });
  const UnitRef partial = unit.temporary(dtype, Shape{count, size});
  const BufferId out = frame.add("partial", dtype, Shape{count, size}, BufferRole::kOut, partial);
  nest.rows_share = true;
  const auto beside = take_beside(c, nest, 1);
  take_blocks(nest, static_cast<int64_t>(beside.size()));
  const SumStores stored = [&](NestCursor& at, LocalId sum) {
    return std::vector<NestStore>{{out, at.at(space), at.emitter().builder().read(sum), adds}};
  };
  nest.zeros = [&](NestCursor& at) {
    std::vector<NestStore> stores;
    for (const std::vector<int64_t>& offsets : beside) {
      const ExprId zero = at.emitter().builder().constant(0, dtype);
      stores.push_back({out, moved(at, offsets).at(space), zero});
    }
    return stores;
  };
  GRADC_TRY_STATUS(add_sums(unit, frame, c, std::move(nest), beside, stored, false, end));
  return lower_combine(unit, c, pieces, partial);
}

size_t piece_dims(const Contraction& c) {
  constexpr int64_t kWork = 1 << 18;
  constexpr int64_t kMostTaps = 64;
  const int64_t taps = size_of(c, DimClass::kM);
  const int64_t terms = size_of(c, DimClass::kK);
  if (!runs_along_channels(c) || !sums_in_groups(c) || taps > kMostTaps) return 0;
  if (size_of(c, DimClass::kBatch) * taps * terms < kWork) return 0;
  const auto dims = std::count_if(c.dims.begin(), c.dims.end(), [](const ContractionDim& dim) {
    return dim.cls == DimClass::kK && dim.extent > 1;
  });
  if (dims < 2) return 0;
  // Sums of rows are few beside what they are made of only where rows are long.
  return dims > 2 && 2 * taps <= innermost_k(c)->extent ? static_cast<size_t>(dims) - 1 : 1;
}

Status lower_combine(Unit& unit, const Contraction& c, const std::vector<int64_t>& pieces,
                     UnitRef partial) {
  const Graph& body = unit.body();
  const DType dtype = c.types.accumulate();
  const int64_t size = body.type(c.y).num_elements();
  int64_t step = size;
  Nest nest;
  nest.offsets = {c.y_offset, c.y_offset};
  for (size_t i = pieces.size(); i-- > 0; step *= pieces[i])
    nest.dims.insert(nest.dims.begin(), {"piece", pieces[i], true, {0, step}, static_cast<int>(i)});
  for (const NestDim& dim : nest_dims(c)) {
    if (!dim.reduce)
      nest.dims.push_back({dim.name, dim.extent, false, {dim.strides[kY], dim.strides[kY]}});
  }
  Unit::Frame frame = unit.frame(".combine");
  const BufferId in =
      frame.add("partial", dtype, Shape{step / size, size}, BufferRole::kIn, partial);
  Reduction r;
  r.dtype = dtype;
  r.value = [in](NestCursor& at) { return at.emitter().builder().load(in, at.at(1).affine); };
  r.done = [&c](NestCursor& at, LocalId acc) { bind_sum(c, at, 0, acc); };
  nest.stages.push_back({std::move(r)});
  nest.points = [&](NestCursor& at) { return output_stores(frame, body, at, 0); };
  return unit.add_nest(frame, nest);
}

Status lower_as_zero(Unit& unit, const Contraction& c, bool joins) {
  const Graph& body = unit.body();
  const Unit::Frame frame = unit.frame(c.suffix);
  Nest nest = nest_of(c);
  std::erase_if(nest.dims, [](const NestDim& dim) { return dim.reduce; });
  nest.points = [&](NestCursor& at) {
    Emitter& e = at.emitter();
    const ExprId zero = e.let(e.builder().constant(0, body.type(c.y).dtype), "zero");
    e.bind_local(c.y, e.kernel().expr(zero).local, at.at(kY));
    return output_stores(frame, body, at, kY);
  };
  return unit.add_nest(frame, nest, joins);
}

}  // namespace gradc::kernel
