#include "codegen/kernel/nest_access.h"

#include <algorithm>

namespace gradc::kernel {

namespace {

void mark(const Kernel& kernel, const Block& lets, const std::vector<VarId>& vars, ExprId id,
          std::vector<bool>& dynamic) {
  if (!id.valid()) return;
  const Expr& e = kernel.expr(id);
  for (size_t d = 0; d < vars.size(); ++d) {
    if (e.index.coefficient(vars[d]) != 0) dynamic[d] = true;
  }
  for (const ExprId arg : e.args)
    mark(kernel, lets, vars, arg, dynamic);
  if (e.kind != ExprKind::kLocal) return;
  for (const Stmt& stmt : lets) {
    const auto* let = std::get_if<Let>(&stmt);
    if (let != nullptr && let->local == e.local) mark(kernel, lets, vars, let->expr, dynamic);
  }
}

bool mergeable(const NestDim& outer, const NestDim& inner, size_t d,
               const std::vector<Access>& accesses) {
  if (outer.reduce != inner.reduce || outer.group != inner.group) return false;
  for (size_t s = 0; s < outer.strides.size(); ++s) {
    if (outer.strides[s] != inner.strides[s] * inner.extent) return false;
  }
  return std::all_of(accesses.begin(), accesses.end(), [&](const Access& a) {
    return a.coefficients[d] == a.coefficients[d + 1] * inner.extent;
  });
}

}  // namespace

Access access_of(const Kernel& kernel, const Block& lets, const std::vector<VarId>& vars,
                 const Index& at, double weight) {
  Access access;
  for (const VarId var : vars)
    access.coefficients.push_back(at.affine.coefficient(var));
  access.dynamic.resize(vars.size());
  mark(kernel, lets, vars, at.dynamic, access.dynamic);
  access.weight = weight;
  return access;
}

void add_accesses(const Kernel& kernel, const Block& lets, const std::vector<VarId>& vars,
                  std::vector<Access>& accesses) {
  for (const Expr& e : kernel.exprs) {
    if (e.kind == ExprKind::kLoad)
      accesses.push_back(access_of(kernel, lets, vars, {e.index, e.args[0]}, 1.0));
    if (e.kind == ExprKind::kIndex)
      accesses.push_back(access_of(kernel, lets, vars, {e.index, {}}, 0.0));
  }
}

void merge_dims(std::vector<NestDim>& dims, std::vector<Access>& accesses) {
  for (size_t d = 0; d + 1 < dims.size();) {
    if (!mergeable(dims[d], dims[d + 1], d, accesses)) {
      ++d;
      continue;
    }
    dims[d + 1].extent *= dims[d].extent;
    dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(d));
    for (Access& a : accesses) {
      a.dynamic[d + 1] = a.dynamic[d + 1] || a.dynamic[d];
      a.coefficients.erase(a.coefficients.begin() + static_cast<std::ptrdiff_t>(d));
      a.dynamic.erase(a.dynamic.begin() + static_cast<std::ptrdiff_t>(d));
    }
    if (d > 0) --d;
  }
}

}  // namespace gradc::kernel
