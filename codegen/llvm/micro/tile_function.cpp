// The micro-kernel. Accumulators are allocas that promotion turns into registers; the k loop is
// unrolled a little; nothing in it is masked but loads of B at the matrix's edge.
#include "codegen/llvm/micro/tile_function.h"

#include "codegen/llvm/micro/pack.h"
#include "support/check.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>
#include <functional>

namespace gradc::cg {

namespace {

/// Short sums with an epilogue of up to this many instructions run it on the registers, row by row
/// unrolled; others go through a copy of the tile in the first cache, in a loop over rows: less
/// code to compile, and no measurable time after a long sum.
constexpr int64_t kUnrolledEpilogue = 120;
constexpr int64_t kShortSum = 160;
/// Sums of up to this many terms are unrolled as a whole in small tiles. In large ones LLVM would
/// keep what rows of a window share, and spill the sums.
constexpr int64_t kUnrolledDepth = 9;
constexpr int64_t kRandomCost = 80;    // instructions
constexpr int64_t kLineElements = 16;  // floats

class TileEmitter {
 public:
  TileEmitter(llvm::Function* function, Emitter& parent, const ContractPlan& plan,
              const Environment& environment, const TileShape& shape, int64_t partial_stride)
      : em_(function, parent.kernel(), parent.target()),
        plan_(plan),
        environment_(environment),
        shape_(shape),
        partial_stride_(partial_stride),
        lanes_(static_cast<unsigned>(plan.lanes)),
        word_(word_type(em_.context(), plan)),
        vector_(with_lanes(word_, lanes_)),
        align_(static_cast<uint64_t>(plan.word_bytes())) {
    em_.use_exprs(&plan.exprs);
    // Tiles begin at whole vectors of columns.
    em_.know_zero_bits(argument(TileArguments::kColumn), em_.zero_bits(em_.i64(plan.lanes)));
  }

  void emit() {
    for (int64_t i = 0; i < shape_.rows * shape_.vectors; ++i)
      sums_.push_back(em_.entry_alloca(vector_, "sum"));
    find_runs();
    begin();
    if (plan_.depth <= kUnrolledDepth && !is_large() && !plan_.k_below.valid())
      unrolled(0, 0, 0);
    else
      walk(0, argument(TileArguments::kA), argument(TileArguments::kB));
    finish();
    em_.ir().CreateRetVoid();
  }

 private:
  llvm::Argument* argument(unsigned index) { return em_.function()->getArg(index); }

  llvm::Value* flag(int64_t bit) {
    Builder& ir = em_.ir();
    llvm::Value* set = ir.CreateAnd(argument(TileArguments::kFlags), em_.i64(bit));
    return ir.CreateICmpNE(set, em_.i64(0));
  }

  llvm::AllocaInst* sum(int64_t row, int64_t vector) {
    return sums_[static_cast<size_t>(row * shape_.vectors + vector)];
  }

  template <class Body>
  void each_sum(Body body) {
    for (int64_t row = 0; row < shape_.rows; ++row) {
      for (int64_t v = 0; v < shape_.vectors; ++v)
        body(row, v);
    }
  }

  llvm::Value* element(llvm::Value* base, int64_t offset) {
    Builder& ir = em_.ir();
    return offset == 0 ? base : ir.CreateInBoundsGEP(word_, base, em_.i64(offset));
  }

  llvm::Value* partial(int64_t row, int64_t vector) {
    return element(argument(TileArguments::kPartial), row * partial_stride_ + vector * plan_.lanes);
  }

  // ---- rows in several runs
  // ----------------------------------------------------------------------

  /// The first row's place in its run, and where each row lies as seen from the first.
  void find_runs() {
    Builder& ir = em_.ir();
    if (plan_.row_run == 0) return;
    llvm::Value* first = argument(TileArguments::kRow);
    if (shape_.first_row >= 0) first = em_.i64(shape_.first_row);
    run_ = ir.CreateUDiv(first, em_.i64(plan_.row_run));
    in_run_ = ir.CreateURem(first, em_.i64(plan_.row_run));
    for (int64_t row = 0; row < shape_.rows; ++row) {
      llvm::Value* jumps = ir.CreateNSWMul(runs_on(row), em_.i64(plan_.row_jump));
      row_offsets_.push_back(ir.CreateNSWAdd(jumps, em_.i64(row * plan_.a_row_stride)));
    }
  }

