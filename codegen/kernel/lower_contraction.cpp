// Contractions: matmul, convolution and both its gradients brought to one form (dimensions of the
// classes batch, m, n and k with strides in the operands and the result), then emitted as a
// Contract with prologue and epilogue, as a plain loop nest where a register tile would be mostly
// empty, or split over k where there is too little of m and n.
#include "codegen/kernel/lower_contraction.h"

#include "codegen/kernel/contraction.h"
#include "codegen/kernel/contraction_choice.h"
#include "codegen/kernel/nest_access.h"
#include "ir/conv_geometry.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace gradc::kernel {

namespace {

/// Splits dimensions where views of the operands or results need it, all but `whole` and, with
/// `whole_k`, those of k.
void refine(Contraction& c, Emitter& emitter, const Graph& body, bool padded,
            const ContractionDim* whole, bool whole_k) {
  std::set<int64_t> cuts_y;
  for (const GraphOutput& output : body.outputs()) {
    const std::set<int64_t>& below = emitter.cuts(output.value);
    cuts_y.insert(below.begin(), below.end());
  }
  static const std::set<int64_t> kNone;
  const std::array<const std::set<int64_t>*, 3> cuts = {padded ? &kNone : &emitter.cuts(c.a),
                                                        &emitter.cuts(c.b), &cuts_y};
  std::vector<ContractionDim> refined;
  for (const ContractionDim& dim : c.dims) {
    std::set<int64_t> relative;
    for (size_t space = 0; space < 3 && &dim != whole; ++space) {
      if (whole_k && dim.cls == DimClass::kK) break;
      const int64_t stride = dim.strides[space];
      if (stride <= 0) continue;
      for (const int64_t cut : *cuts[space]) {
        if (cut % stride == 0 && cut / stride > 1 && cut / stride < dim.extent)
          relative.insert(cut / stride);
      }
    }
    const std::vector<int64_t> chain = stride_chain(relative, dim.extent);
    for (size_t i = chain.size(); i-- > 0;) {
      ContractionDim part = dim;
      part.extent = (i + 1 < chain.size() ? chain[i + 1] : dim.extent) / chain[i];
      if (chain.size() > 1) part.name += std::to_string(chain.size() - 1 - i);
      for (int64_t& stride : part.strides)
        stride *= chain[i];
      refined.push_back(std::move(part));
    }
  }
  c.dims = std::move(refined);
}

// ---- as a Contract
// -------------------------------------------------------------------------------

/// What the epilogue stores: the body's outputs, or the plain sums of a split.
using EpilogueStores = std::function<std::vector<NestStore>(NestCursor&, LocalId sum)>;

class ContractEmission {
 public:
  ContractEmission(const Unit::Frame& frame, const Graph& body, const Contraction& c,
                   const std::vector<NestDim>& dims, const EpilogueStores& stores)
      : c_(c), dims_(dims), stores_(stores), emitter_(kernel_, body) {
    kernel_.name = frame.kernel.name;
    kernel_.buffers = frame.kernel.buffers;
    for (const auto& [value, buffer] : frame.kernel.bindings)
      emitter_.bind_buffer(value, buffer);
    for (const NestDim& dim : dims_)
      vars_.push_back(emitter_.new_var(dim.name, dim.extent));
  }

  const std::string& failure() const { return emitter_.failure(); }
  const std::vector<VarId>& vars() const { return vars_; }
  Kernel& kernel() { return kernel_; }
  Contract& contract() { return *contract_; }
  const std::vector<NestStore>& stores() const { return emitted_; }

  void run() {
    auto contract = std::make_unique<Contract>();
    contract_ = contract.get();
    for (size_t d = 0; d < dims_.size(); ++d)
      list(dims_[d].group).push_back({vars_[d], dims_[d].extent});
    for (const DimClass cls : {DimClass::kM, DimClass::kN, DimClass::kK}) {
      if (list(group_of(cls)).empty())
        list(group_of(cls)).push_back({emitter_.new_var("one", 1), 1});
    }
    emitter_.open(&contract->epilogue, vars_);
    NestCursor at(emitter_, spaces());
    emitter_.allow_lets(false);
    contract->a = operand_a(c_, at);
    contract->b = operand_b(c_, at);
    emitter_.allow_lets(true);
    contract->acc = emitter_.new_local("acc", c_.types.accumulate(), false);
    emitted_ = stores_(at, contract->acc);
    for (NestStore& s : emitted_) {
      if (emitted_.size() > 1 && kernel_.expr(s.expr).kind != ExprKind::kLocal)
        s.expr = emitter_.let(s.expr, "out");
    }
    for (const NestStore& s : emitted_)
      contract->epilogue.push_back(Store{s.buffer, s.at.affine, s.at.dynamic, s.expr, s.add});
    emitter_.close();
    kernel_.body.push_back(std::move(contract));
  }

