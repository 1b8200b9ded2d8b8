// The contraction engine: one Contract statement as packed panels, register tiles and an epilogue.
#pragma once

#include "codegen/llvm/emitter.h"

namespace gradc::cg {

class ContractEmitter {
 public:
  ContractEmitter(Emitter& em, const kernel::Contract& contract) : em_(em), c_(contract) {}
  void emit();

 private:
  Emitter& em_;
  const kernel::Contract& c_;
};

}  // namespace gradc::cg