  /// How many runs a row lies behind the first one's. A tile whose place is not a constant is no
  /// longer than a run.
  llvm::Value* runs_on(int64_t row) {
    Builder& ir = em_.ir();
    llvm::Value* at = ir.CreateNSWAdd(in_run_, em_.i64(row));
    if (shape_.first_row >= 0) return ir.CreateUDiv(at, em_.i64(plan_.row_run));
    GRADC_CHECK(shape_.rows <= plan_.row_run, "a tile of {} rows meets several runs of {}",
                shape_.rows, plan_.row_run);
    return ir.CreateZExt(ir.CreateICmpSGE(at, em_.i64(plan_.row_run)), ir.getInt64Ty());
  }

  llvm::Value* row_of_a(llvm::Value* a, int64_t a_offset, int64_t row) {
    if (plan_.row_run == 0) return element(a, a_offset + row * plan_.a_row_stride);
    llvm::Value* begin =
        em_.ir().CreateInBoundsGEP(word_, a, row_offsets_[static_cast<size_t>(row)]);
    return element(begin, a_offset);
  }

  void bind_row(int64_t row) {
    if (plan_.row_run == 0) return bind_flat(em_, plan_.m, argument(TileArguments::kRow), row);
    Builder& ir = em_.ir();
    llvm::Value* further = runs_on(row);
    llvm::Value* back = ir.CreateNSWMul(further, em_.i64(plan_.row_run));
    llvm::Value* inner = ir.CreateNSWSub(ir.CreateNSWAdd(in_run_, em_.i64(row)), back);
    em_.bind_var(plan_.m[0].var, ir.CreateNSWAdd(run_, further), 0, {0, plan_.m[0].extent - 1});
    em_.bind_var(plan_.m[1].var, inner, 0, {0, plan_.row_run - 1});
  }

  /// Whether the epilogue's matrices are read in rows that are easy to tell.
  bool has_plain_rows() const { return plan_.m.size() == 1 || plan_.row_run > 0; }

  void begin() {
    Builder& ir = em_.ir();
    each_sum([&](int64_t row, int64_t v) {
      ir.CreateStore(llvm::Constant::getNullValue(vector_), sum(row, v));
    });
    if (plan_.k_blocks() == 1) return;
    em_.when(flag(TileArguments::kResume), [&] {
      each_sum([&](int64_t row, int64_t v) {
        ir.CreateStore(ir.CreateAlignedLoad(vector_, partial(row, v), align_), sum(row, v));
      });
    });
  }

  /// The epilogue's loads of whole float matrices, each once.
  std::vector<const kernel::Expr*> streamed_loads() {
    std::vector<const kernel::Expr*> loads;
    const std::function<void(kernel::ExprId)> collect = [&](kernel::ExprId id) {
      if (!id.valid()) return;
      const kernel::Expr& e = plan_.exprs[id.index];
      for (const kernel::ExprId arg : e.args)
        collect(arg);
      if (e.kind != kernel::ExprKind::kLoad || e.args[0].valid() || e.dtype != DType::kF32) return;
      if (e.index.coefficient(plan_.n.var) != 1 || e.index.coefficient(plan_.m.back().var) == 0)
        return;
      const bool known = std::any_of(loads.begin(), loads.end(), [&](const kernel::Expr* other) {
        return other->buffer == e.buffer && other->index == e.index;
      });
      if (!known) loads.push_back(&e);
    };
    for (const kernel::Stmt& stmt : plan_.epilogue) {
      const auto* let = std::get_if<kernel::Let>(&stmt);
      collect(let != nullptr ? let->expr : std::get<kernel::Store>(stmt).expr);
    }
    return loads;
  }

