// Merging of dimensions and the choice of operand layouts. Tile and block sizes: tile_choice.cpp.
#include "codegen/llvm/micro/contract_plan.h"

#include "codegen/llvm/micro/tile_choice.h"
#include "support/check.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

namespace gradc::cg {

using kernel::Affine;
using kernel::ContractDim;
using kernel::Expr;
using kernel::ExprId;
using kernel::ExprKind;
using kernel::VarId;

int64_t extent_of(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1},
                         [](int64_t product, const ContractDim& d) { return product * d.extent; });
}

bool ContractPlan::shares_tiles() const {
  constexpr int64_t kFew = 16;
  return !m_outer.empty() && extent_of(m_outer) < kFew;
}

int64_t ContractPlan::products(const Dims& rows_outside) const {
  constexpr int64_t kShared = 1 << 20;  // by nobody: as good as very many
  return parallel ? extent_of(outer) * extent_of(rows_outside) : kShared;
}

int64_t ContractPlan::row_pieces() const {
  if (m_outer.empty()) return row_tiles();
  return extent_of(m_outer) * (shares_tiles() ? row_tiles() : 1);
}

/// An odd number of cache lines for at least so many words.
int64_t ContractPlan::odd_lines(int64_t words) const {
  int64_t lines = (words + line_words() - 1) / line_words();
  if (lines % 2 == 0) ++lines;
  return lines * line_words();
}

int64_t ContractPlan::a_tile_words() const {
  if (a_layout != Layout::kTilesOfK) return mr * a_row_stride;
  return odd_lines(a_depth() * mr + a_lanes());
}

int64_t ContractPlan::a_lanes() const {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(mr)));
}

namespace {

/// Every affine of a contraction, to be read and rewritten.
class Accesses {
 public:
  explicit Accesses(ContractPlan& plan) {
    visit(plan.exprs, plan.a);
    visit(plan.exprs, plan.b);
    visit(plan.exprs, plan.m_below);
    visit(plan.exprs, plan.k_below);
    for (kernel::Stmt& stmt : plan.epilogue) {
      if (auto* let = std::get_if<kernel::Let>(&stmt)) {
        visit(plan.exprs, let->expr);
        continue;
      }
      auto* store = std::get_if<kernel::Store>(&stmt);
      GRADC_CHECK(store != nullptr, "an epilogue holds only lets and stores");
      affines_.push_back(&store->index);
      visit(plan.exprs, store->expr);
      visit(plan.exprs, store->dynamic);
    }
  }

  /// Whether inner runs on where outer steps, in every access.
  bool mergeable(const ContractDim& outer, const ContractDim& inner) const {
    return std::all_of(affines_.begin(), affines_.end(), [&](const Affine* affine) {
      return affine->coefficient(outer.var) == affine->coefficient(inner.var) * inner.extent;
    });
  }

  void drop(VarId var) {
    for (Affine* affine : affines_)
      std::erase_if(affine->terms, [&](const auto& term) { return term.first == var; });
  }

 private:
  void visit(std::vector<Expr>& exprs, ExprId id) {
    if (!id.valid()) return;
    Expr& e = exprs[id.index];
    if (e.kind == ExprKind::kLoad || e.kind == ExprKind::kIndex) affines_.push_back(&e.index);
    for (const ExprId arg : e.args)
      visit(exprs, arg);
  }

