// How the kernel IR's element types look in LLVM: in registers (bool is i1, bf16 and f16 compute as
// float) and in memory (bool is one byte, bf16 is i16).
#pragma once

#include "ir/type.h"

#include <llvm/IR/DerivedTypes.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Type.h>

namespace gradc::cg {

using Builder = llvm::IRBuilder<>;

/// The type one element of a dtype has in a register.
llvm::Type* register_type(llvm::LLVMContext& context, DType dtype);
/// The type one element of a dtype has in memory.
llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype);
/// <lanes x scalar>, or the scalar itself for one lane.
llvm::Type* with_lanes(llvm::Type* scalar, unsigned lanes);
/// Lanes of a value; 1 for scalars.
unsigned lanes_of(const llvm::Value* value);
/// The value on every lane; vectors of that width stay as they are.
llvm::Value* splat(Builder& ir, llvm::Value* value, unsigned lanes);
/// The vector 0, 1, 2, ... of an integer type.
llvm::Constant* iota(llvm::Type* element, unsigned lanes);
/// A constant mask whose first `active` lanes are on.
llvm::Constant* prefix_mask(llvm::LLVMContext& context, unsigned lanes, unsigned active);
/// Lanes [begin, begin + count) of a vector.
llvm::Value* slice_lanes(Builder& ir, llvm::Value* vector, unsigned begin, unsigned count);

}  // namespace gradc::cg