  /// The k levels from `level` inwards.
  void walk(size_t level, llvm::Value* a, llvm::Value* b) {
    Builder& ir = em_.ir();
    const KLevel& k = plan_.k_levels[level];
    if (level + 1 == plan_.k_levels.size()) {
      innermost(k, a, b);
      return;
    }
    const EarlyLines early = level == 0 ? early_lines() : EarlyLines();
    em_.loop(em_.i64(0), em_.i64(k.extent), 1, true, [&](llvm::Value* iv) {
      if (early.lines > 0) {
        const int64_t share = (early.lines + k.extent - 1) / k.extent;
        llvm::Value* low = ir.CreateNSWMul(iv, em_.i64(share));
        llvm::Value* high = ir.CreateBinaryIntrinsic(
            llvm::Intrinsic::smin, ir.CreateNSWAdd(low, em_.i64(share)), early.wanted);
        em_.loop(low, high, 1, false, [&](llvm::Value* line) { prefetch(early, line); });
      }
      llvm::Value* next_a =
          ir.CreateInBoundsGEP(word_, a, ir.CreateNSWMul(iv, em_.i64(k.a_stride)));
      llvm::Value* next_b =
          ir.CreateInBoundsGEP(word_, b, ir.CreateNSWMul(iv, em_.i64(k.b_stride)));
      walk(level + 1, next_a, next_b);
    });
  }

  void innermost(const KLevel& k, llvm::Value* a, llvm::Value* b) {
    Builder& ir = em_.ir();
    const bool early = plan_.k_below.valid();
    const bool blocked = early || (plan_.k_blocks() > 1 && !plan_.aligned);
    // Large tiles hide the loop's own instructions; unrolling them costs compile time, and
    // registers where there are few: LLVM moves a sum to another one in every step.
    const int64_t unroll = is_large() ? 1 : 4;
    llvm::Value* count =
        blocked ? static_cast<llvm::Value*>(argument(TileArguments::kDepth)) : em_.i64(k.extent);
    llvm::Value* first = prefetching_steps(k, a, b, count);
    const auto* done = llvm::dyn_cast<llvm::ConstantInt>(first);
    if (done != nullptr && done == count) return;
    llvm::Value* whole =
        unroll == 1 ? count : static_cast<llvm::Value*>(ir.CreateAnd(count, em_.i64(-unroll)));
    em_.loop(
        first, whole, unroll, !blocked && done != nullptr && done->isZero(),
        [&](llvm::Value* iv) {
          llvm::Value* a_here = at(a, iv, k.a_stride);
          llvm::Value* b_here = at(b, iv, k.b_stride);
          for (int64_t u = 0; u < unroll; ++u)
            step(a_here, b_here, u * k.a_stride, u * k.b_stride);
        },
        "k");
    const int64_t last = plan_.depth - (plan_.k_blocks() - 1) * plan_.kc;
    const bool rest =
        early ? unroll > 1
              : (blocked ? last % unroll != 0 || plan_.kc % unroll != 0 : k.extent % unroll != 0);
    if (!rest) return;
    em_.loop(
        whole, count, 1, false,
        [&](llvm::Value* iv) { step(at(a, iv, k.a_stride), at(b, iv, k.b_stride), 0, 0); },
        "k_rest");
  }

  llvm::Value* at(llvm::Value* base, llvm::Value* iv, int64_t stride) {
    Builder& ir = em_.ir();
    llvm::Value* scaled = stride == 1 ? iv : ir.CreateNSWMul(iv, em_.i64(stride));
    return ir.CreateInBoundsGEP(word_, base, scaled);
  }

  bool is_large() const {
    constexpr int64_t kEnough = 16;
    return shape_.rows * shape_.vectors >= std::min(kEnough, em_.target().vector_registers * 5 / 8);
  }

  /// What the epilogue reads of whole matrices, in lines of the cache: `lines` of each.
  struct EarlyLines {
    std::vector<const kernel::Expr*> loads;
    std::vector<llvm::Value*> begins;
    int64_t per_row = 0;
    int64_t lines = 0;
    llvm::Value* wanted = nullptr;  ///< `lines`, or none where this block's sums are not the last
  };