 private:
  std::vector<ContractDim>& list(int group) {
    if (group == group_of(DimClass::kBatch)) return contract_->batch;
    if (group == group_of(DimClass::kM)) return contract_->m;
    return group == group_of(DimClass::kN) ? contract_->n : contract_->k;
  }

  std::vector<Index> spaces() {
    std::vector<int64_t> offsets = space_offsets(c_);
    offsets.resize(dims_.empty() ? offsets.size() : dims_[0].strides.size(), 0);
    std::vector<Index> result;
    for (size_t s = 0; s < offsets.size(); ++s) {
      Index at = Emitter::constant_index(offsets[s]);
      for (size_t d = 0; d < dims_.size(); ++d) {
        if (dims_[d].strides[s] != 0)
          at.affine.add(Affine::variable(vars_[d]), dims_[d].strides[s]);
      }
      result.push_back(std::move(at));
    }
    return result;
  }

  const Contraction& c_;
  const std::vector<NestDim>& dims_;
  const EpilogueStores& stores_;
  Kernel kernel_;
  Emitter emitter_;
  std::vector<VarId> vars_;
  Contract* contract_ = nullptr;
  std::vector<NestStore> emitted_;
};

int64_t extent_of(const std::vector<ContractDim>& dims) {
  int64_t size = 1;
  for (const ContractDim& dim : dims)
    size *= dim.extent;
  return size;
}

Result<Kernel> build_contract(const Unit::Frame& frame, const Graph& body, const Contraction& c,
                              std::vector<NestDim> dims, const EpilogueStores& stores) {
  ContractEmission dry(frame, body, c, dims, stores);
  dry.run();
  if (!dry.failure().empty())
    return make_error(DiagKind::kInternal, {}, "{}: {}", frame.kernel.name, dry.failure());
  std::vector<Access> accesses;
  for (const NestStore& s : dry.stores())
    accesses.push_back(access_of(dry.kernel(), dry.contract().epilogue, dry.vars(), s.at, 2.0));
  add_accesses(dry.kernel(), dry.contract().epilogue, dry.vars(), accesses);
  merge_dims(dims, accesses);
  ContractEmission real(frame, body, c, dims, stores);
  real.run();
  Contract& contract = real.contract();
  const int64_t products = extent_of(contract.batch) * extent_of(contract.m) *
                           extent_of(contract.n) * extent_of(contract.k);
  contract.parallel = products >= 16384;
  real.kernel().flops = 2 * products;
  return std::move(real.kernel());
}

Status lower_as_contract(Unit& unit, const Contraction& part, const std::optional<Copy>& copy,
                         bool joins) {
  const Graph& body = unit.body();
  Unit::Frame frame = unit.frame(part.suffix);
  const Contraction c = with_copy(part, copy, frame);
  const EpilogueStores stores = [&](NestCursor& at, LocalId sum) {
    bind_sum(c, at, kY, sum);
    return output_stores(frame, body, at, kY);
  };
  GRADC_TRY(Kernel kernel, build_contract(frame, body, c, nest_dims(c), stores));
  unit.add_call(frame, std::move(kernel), joins);
  return Ok{};
}

// ---- split over k
// --------------------------------------------------------------------------------

Status lower_split(Unit& unit, const Contraction& part, const std::optional<Copy>& copy,
                   int64_t chunks) {
  const Graph& body = unit.body();
  const int64_t size = body.type(part.y).num_elements();
  const DType dtype = part.types.accumulate();
  const UnitRef partial = unit.temporary(dtype, Shape{chunks, size});
  Unit::Frame frame = unit.frame(".partial");
  const Contraction c = with_copy(part, copy, frame);
  const BufferId out = frame.add("partial", dtype, Shape{chunks, size}, BufferRole::kOut, partial);
  // One more space: the position in the partial results.
  const size_t space = kFirstGuard + c.guards.size();
  std::vector<NestDim> dims = nest_dims(c);
  for (NestDim& dim : dims)
    dim.strides.push_back(dim.strides[kY]);
  const auto outer =
      std::find_if(dims.begin(), dims.end(), [](const NestDim& d) { return d.reduce; });
  NestDim chunk = *outer;
  outer->extent /= chunks;
  chunk.name = "chunk";
  chunk.reduce = false;
  chunk.group = group_of(DimClass::kBatch);
  chunk.extent = chunks;
  for (int64_t& stride : chunk.strides)
    stride *= outer->extent;
  chunk.strides[space] = size;
  dims.insert(dims.begin(), chunk);
  const EpilogueStores stores = [&](NestCursor& at, LocalId sum) {
    return std::vector<NestStore>{{out, at.at(space), at.emitter().builder().read(sum)}};
  };
  GRADC_TRY(Kernel kernel, build_contract(frame, body, c, dims, stores));
  unit.add_call(frame, std::move(kernel));

  return lower_combine(unit, c, {chunks}, partial);
}

// ---- padded copies
// -------------------------------------------------------------------------------

/// Whether neighbours of a row of windows are a multiple of 2048 bytes apart.
bool channels_collide(const Contraction& c) {
  constexpr int64_t kCollide = 512;  // elements
  return std::any_of(c.dims.begin(), c.dims.end(), [](const ContractionDim& dim) {
    return dim.cls == DimClass::kBatch && dim.strides[kA] == 1 && dim.extent % kCollide == 0;
  });
}

/// Guards cost more than a copy when a big contraction reads every element several times; in a
/// nest each costs as much as its product, and the copy as much as a few of both. Rows of channels
/// that fall into one another's sets of the first cache are read from a copy where they do not.
bool wants_copy(const ContractionSet& set) {
  constexpr int64_t kManyTaps = 16;
  constexpr int64_t kFewTerms = 128;
  int64_t products = 0;
  bool guarded = false;
  for (const Contraction& c : set.parts) {
    if (c.empty) continue;
    const int64_t terms = size_of(c, DimClass::kK);
    const bool fits = terms >= kManyTaps && terms <= kFewTerms;
    const bool collides = runs_along_channels(c) && channels_collide(c);
    if (is_dot(c) || (prefers_nest(c) && !fits && !collides)) return false;
    guarded = guarded || !c.guards.empty();
    products += size_of(c, DimClass::kBatch) * size_of(c, DimClass::kM) * size_of(c, DimClass::kN) *
                size_of(c, DimClass::kK);
  }
  return guarded && products >= kPaddedProducts;
}

Result<Copy> lower_copy(Unit& unit, const PaddedCopy& padded, ValueId source, DType dtype) {
  Unit::Frame frame = unit.frame(".pad");
  const Copy copy{unit.temporary(dtype, Shape{padded.size}), padded.size};
  const BufferId out = frame.add("padded", dtype, Shape{padded.size}, BufferRole::kOut, copy.ref);
  Nest nest;
  nest.dims = padded.dims;
  nest.rows_share = true;
  nest.offsets = padded.offsets;
  nest.points = [&](NestCursor& at) {
    Emitter& e = at.emitter();
    ExprId inside;
    for (size_t axis = 0; axis < padded.last.size(); ++axis)
      inside = e.both(inside, e.in_range(at.at(2 + axis), 0, padded.last[axis]));
    const ExprId zero = e.builder().constant(0, e.body().type(source).dtype);
    const ExprId value = e.guarded(inside, source, at.at(1), zero);
    return std::vector<NestStore>{{out, at.at(0), e.builder().cast(value, dtype)}};
  };
  GRADC_TRY_STATUS(unit.add_nest(frame, nest));
  return copy;
}

}  // namespace

