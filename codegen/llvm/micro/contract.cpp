// Contractions as plain loops: rows, vectors of columns, then the sum over k.
#include "codegen/llvm/micro/contract.h"

namespace gradc::cg {

using kernel::ContractDim;

void ContractEmitter::emit() {
  Builder& ir = em_.ir();
  std::vector<ContractDim> outer = c_.batch;
  outer.insert(outer.end(), c_.m.begin(), c_.m.end());
  outer.insert(outer.end(), c_.n.begin(), c_.n.end() - 1);
  const ContractDim column = c_.n.back();
  const auto width = static_cast<unsigned>(em_.target().lanes(4));
  em_.set_first_thread_stores(c_.parallel);
  const auto nest = [&](auto&& self, const std::vector<ContractDim>& dims, size_t i,
                        const std::function<void()>& body) -> void {
    if (i == dims.size()) return body();
    em_.loop(em_.i64(0), em_.i64(dims[i].extent), 1, false, [&](llvm::Value* iv) {
      em_.bind_var(dims[i].var, iv, 0, {0, dims[i].extent - 1});
      self(self, dims, i + 1, body);
    });
  };
  nest(nest, outer, 0, [&] {
    em_.vector_range(column.var, em_.i64(0), em_.i64(column.extent), {0, column.extent - 1}, width,
                     [&](llvm::Value*) {
                       llvm::Type* type = with_lanes(ir.getFloatTy(), em_.lanes().width);
                       llvm::AllocaInst* acc = em_.entry_alloca(type, "acc");
                       ir.CreateStore(llvm::Constant::getNullValue(type), acc);
                       nest(nest, c_.k, 0, [&] {
                         llvm::Value* a = em_.eval_lanes(c_.a);
                         llvm::Value* b = em_.eval_lanes(c_.b);
                         ir.CreateStore(em_.math().fma(a, b, ir.CreateLoad(type, acc)), acc);
                       });
                       em_.bind_local(c_.acc, ir.CreateLoad(type, acc));
                       em_.emit_block(c_.epilogue);
                     });
  });
  em_.set_first_thread_stores(false);
}

}  // namespace gradc::cg