  /// Matrices that the epilogue reads (an optimizer's weights and moments, what an activation's
  /// gradient is masked by) lie in rows too short for the hardware to foresee: the tile asks for
  /// their lines while it sums. All at once they would keep the sums' own loads waiting.
  EarlyLines early_lines() {
    EarlyLines early;
    if (!is_large() || !has_plain_rows()) return early;
    early.loads = streamed_loads();
    early.per_row = (shape_.vectors * plan_.lanes + kLineElements - 1) / kLineElements;
    if (early.loads.empty() || plan_.kc < early.per_row * shape_.rows) return early;
    early.lines = early.per_row * shape_.rows;
    Builder& ir = em_.ir();
    environment_.load(em_, argument(TileArguments::kSurroundings));
    em_.bind_var(plan_.n.var, argument(TileArguments::kColumn), 0, {0, plan_.columns - 1});
    bind_flat(em_, plan_.m, argument(TileArguments::kRow));
    for (const kernel::Expr* load : early.loads)
      early.begins.push_back(em_.address(load->buffer, load->index));
    early.wanted = em_.i64(early.lines);
    if (plan_.k_blocks() > 1)
      early.wanted = ir.CreateSelect(flag(TileArguments::kUnfinished), em_.i64(0), early.wanted);
    return early;
  }

  /// The first steps of k, in equal parts with a line of each matrix asked for before each. Returns
  /// the number of steps done.
  llvm::Value* prefetching_steps(const KLevel& k, llvm::Value* a, llvm::Value* b,
                                 llvm::Value* count) {
    if (plan_.k_levels.size() > 1) return em_.i64(0);
    const EarlyLines early = early_lines();
    if (early.lines == 0) return em_.i64(0);
    Builder& ir = em_.ir();
    llvm::Value* length = ir.CreateUDiv(count, em_.i64(early.lines));
    em_.loop(em_.i64(0), early.wanted, 1, false, [&](llvm::Value* part) {
      prefetch(early, part);
      llvm::Value* low = ir.CreateNSWMul(part, length);
      em_.loop(
          low, ir.CreateNSWAdd(low, length), 1, false,
          [&](llvm::Value* iv) { step(at(a, iv, k.a_stride), at(b, iv, k.b_stride), 0, 0); },
          "k_part");
    });
    return ir.CreateNSWMul(early.wanted, length);
  }

  /// Asks for one line of each matrix.
  void prefetch(const EarlyLines& early, llvm::Value* line) {
    constexpr int32_t kFirstCache = 3;
    Builder& ir = em_.ir();
    llvm::Value* row = ir.CreateUDiv(line, em_.i64(early.per_row));
    llvm::Value* column =
        ir.CreateNSWMul(ir.CreateURem(line, em_.i64(early.per_row)), em_.i64(kLineElements));
    for (size_t i = 0; i < early.loads.size(); ++i) {
      const kernel::Expr& load = *early.loads[i];
      const int64_t stride = load.index.coefficient(plan_.m.back().var);
      llvm::Value* offset = ir.CreateNSWAdd(ir.CreateNSWMul(row, em_.i64(stride)), column);
      if (plan_.row_run > 0) {
        const int64_t jump = load.index.coefficient(plan_.m[0].var) - plan_.row_run * stride;
        llvm::Value* further = ir.CreateUDiv(ir.CreateNSWAdd(in_run_, row), em_.i64(plan_.row_run));
        offset = ir.CreateNSWAdd(offset, ir.CreateNSWMul(further, em_.i64(jump)));
      }
      llvm::Value* at = ir.CreateGEP(ir.getFloatTy(), early.begins[i], offset);
      const bool written = em_.kernel().buffer(load.buffer).may_alias;
      ir.CreateIntrinsic(llvm::Intrinsic::prefetch, {static_cast<llvm::Type*>(ir.getPtrTy())},
                         {at, em_.i32(written ? 1 : 0), em_.i32(kFirstCache), em_.i32(1)});
    }
  }

  /// All steps of all levels in a row, for very short sums.
  void unrolled(size_t level, int64_t a_offset, int64_t b_offset) {
    if (level == plan_.k_levels.size()) {
      step(argument(TileArguments::kA), argument(TileArguments::kB), a_offset, b_offset);
      return;
    }
    const KLevel& k = plan_.k_levels[level];
    for (int64_t i = 0; i < k.extent; ++i)
      unrolled(level + 1, a_offset + i * k.a_stride, b_offset + i * k.b_stride);
  }

