// The words of kernel text that printer and parser share.
#pragma once

#include "codegen/kernel/kernel.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace gradc::kernel {

template <class Kind, size_t N>
using Words = std::array<std::pair<Kind, std::string_view>, N>;

inline constexpr Words<BufferRole, 4> kRoleWords = {{{BufferRole::kIn, "in"},
                                                     {BufferRole::kOut, "out"},
                                                     {BufferRole::kInOut, "inout"},
                                                     {BufferRole::kLocal, "local"}}};
inline constexpr Words<LoopKind, 5> kLoopWords = {{{LoopKind::kSerial, "for"},
                                                   {LoopKind::kParallel, "parallel"},
                                                   {LoopKind::kVector, "vector"},
                                                   {LoopKind::kUnroll, "unroll"},
                                                   {LoopKind::kParallelVector, "parallel_vector"}}};
inline constexpr Words<AccumulateOp, 4> kAccumulateWords = {{{AccumulateOp::kSum, "+="},
                                                             {AccumulateOp::kProd, "*="},
                                                             {AccumulateOp::kMax, "max="},
                                                             {AccumulateOp::kMin, "min="}}};
/// A sum that a product is fused into: `%acc fma= a, b`.
inline constexpr std::string_view kFusedWord = "fma=";
inline constexpr Words<SumOrder, 3> kOrderWords = {{{SumOrder::kSequence, "sequence"},
                                                    {SumOrder::kGroups, "groups"},
                                                    {SumOrder::kLanes, "lanes"}}};
/// Scalar functions that stand between their operands.
inline constexpr Words<ScalarOp, 12> kInfixWords = {{{ScalarOp::kAdd, "+"},
                                                     {ScalarOp::kSub, "-"},
                                                     {ScalarOp::kMul, "*"},
                                                     {ScalarOp::kDiv, "/"},
                                                     {ScalarOp::kEq, "=="},
                                                     {ScalarOp::kNe, "!="},
                                                     {ScalarOp::kLt, "<"},
                                                     {ScalarOp::kLe, "<="},
                                                     {ScalarOp::kGt, ">"},
                                                     {ScalarOp::kGe, ">="},
                                                     {ScalarOp::kAnd, "and"},
                                                     {ScalarOp::kOr, "or"}}};

/// Empty if the kind has no word.
template <class Kind, size_t N>
constexpr std::string_view word_of(const Words<Kind, N>& words, Kind kind) {
  for (const auto& [one, word] : words)
    if (one == kind) return word;
  return {};
}

template <class Kind, size_t N>
constexpr std::optional<Kind> find_word(const Words<Kind, N>& words, std::string_view text) {
  for (const auto& [kind, word] : words)
    if (word == text) return kind;
  return std::nullopt;
}

/// The element type that an expression has by its parts; another one is written behind it. Cast
/// says its own.
DType implied_dtype(const Kernel& kernel, const Expr& expr);

}  // namespace gradc::kernel
