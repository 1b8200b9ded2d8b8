// Contractions as plain loop nests, where a register tile would be mostly empty, whole or in
// pieces.
#include "codegen/kernel/contraction_beside.h"
#include "codegen/kernel/contraction_choice.h"
#include "codegen/kernel/lower_contraction.h"
#include "support/check.h"

#include <algorithm>
#include <functional>

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

ExprId operand_a(const Contraction& c, NestCursor& at) {
  Emitter& e = at.emitter();
  if (c.copy.valid()) return e.builder().load(c.copy, at.at(kA).affine);
  const ExprId zero = e.builder().constant(0, e.body().type(c.a).dtype);
  ExprId condition;
  for (size_t g = 0; g < c.guards.size(); ++g) {
    const Index place = at.at(kFirstGuard + g);
    if (e.never_in_range(place, 0, c.guards[g].last))  // the window sees padding only
      return e.builder().constant(0, c.types.multiply);
    condition = e.both(condition, e.in_range(place, 0, c.guards[g].last));
  }
  return e.builder().cast(e.guarded(condition, c.a, at.at(kA), zero), c.types.multiply);
}

ExprId operand_b(const Contraction& c, NestCursor& at) {
  Emitter& e = at.emitter();
  return e.builder().cast(e.value(c.b, at.at(kB)), c.types.multiply);
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

/// The sums of a nest, at every point so many beside each other.
Status add_sums(Unit& unit, const Unit::Frame& frame, const Contraction& c, Nest nest,
                const std::vector<std::vector<int64_t>>& beside, const SumStores& stored,
                bool joins) {
  std::vector<LocalId> sums(beside.size());
  nest.stages.emplace_back();
  for (size_t i = 0; i < beside.size(); ++i) {
    const std::vector<int64_t>& offsets = beside[i];
    Reduction r;
    r.dtype = c.types.accumulate();
    r.value = [&](NestCursor& at) {
      NestCursor there = moved(at, offsets);
      return operand_a(c, there);
    };
    r.factor = [&](NestCursor& at) { return operand_b(c, at); };
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

Status lower_as_nest(Unit& unit, const Contraction& part, const std::optional<Copy>& copy, bool dot,
                     bool joins) {
  constexpr size_t kFewNodes = 6;  // more behind a sum are much code for every neighbour
  constexpr int64_t kLongTile = 8;
  constexpr int64_t kShortTile = 4;
  const Graph& body = unit.body();
  Unit::Frame frame = unit.frame(part.suffix);
  const Contraction c = with_copy(part, copy, frame);
  Nest nest = nest_of(c);
  set_order(nest, dot, sums_in_groups(c));
  std::vector<std::vector<int64_t>> beside = {std::vector<int64_t>(nest.offsets.size(), 0)};
  const int64_t row = body.num_nodes() <= kFewNodes ? kLongTile : kShortTile;
  if (!dot) beside = take_beside(c, nest, copy && is_depthwise(c) ? row : 1);
  const SumStores stored = [&](NestCursor& at, LocalId sum) {
    bind_sum(c, at, kY, sum);
    return output_stores(frame, body, at, kY);
  };
  return add_sums(unit, frame, c, std::move(nest), beside, stored, joins);
}

Status lower_in_pieces(Unit& unit, const Contraction& part, const std::optional<Copy>& copy,
                       size_t outer) {
  const int64_t size = unit.body().type(part.y).num_elements();
  const DType dtype = part.types.accumulate();
  Unit::Frame frame = unit.frame(".partial");
  const Contraction c = with_copy(part, copy, frame);
  const size_t space = kFirstGuard + c.guards.size();
  Nest nest = nest_of(c);
  set_order(nest, false, true);
  for (NestDim& dim : nest.dims)
    dim.strides.push_back(dim.strides[kY]);
  nest.offsets.push_back(0);
  std::vector<int64_t> pieces;
  for (NestDim& dim : nest.dims) {
    if (!dim.reduce || pieces.size() == outer) continue;
    pieces.push_back(dim.extent);
    dim.reduce = false;
    dim.group = 0;
  }
  int64_t step = size;
  for (size_t d = nest.dims.size(), left = outer; d-- > 0;) {
    const NestDim& inner = nest.dims[d];
    if (inner.reduce || left == 0) continue;
    nest.dims[d].strides[space] = step;
    step *= inner.extent;
    --left;
  }
  const int64_t count = step / size;
  const UnitRef partial = unit.temporary(dtype, Shape{count, size});
  const BufferId out = frame.add("partial", dtype, Shape{count, size}, BufferRole::kOut, partial);
  nest.rows_share = true;
  const auto beside = take_beside(c, nest, 1);
  const SumStores stored = [&](NestCursor& at, LocalId sum) {
    return std::vector<NestStore>{{out, at.at(space), at.emitter().builder().read(sum)}};
  };
  GRADC_TRY_STATUS(add_sums(unit, frame, c, std::move(nest), beside, stored, false));
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
  return dims > 2 && 2 * taps <= innermost_k(c)->extent ? 2 : 1;
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