  /// One step of k: a row of B, then each row's broadcast times it.
  void step(llvm::Value* a, llvm::Value* b, int64_t a_offset, int64_t b_offset) {
    Builder& ir = em_.ir();
    std::vector<llvm::Value*> row_of_b;
    for (int64_t v = 0; v < shape_.vectors; ++v)
      row_of_b.push_back(load_b(element(b, b_offset + v * plan_.lanes), v));
    for (int64_t row = 0; row < shape_.rows; ++row) {
      llvm::Value* scalar = ir.CreateAlignedLoad(word_, row_of_a(a, a_offset, row), align_);
      llvm::Value* broadcast = splat(ir, scalar, lanes_);
      for (int64_t v = 0; v < shape_.vectors; ++v) {
        llvm::Value* old = ir.CreateLoad(vector_, sum(row, v));
        ir.CreateStore(add_product(broadcast, row_of_b[static_cast<size_t>(v)], old), sum(row, v));
      }
    }
  }

  /// sum + a * b, rounded once; of pairs the sum and both products, one after the other. a, one
  /// word on all lanes, comes last: there the instruction can load it.
  llvm::Value* add_product(llvm::Value* a, llvm::Value* b, llvm::Value* sum) {
    if (!plan_.pairs()) return em_.math().fma(a, b, sum);
    Builder& ir = em_.ir();
    const auto id = lanes_ == 16  ? llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512
                    : lanes_ == 8 ? llvm::Intrinsic::x86_avx512bf16_dpbf16ps_256
                                  : llvm::Intrinsic::x86_avx512bf16_dpbf16ps_128;
    llvm::Type* pairs = with_lanes(ir.getBFloatTy(), 2 * lanes_);
    return ir.CreateIntrinsic(id, {},
                              {sum, ir.CreateBitCast(b, pairs), ir.CreateBitCast(a, pairs)});
  }

  bool is_edge(int64_t vector) const {
    return vector + 1 == shape_.vectors && shape_.last_lanes < plan_.lanes;
  }

  llvm::Constant* edge_mask() {
    return prefix_mask(em_.context(), lanes_, static_cast<unsigned>(shape_.last_lanes));
  }

  llvm::Value* load_b(llvm::Value* pointer, int64_t vector) {
    if (plan_.b_packed() || !is_edge(vector))
      return em_.ir().CreateAlignedLoad(vector_, pointer, align_);
    return em_.ir().CreateMaskedLoad(vector_, pointer, align_, edge_mask(),
                                     llvm::Constant::getNullValue(vector_));
  }

  void finish() {
    if (plan_.k_blocks() == 1) return epilogue();
    Builder& ir = em_.ir();
    llvm::Value* unfinished = flag(TileArguments::kUnfinished);
    em_.when(unfinished, [&] {
      each_sum([&](int64_t row, int64_t v) {
        ir.CreateAlignedStore(ir.CreateLoad(vector_, sum(row, v)), partial(row, v), align_);
      });
    });
    em_.when(ir.CreateNot(unfinished), [&] { epilogue(); });
  }

  int64_t epilogue_cost() const {
    int64_t cost = 0;
    for (const kernel::Stmt& stmt : plan_.epilogue) {
      const auto* let = std::get_if<kernel::Let>(&stmt);
      cost += 1 + expr_cost(let != nullptr ? let->expr : std::get<kernel::Store>(stmt).expr);
    }
    return cost;
  }

  int64_t expr_cost(kernel::ExprId id) const {
    if (!id.valid()) return 0;
    const kernel::Expr& e = plan_.exprs[id.index];
    int64_t cost = e.kind == kernel::ExprKind::kConst || e.kind == kernel::ExprKind::kLocal ? 0 : 1;
    if (e.kind == kernel::ExprKind::kRandom) cost = kRandomCost;
    for (const kernel::ExprId arg : e.args)
      cost += expr_cost(arg);
    return cost;
  }