Status lower_contraction(Unit& unit, const Node& node) {
  const Graph& body = unit.body();
  Kernel scratch;
  Emitter emitter(scratch, body);
  for (const GraphOutput& output : body.outputs()) {
    if (body.type(output.value).num_elements() != body.type(node.results[0]).num_elements())
      return make_error(DiagKind::kInternal, {},
                        "{}: a result of another size than the contraction", unit.name());
  }
  GRADC_TRY(ContractionSet set, contractions(body, node, false));
  if (wants_image_blocks(body, set)) {
    GRADC_TRY(ContractionSet padded, contractions(body, node, true));
    if (const std::optional<PaddedCopy> copy = take_image_blocks(padded)) {
      refine(padded.parts.front(), emitter, body, true, nullptr, false);
      return lower_by_blocks(unit, padded.parts.front(), *copy);
    }
  }
  std::optional<Copy> copy;
  if (wants_copy(set)) {
    GRADC_TRY(set, contractions(body, node, true));
    const DType dtype = contraction_types(body, node).multiply;
    GRADC_TRY(copy, lower_copy(unit, *set.padded, node.operands[0], dtype));
  }
  bool joins = false;
  for (Contraction& part : set.parts) {
    // Sizes of the op decide, before views of its operands cut dimensions.
    const bool dot = !part.empty && is_dot(part);
    const bool nest = dot || prefers_nest(part);
    const int64_t chunks = part.empty || nest || set.parts.size() > 1 ? 1 : split_chunks(part);
    const ContractionDim* whole = chunks > 1 ? outermost_k(part) : nullptr;
    if (dot) whole = innermost_k(part);
    refine(part, emitter, body, copy.has_value(), whole, nest && sums_in_groups(part));
    if (part.empty) {
      GRADC_TRY_STATUS(lower_as_zero(unit, part, joins));
    } else if (const size_t outer = piece_dims(part); nest && !dot && outer > 0) {
      GRADC_TRY_STATUS(lower_in_pieces(unit, part, copy, outer));
    } else if (nest) {
      GRADC_TRY_STATUS(lower_as_nest(unit, part, copy, dot, joins));
    } else if (chunks > 1) {
      GRADC_TRY_STATUS(lower_split(unit, part, copy, chunks));
    } else {
      GRADC_TRY_STATUS(lower_as_contract(unit, part, copy, joins));
    }
    joins = true;
  }
  return Ok{};
}

}  // namespace gradc::kernel