  std::vector<Affine*> affines_;
};

/// Drops dimensions of extent 1 and merges neighbours; of a list that has any, one stays.
void merge(Dims& dims, Accesses& accesses) {
  for (size_t i = dims.size(); i-- > 0;) {
    if (dims[i].extent != 1 || dims.size() == 1) continue;
    accesses.drop(dims[i].var);
    dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (size_t i = dims.size(); i-- > 1;) {
    if (!accesses.mergeable(dims[i - 1], dims[i])) continue;
    accesses.drop(dims[i - 1].var);
    dims[i].extent *= dims[i - 1].extent;
    dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(i - 1));
  }
}

/// How many loads of an expression are contiguous in a variable.
int64_t unit_loads(const std::vector<Expr>& exprs, ExprId id, VarId var) {
  if (!id.valid()) return 0;
  const Expr& e = exprs[id.index];
  int64_t count = e.kind == ExprKind::kLoad && e.index.coefficient(var) == 1 ? 1 : 0;
  for (const ExprId arg : e.args)
    count += unit_loads(exprs, arg, var);
  return count;
}

/// The load an operand is, if a tile can read it where it is; null otherwise.
const Expr* plain_load(const ContractPlan& plan, ExprId id) {
  const Expr& e = plan.exprs[id.index];
  const DType dtype = plan.type == TileType::kF64 ? DType::kF64 : DType::kF32;
  const bool plain =
      !plan.pairs() && e.kind == ExprKind::kLoad && e.dtype == dtype && !e.args[0].valid();
  return plain ? &e : nullptr;
}

/// bf16 goes by pairs where the target has the instruction and few words would be half empty; else
/// it is widened when packed. The sum is the same: the instruction adds one product after the
/// other, rounding each time, and packing gives it the earlier k first.
void choose_type(ContractPlan& plan, DType dtype, const TargetInfo& target) {
  plan.inner_k = plan.k.back().extent;
  if (dtype == DType::kF64) plan.type = TileType::kF64;
  if (dtype == DType::kBF16 && target.has_bf16_dot && plan.inner_k > 1) {
    plan.type = TileType::kBf16Pairs;
    plan.k.back().extent = (plan.inner_k + 1) / 2;
  }
}

/// The most of `count` lines, so many bytes apart, that fall into one set of the first cache.
int64_t lines_in_a_set(int64_t bytes, int64_t count) {
  constexpr int64_t kLine = 64;
  constexpr int64_t kSets = 64;
  if (bytes < kLine || bytes % kLine != 0) return (count + kSets - 1) / kSets;
  const int64_t distinct = kSets / std::gcd(bytes / kLine % kSets, kSets);
  return (count + distinct - 1) / distinct;
}

constexpr int64_t kWaysForRows = 4;
constexpr int64_t kWaysForSteps = 8;

/// Whether a tile that reads A where it lies would find its own lines evicted: its rows at one k,
/// or, when rows are contiguous, its steps of k, which the next panel of columns reads again.
bool lines_collide(const ContractPlan& plan, const Tile& tile, int64_t row_stride, int64_t k_stride,
                   int64_t steps) {
  const auto bytes = [&](int64_t stride) { return std::abs(stride) * plan.word_bytes(); };
  if (row_stride != 1) return lines_in_a_set(bytes(row_stride), tile.mr) > kWaysForRows;
  const bool read_again = plan.columns > tile.nv * plan.lanes;
  return read_again && lines_in_a_set(bytes(k_stride), steps) > kWaysForSteps;
}

/// Whether rows that lie side by side are so far apart at the next k that every step of a tile is
/// on a page of its own, and pages are too many to be found at once.
bool steps_are_far(const ContractPlan& plan, int64_t k_stride, int64_t steps) {
  constexpr int64_t kFar = 64 * 1024;  // bytes
  constexpr int64_t kPages = 64;
  return std::abs(k_stride) * plan.word_bytes() >= kFar && steps > kPages;
}

/// Whether the lines of a panel of B as it lies evict each other, where those of a packed one stay
/// near: every tile of its columns reads them. A block of k is packed for itself, which takes many
/// tiles to be worth it.
bool panel_collides(const ContractPlan& plan, int64_t stride, int64_t tiles) {
  constexpr int64_t kManyTiles = 64;
  if (stride <= plan.nr() || (plan.k_blocks() > 1 && tiles < kManyTiles)) return false;
  return lines_in_a_set(stride * plan.word_bytes(), plan.kc) > kWaysForRows;
}

void choose_b_layout(ContractPlan& plan, const TargetInfo& target) {
  constexpr int64_t kFewTiles = 3;
  constexpr int64_t kGathered = 4096;
  constexpr int64_t kNearRows = 256;  // elements: rows of B this close are read where they are
  const VarId inner_k = plan.k.back().var;
  const int64_t along_n = unit_loads(plan.exprs, plan.b, plan.n.var);
  // A transpose in registers is fast and slow to compile; a small B is gathered instead, if words
  // can be.
  const Expr* source = cast_load(plan.exprs, plan.b);
  const bool gathers = source == nullptr || dtype_bytes(source->dtype) >= 4;
  const bool small = target.has_masked_memory && plan.depth * plan.columns <= kGathered && gathers;
  const bool transposed = along_n == 0 && unit_loads(plan.exprs, plan.b, inner_k) > 0 && !small;
  plan.b_layout = transposed ? Layout::kPanelsTransposed : Layout::kPanels;
  if (plan.panelwise) return;
  const Expr* load = plain_load(plan, plan.b);
  const bool tail_ok = target.has_masked_memory || plan.columns % plan.lanes == 0;
  if (load == nullptr || load->index.coefficient(plan.n.var) != 1 || !tail_ok) return;
  if (plan.k_blocks() > 1 && plan.k.size() > 1 && !plan.aligned) return;
  const int64_t stride = std::abs(load->index.coefficient(inner_k));
  const int64_t tiles = plan.row_tiles() * extent_of(plan.m_outer);
  const bool near = stride <= kNearRows && !panel_collides(plan, stride, tiles);
  if (tiles <= kFewTiles || near) plan.b_layout = Layout::kDirect;
}

/// Whether the partial sums of all rows stay in the second cache while blocks of k go by.
bool sums_stay(const ContractPlan& plan, const TargetInfo& target) {
  return plan.rows * std::min(plan.columns, kMostBlockedColumns) * plan.word_bytes() <=
         target.l2_bytes / 4;
}

/// Whether tiles go on in the next run of rows (the innermost m dimension) because that fills them
/// better. A run is as long as a tile, so that a tile meets one end at most, or two tiles that are
/// not the same hold all rows, whose places are constants then.
bool tiles_cross_runs(const ContractPlan& plan, const TargetInfo& target) {
  constexpr int64_t kShortDepth = 96;
  constexpr double kWorth = 0.97;
  if (plan.m.size() < 2) return false;
  const int64_t run = plan.m.back().extent;
  const int64_t runs = plan.m[plan.m.size() - 2].extent;
  const int64_t word = plan.word_bytes();
  const Dims outside(plan.m.begin(), plan.m.end() - 2);
  const Tile tile = choose_tile(run * runs, plan.columns, target, word, plan.products(outside));
  const bool constant = plan.m.size() == 2 && run * runs < 2 * tile.mr;
  if (!constant && (run < tile.mr || plan.depth < kShortDepth)) return false;
  const Tile inside = choose_tile(run, plan.columns, target, word, runs * plan.products(outside));
  return tile.cost < kWorth * inside.cost * static_cast<double>(runs);
}

/// A as it lies, tiles inside the innermost m dimension, or the innermost two: worth it when rows
/// are many enough.
bool try_direct_a(ContractPlan& plan, const TargetInfo& target) {
  constexpr int64_t kShortRow = 6;
  const Expr* load = plain_load(plan, plan.a);
  if (load == nullptr) return false;
  const int64_t stride = load->index.coefficient(plan.m.back().var);
  const bool blocked = plan.depth > kMaxUnblockedDepth;
  const bool crosses = tiles_cross_runs(plan, target);
  const size_t inner = crosses ? 2 : 1;
  const Dims m(plan.m.end() - static_cast<std::ptrdiff_t>(inner), plan.m.end());
  const Dims outside(plan.m.begin(), plan.m.end() - static_cast<std::ptrdiff_t>(inner));
  const Tile tile = choose_tile(extent_of(m), plan.columns, target, plan.word_bytes(),
                                plan.products(outside), panel_depth(plan, outside));
  const int64_t k_stride = load->index.coefficient(plan.k.back().var);
  int64_t most = most_direct_steps(tile.mr, tile.nv, stride == 1 && !crosses, plan, target);
  int64_t steps = blocked ? aligned_steps(plan.k, most) : plan.depth;
  // Fewer steps whose lines stay are better than a copy.
  while (blocked && plan.k.size() > 1 && most >= 2 * kFewAlignedSteps &&
         lines_collide(plan, tile, stride, k_stride, steps)) {
    most /= 2;
    steps = aligned_steps(plan.k, most);
  }
  if (blocked && plan.k.size() > 1 && steps < kFewAlignedSteps) return false;
  if (blocked && plan.m.size() > 1 && !sums_stay(plan, target)) return false;
  if (plan.m.size() > 1 && extent_of(m) < kShortRow) return false;
  if (lines_collide(plan, tile, stride, k_stride, steps)) return false;
  if (plan.m.size() == 1 && stride == 1 && steps_are_far(plan, k_stride, steps)) return false;
  if (plan.m.size() == 1 && stride == 1 && target.has_masked_memory &&
      leaves_lines(tile.mr, tile.nv, plan, target))
    return false;
  plan.a_layout = Layout::kDirect;
  plan.kc = steps;
  plan.a_row_stride = stride;
  if (crosses) {
    plan.row_run = m.back().extent;
    plan.row_jump = load->index.coefficient(m[0].var) - plan.row_run * stride;
  }
  plan.m_outer = outside;
  plan.m = m;
  plan.rows = extent_of(m);
  return true;
}

/// The load that words of pairs can be made of, run by run: f32 to be rounded, or bf16.
const Expr* staged_load(const ContractPlan& plan) {
  const Expr* e = &plan.exprs[plan.a.index];
  if (e->kind == ExprKind::kScalar && e->op == ScalarOp::kCast) e = &plan.exprs[e->args[0].index];
  const bool plain = plan.pairs() && e->kind == ExprKind::kLoad && !e->args[0].valid() &&
                     (e->dtype == DType::kF32 || e->dtype == DType::kBF16);
  return plain ? e : nullptr;
}

/// The extents of k, in words, that one block goes over.
std::vector<int64_t> block_extents(const Dims& k, int64_t steps) {
  std::vector<int64_t> extents;
  int64_t inner = 1;
  for (size_t i = k.size(); i-- > 0; inner *= extents.front())
    extents.insert(extents.begin(), std::min(k[i].extent, std::max<int64_t>(steps / inner, 1)));
  return extents;
}

/// What a row of A reads in a block of k as a run without large gaps; false if it is none, or words
/// do not begin at even elements.
bool make_stage(ContractPlan& plan, const Expr& load, const std::vector<int64_t>& extents) {
  const auto stride = [&](VarId var) { return load.index.coefficient(var); };
  Stage& stage = plan.stage;
  const VarId row = plan.m.back().var;
  stage.step = stride(plan.k.back().var);
  stage.across = stage.step != 1;
  const int64_t unit = stage.across ? 1 : 2;  // elements that a word goes on by
  if (stage.step <= 0 || (stage.across && stride(row) != 1)) return false;
  stage.row_words = stride(row) / unit;
  stage.first_words = (extents.back() - 1) * (2 / unit) * stage.step + 1;
  int64_t span = stage.first_words + (plan.m.back().extent - 1) * stage.row_words;
  bool fits = stride(row) > 0 && stride(row) % unit == 0;
  for (size_t i = plan.k.size() - 1; i-- > 0;) {
    const int64_t elements = stride(plan.k[i].var);
    const int64_t more = (extents[i] - 1) * elements / unit;
    fits = fits && (extents[i] == 1 ||
                    (elements > 0 && elements % unit == 0 && elements / unit * 2 <= span * 3));
    stage.first_words += more;
    span += more;
  }
  return fits;
}

/// Words of pairs of A's buffer as it lies, where windows overlap: each is made once or a few
/// times, not for every window. Tiles stay inside the innermost m dimension, as of a direct A.
bool try_staged_a(ContractPlan& plan, const TargetInfo& target) {
  const Expr* load = staged_load(plan);
  if (load == nullptr || plan.m.size() < 2 || plan.k.size() < 2 || plan.inner_k % 2 != 0)
    return false;
  const bool blocked = plan.depth > kMaxUnblockedDepth;
  const int64_t steps = blocked ? aligned_steps(plan.k) : plan.depth;
  if (blocked && (steps < kFewAlignedSteps || !sums_stay(plan, target))) return false;
  if (!make_stage(plan, *load, block_extents(plan.k, steps))) return false;
  const int64_t rows = plan.m.back().extent;
  const int64_t words = plan.stage.words(rows);
  if (words * 4 > rows * steps * 3 || words * plan.word_bytes() > target.l2_bytes / 4) return false;
  const Dims outside(plan.m.begin(), plan.m.end() - 1);
  const Tile tile =
      choose_tile(rows, plan.columns, target, plan.word_bytes(), plan.products(outside));
  if (lines_collide(plan, tile, plan.stage.row_words, 0, 1)) return false;
  plan.a_layout = Layout::kStaged;
  plan.a_row_stride = plan.stage.row_words;
  plan.m_outer = outside;
  plan.m = {plan.m.back()};
  plan.rows = rows;
  return true;
}

void choose_a_layout(ContractPlan& plan, const TargetInfo& target) {
  if (try_direct_a(plan, target) || try_staged_a(plan, target)) return;
  const int64_t along_k = unit_loads(plan.exprs, plan.a, plan.k.back().var);
  const int64_t along_m = unit_loads(plan.exprs, plan.a, plan.m.back().var);
  const bool tiles = plan.m.size() == 1 && target.has_masked_memory;
  plan.a_layout = along_m <= along_k ? Layout::kRowsOfK
                  : tiles            ? Layout::kTilesOfK
                                     : Layout::kKOfRows;
}

/// The tile's loop over k. Packed operands are flat; direct ones step as their index says.
void make_levels(ContractPlan& plan) {
  const Expr& a = plan.exprs[plan.a.index];
  const Expr& b = plan.exprs[plan.b.index];
  const int64_t packed_a = plan.a_layout == Layout::kRowsOfK    ? 1
                           : plan.a_layout == Layout::kTilesOfK ? plan.mr
                                                                : plan.odd_lines(plan.mc);
  if (plan.a_layout == Layout::kRowsOfK) plan.a_row_stride = plan.odd_lines(plan.a_depth());
  if (plan.a_layout == Layout::kKOfRows || plan.a_layout == Layout::kTilesOfK)
    plan.a_row_stride = 1;
  int64_t inner = 1;
  for (size_t i = plan.k.size(); i-- > 0 && (inner == 1 || !plan.aligned || inner < plan.kc);) {
    const VarId var = plan.k[i].var;
    KLevel level;
    level.extent = plan.aligned ? std::min(plan.k[i].extent, plan.kc / inner) : plan.k[i].extent;
    level.a_stride = plan.a_packed() ? packed_a * inner : a.index.coefficient(var);
    if (plan.a_layout == Layout::kStaged) {
      const int64_t elements = cast_load(plan.exprs, plan.a)->index.coefficient(var);
      const bool by_words = i + 1 == plan.k.size();
      level.a_stride =
          plan.stage.across ? elements * (by_words ? 2 : 1) : elements / (by_words ? 1 : 2);
    }
    level.b_stride = plan.b_packed() ? plan.nr() * inner : b.index.coefficient(var);
    inner *= level.extent;
    const bool joins =
        !plan.k_levels.empty() &&
        level.a_stride == plan.k_levels.front().a_stride * plan.k_levels.front().extent &&
        level.b_stride == plan.k_levels.front().b_stride * plan.k_levels.front().extent;
    if (joins)
      plan.k_levels.front().extent *= level.extent;
    else
      plan.k_levels.insert(plan.k_levels.begin(), level);
  }
}

std::vector<kernel::Stmt> copy_epilogue(const kernel::Block& block) {
  std::vector<kernel::Stmt> copy;
  for (const kernel::Stmt& stmt : block) {
    if (const auto* let = std::get_if<kernel::Let>(&stmt)) {
      copy.emplace_back(*let);
      continue;
    }
    const auto* store = std::get_if<kernel::Store>(&stmt);
    GRADC_CHECK(store != nullptr, "an epilogue holds only lets and stores");
    copy.emplace_back(*store);
  }
  return copy;
}

}  // namespace