  void epilogue() {
    Builder& ir = em_.ir();
    environment_.load(em_, argument(TileArguments::kSurroundings));
    const int64_t instructions = epilogue_cost() * shape_.rows * shape_.vectors;
    if (has_plain_rows() && plan_.depth <= kShortSum && instructions <= kUnrolledEpilogue) {
      for (int64_t row = 0; row < shape_.rows; ++row) {
        bind_row(row);
        for (int64_t v = 0; v < shape_.vectors; ++v)
          columns(v, [&] { return ir.CreateLoad(vector_, sum(row, v)); });
      }
      return;
    }
    const auto width = static_cast<uint64_t>(shape_.vectors) * lanes_;
    auto* type = llvm::ArrayType::get(word_, static_cast<uint64_t>(shape_.rows) * width);
    llvm::AllocaInst* copy = em_.entry_alloca(type, "tile");
    copy->setAlignment(llvm::Align(64));
    const auto row_stride = static_cast<int64_t>(width);
    each_sum([&](int64_t row, int64_t v) {
      ir.CreateAlignedStore(ir.CreateLoad(vector_, sum(row, v)),
                            element(copy, row * row_stride + v * plan_.lanes), llvm::Align(64));
    });
    em_.loop(em_.i64(0), em_.i64(shape_.rows), 1, true, [&](llvm::Value* row) {
      bind_flat(em_, plan_.m, ir.CreateNSWAdd(argument(TileArguments::kRow), row));
      llvm::Value* begin =
          ir.CreateInBoundsGEP(word_, copy, ir.CreateNSWMul(row, em_.i64(row_stride)));
      for (int64_t v = 0; v < shape_.vectors; ++v)
        columns(v, [&] {
          return ir.CreateAlignedLoad(vector_, element(begin, v * plan_.lanes), llvm::Align(64));
        });
    });
  }

  /// The epilogue's statements on one vector of columns.
  template <class Sum>
  void columns(int64_t v, Sum read_sum) {
    llvm::Value* value = read_sum();
    const auto run = [&](const Lanes& lanes, llvm::Value* sums, int64_t offset) {
      em_.with(lanes, [&] {
        em_.bind_var(plan_.n.var, argument(TileArguments::kColumn), v * plan_.lanes + offset,
                     {0, plan_.columns - 1});
        em_.bind_local(plan_.acc, sums);
        em_.emit_block(plan_.epilogue);
      });
    };
    if (!is_edge(v)) return run({lanes_, plan_.n.var}, value, 0);
    if (em_.target().has_masked_memory) return run({lanes_, plan_.n.var, edge_mask()}, value, 0);
    for (int64_t lane = 0; lane < shape_.last_lanes; ++lane)
      run({1, plan_.n.var}, em_.ir().CreateExtractElement(value, static_cast<uint64_t>(lane)),
          lane);
  }

  Emitter em_;
  const ContractPlan& plan_;
  const Environment& environment_;
  TileShape shape_;
  int64_t partial_stride_;
  unsigned lanes_;
  llvm::Type* word_;  ///< sums are of this type too
  llvm::Type* vector_;
  llvm::Align align_;
  std::vector<llvm::AllocaInst*> sums_;
  llvm::Value* run_ = nullptr;     ///< of the first row, where rows lie in several
  llvm::Value* in_run_ = nullptr;  ///< its place there
  std::vector<llvm::Value*> row_offsets_;
};

}  // namespace

llvm::Function* emit_tile(Emitter& parent, const ContractPlan& plan, const Environment& environment,
                          const TileShape& shape, int64_t partial_stride, const std::string& name) {
  llvm::LLVMContext& context = parent.context();
  llvm::Type* pointer = llvm::PointerType::getUnqual(context);
  llvm::Type* integer = llvm::Type::getInt64Ty(context);
  auto* type = llvm::FunctionType::get(
      llvm::Type::getVoidTy(context),
      {pointer, pointer, pointer, pointer, integer, integer, integer, integer}, false);
  auto* function = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, name,
                                          parent.function()->getParent());
  function->copyAttributesFrom(parent.function());
  function->setAttributes(llvm::AttributeList::get(
      context, llvm::AttributeList::FunctionIndex,
      llvm::AttrBuilder(context, parent.function()->getAttributes().getFnAttrs())));
  function->setLinkage(llvm::GlobalValue::InternalLinkage);
  function->addFnAttr(llvm::Attribute::NoInline);
  TileEmitter(function, parent, plan, environment, shape, partial_stride).emit();
  return function;
}

}  // namespace gradc::cg
