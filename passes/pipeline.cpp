#include "passes/pipeline.h"

#include "support/check.h"

#include <array>

namespace gradc {

namespace {

using enum PipelineStage;

constexpr PipelineEntry kSimplifyModel{
    kGradient, "(canonicalize,constant_fold,cse,dce,prune_loops,hoist_loops)*",
    "what the frontend wrote twice or for nothing would be differentiated too"};
constexpr PipelineEntry kCompactRows{kGradient, "compact_rows",
                                     "what is computed for some rows has a gradient for some rows"};
constexpr PipelineEntry kDifferentiate{
    kGradient, "differentiate", "composites are still whole: their own gradients are better"};
constexpr PipelineEntry kApplyOptimizer{kGradient, "apply_optimizer",
                                        "the update is part of the step"};
constexpr PipelineEntry kExpand{kOptimized, "expand_composites", "codegen knows primitives only"};
constexpr PipelineEntry kSimplifyAll{
    kOptimized, "(canonicalize,constant_fold,cse,dce,prune_loops,hoist_loops)*",
    "forward, backward and update share values, and gradients are full of trivial algebra"};
constexpr PipelineEntry kPack{kOptimized, "pack_captures", "canonicalize would undo it"};
constexpr PipelineEntry kBlockRows{kOptimized, "block_rows",
                                   "hoist_loops would undo it; the whole way of a row is seen"};
constexpr PipelineEntry kRecompute{kFused, "recompute",
                                   "nothing behind it may see that things are computed twice"};
constexpr PipelineEntry kStorePadded{
    kFused, "store_padded", "a convolution and its gradients would each copy what they read"};
constexpr PipelineEntry kFuse{kFused, "fuse", "memory traffic is what elementwise work costs"};
constexpr PipelineEntry kStoreOutputs{kFused, "store_outputs", "kernels can store twice"};
constexpr PipelineEntry kSkipRows{kFused, "skip_rows", "which rows kernels read is seen in them"};
constexpr PipelineEntry kSchedule{kScheduled, "schedule",
                                  "the order decides how much is alive at once"};
constexpr PipelineEntry kInPlace{kPlanned, "in_place",
                                 "a kernel may overwrite what it reads for the last time"};
constexpr PipelineEntry kPlan{kPlanned, "plan_memory",
                              "every buffer gets its place before run time"};

constexpr std::array kForward = {
    kSimplifyModel, kCompactRows, kExpand,       kSimplifyAll, kPack,     kBlockRows, kRecompute,
    kStorePadded,   kFuse,        kStoreOutputs, kSkipRows,    kSchedule, kInPlace,   kPlan};
constexpr std::array kGradients = {kSimplifyModel, kCompactRows, kDifferentiate, kExpand,
                                   kSimplifyAll,   kPack,        kBlockRows,     kRecompute,
                                   kStorePadded,   kFuse,        kStoreOutputs,  kSkipRows,
                                   kSchedule,      kInPlace,     kPlan};
constexpr std::array kTrainStep = {kSimplifyModel, kCompactRows, kDifferentiate, kApplyOptimizer,
                                   kExpand,        kSimplifyAll, kPack,          kBlockRows,
                                   kRecompute,     kStorePadded, kFuse,          kStoreOutputs,
                                   kSkipRows,      kSchedule,    kInPlace,       kPlan};

constexpr std::array kUpdate = {
    kSimplifyModel, kApplyOptimizer, kExpand,       kSimplifyAll, kPack,     kBlockRows, kRecompute,
    kStorePadded,   kFuse,           kStoreOutputs, kSkipRows,    kSchedule, kInPlace,   kPlan};

}  // namespace

std::span<const PipelineEntry> pipeline_entries(PipelineKind kind) {
  switch (kind) {
    case PipelineKind::kForward:
      return kForward;
    case PipelineKind::kGradients:
      return kGradients;
    case PipelineKind::kTrainStep:
      return kTrainStep;
    case PipelineKind::kUpdate:
      return kUpdate;
  }
  GRADC_UNREACHABLE();
}

std::string pipeline_text(PipelineKind kind, PipelineStage last, PipelineStage after) {
  std::string text;
  for (const PipelineEntry& entry : pipeline_entries(kind)) {
    if (entry.stage > last) break;
    if (entry.stage <= after) continue;
    if (!text.empty()) text += ",";
    text += entry.passes;
  }
  return text;
}

}  // namespace gradc