const Expr* cast_load(const std::vector<Expr>& exprs, ExprId id) {
  const Expr* e = &exprs[id.index];
  while (e->kind == ExprKind::kScalar && e->op == ScalarOp::kCast)
    e = &exprs[e->args[0].index];
  return e->kind == ExprKind::kLoad && !e->args[0].valid() ? e : nullptr;
}

ContractPlan plan_contract(const kernel::Contract& contract, const kernel::Kernel& kernel,
                           const TargetInfo& target) {
  ContractPlan plan;
  plan.exprs = kernel.exprs;
  plan.a = contract.a;
  plan.b = contract.b;
  plan.m_below = contract.m_below;
  plan.k_below = contract.k_below;
  plan.acc = contract.acc;
  plan.epilogue = copy_epilogue(contract.epilogue);
  plan.outer = contract.batch;
  plan.m = contract.m;
  plan.k = contract.k;
  Dims n = contract.n;
  GRADC_CHECK(!plan.m.empty() && !n.empty() && !plan.k.empty(),
              "{}: a contraction needs m, n and k dimensions", kernel.name);
  Accesses accesses(plan);
  for (Dims* dims : {&plan.outer, &plan.m, &n, &plan.k})
    merge(*dims, accesses);
  plan.outer.insert(plan.outer.end(), n.begin(), n.end() - 1);
  plan.n = n.back();
  plan.rows = extent_of(plan.m);
  plan.columns = plan.n.extent;
  choose_type(plan, plan.exprs[plan.a.index].dtype, target);
  plan.depth = extent_of(plan.k);
  plan.lanes = target.lanes(plan.word_bytes());
  plan.parallel = contract.parallel;
  choose_a_layout(plan, target);
  choose_blocks(plan, target);
  choose_b_layout(plan, target);
  choose_split(plan, target);
  make_levels(plan);
  GRADC_CHECK(!plan.k_below.valid() || (plan.k.size() == 1 && !plan.pairs()),
              "{}: a sum that ends early is one over single numbers", kernel.name);
  return plan;
}

}  // namespace gradc::cg
