// Capturing the surroundings of a contraction for its tile functions.
#include "codegen/llvm/micro/environment.h"

#include <algorithm>

namespace gradc::cg {

using kernel::ExprId;
using kernel::ExprKind;

namespace {

template <class Id>
void add_once(std::vector<Id>& list, Id id) {
  if (std::find(list.begin(), list.end(), id) == list.end()) list.push_back(id);
}

template <class Id>
bool contains(const std::vector<Id>& list, Id id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

llvm::Value* field(Builder& ir, llvm::Value* block, size_t index) {
  return ir.CreateConstInBoundsGEP1_64(ir.getInt64Ty(), block, index);
}

}  // namespace

Environment::Environment(Emitter& parent, const ContractPlan& plan) : parent_(parent), plan_(plan) {
  inner_.push_back(plan.acc);
  for (const kernel::Stmt& stmt : plan.epilogue) {
    if (const auto* let = std::get_if<kernel::Let>(&stmt)) {
      inner_.push_back(let->local);
      collect(let->expr);
    } else {
      const auto& store = std::get<kernel::Store>(stmt);
      add_once(buffers_, store.buffer);
      collect(store.index);
      collect(store.dynamic);
      collect(store.expr);
    }
  }
  const size_t count = std::max<size_t>(1, buffers_.size() + vars_.size() + locals_.size());
  block_ =
      parent.entry_alloca(llvm::ArrayType::get(parent.ir().getInt64Ty(), count), "surroundings");
}

void Environment::collect(const kernel::Affine& index) {
  for (const auto& [var, coefficient] : index.terms) {
    const bool own =
        var == plan_.n.var || std::any_of(plan_.m.begin(), plan_.m.end(),
                                          [v = var](const auto& dim) { return dim.var == v; });
    if (!own) add_once(vars_, var);
  }
}

void Environment::collect(ExprId id) {
  if (!id.valid()) return;
  const kernel::Expr& e = plan_.exprs[id.index];
  if (e.kind == ExprKind::kLoad) add_once(buffers_, e.buffer);
  if (e.kind == ExprKind::kLoad || e.kind == ExprKind::kIndex) collect(e.index);
  if (e.kind == ExprKind::kLocal && !contains(inner_, e.local)) add_once(locals_, e.local);
  for (const ExprId arg : e.args)
    collect(arg);
}

void Environment::store() {
  Builder& ir = parent_.ir();
  size_t next = 0;
  for (const kernel::BufferId id : buffers_)
    ir.CreateStore(parent_.buffer_pointer(id), field(ir, block_, next++));
  for (const kernel::VarId id : vars_)
    ir.CreateStore(parent_.affine(kernel::Affine::variable(id)), field(ir, block_, next++));
  for (const kernel::LocalId id : locals_)
    ir.CreateStore(parent_.read_local(id), field(ir, block_, next++));
}

void Environment::load(Emitter& tile, llvm::Value* block) const {
  Builder& ir = tile.ir();
  size_t next = 0;
  for (const kernel::BufferId id : buffers_)
    tile.bind_buffer(id, ir.CreateLoad(ir.getPtrTy(), field(ir, block, next++)));
  for (const kernel::VarId id : vars_)
    tile.bind_var(id, ir.CreateLoad(ir.getInt64Ty(), field(ir, block, next++)), 0,
                  parent_.var(id).range);
  for (const kernel::LocalId id : locals_) {
    llvm::Type* type = register_type(tile.context(), tile.kernel().locals[id.index].dtype);
    tile.bind_local(id, ir.CreateLoad(type, field(ir, block, next++)));
  }
}

void bind_flat(Emitter& em, const Dims& dims, llvm::Value* base, int64_t offset) {
  if (dims.empty()) return;
  const auto range = [](const kernel::ContractDim& dim) { return Interval{0, dim.extent - 1}; };
  if (dims.size() == 1) {
    em.bind_var(dims[0].var, base, offset, range(dims[0]));
    return;
  }
  Builder& ir = em.ir();
  // Flattened extents fit 32 bits in any matrix that fits a machine; 32-bit divisions are cheaper.
  const bool narrow = extent_of(dims) < INT32_MAX;
  llvm::Type* type = narrow ? ir.getInt32Ty() : ir.getInt64Ty();
  llvm::Value* flat = offset == 0 ? base : ir.CreateNSWAdd(base, em.i64(offset));
  flat = ir.CreateTrunc(flat, type);
  for (size_t i = dims.size(); i-- > 0;) {
    llvm::Value* extent = llvm::ConstantInt::getSigned(type, dims[i].extent);
    llvm::Value* index = i == 0 ? flat : ir.CreateURem(flat, extent);
    if (i > 0) flat = ir.CreateUDiv(flat, extent);
    em.bind_var(dims[i].var, ir.CreateZExt(index, ir.getInt64Ty()), 0, range(dims[i]));
  }
}

}  // namespace gradc::cg
