#include "passes/fusion_remarks.h"

#include "ir/op.h"
#include "passes/fusion_groups.h"
#include "passes/fusion_label.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <map>

namespace gradc {
namespace {

constexpr std::array<std::string_view, 10> kNames = {
    "none", "form", "size", "unlinked", "cost", "phases", "packing", "cycle", "too_far", "late"};

std::string why(const FusionRemark& remark) {
  switch (remark.refusal) {
    case Refusal::kNone:
      return "nothing keeps them apart";
    case Refusal::kForm:
      return std::string(remark.rule);
    case Refusal::kSize:
      return fmt::format("more than {} nodes or {} arguments", kMaxBodyNodes, kMaxKernelOperands);
    case Refusal::kUnlinked:
      return "a contraction or the like takes in only what it is linked with";
    case Refusal::kCost:
      return fmt::format("it saves {:.0f} bytes and costs {:.0f} units of repeated work",
                         remark.saved, remark.extra);
    case Refusal::kPhases:
      return "the forward kernel would keep more in memory for the backward phase";
    case Refusal::kPacking:
      return "too much work, or a stored value, where a contraction packs its operands";
    case Refusal::kCycle:
      return "the way between them leads through other kernels too";
    case Refusal::kTooFar:
      return "whether a way between them leads through other kernels was not followed to its end";
    case Refusal::kLate:
      return "it was not possible or did not pay when it was tried";
  }
  GRADC_UNREACHABLE();
}

}  // namespace

std::string_view refusal_name(Refusal refusal) {
  return kNames[static_cast<size_t>(refusal)];
}

std::string FusionRemark::text() const {
  return fmt::format("{} %{} | {} %{} {}: {}", first, first_result, second, second_result,
                     linked ? "reads it" : "reads the same", why(*this));
}

/// Pairs of groups as they are now: readers of what a group makes, then the next readers of what it
/// reads itself, where that is more than a few numbers.
std::vector<FusionRemark> FusionGroups::remarks() {
  std::vector<FusionRemark> result;
  for (uint32_t group : order_->groups()) {
    std::vector<uint32_t> others;
    consumers(group, SIZE_MAX, others);
    for (ValueId input : groups_[group].inputs) {
      const std::span<const uint32_t> reading = readers(input);
      const auto next = std::upper_bound(reading.begin(), reading.end(), group);
      if (next != reading.end() && bytes(input) > kTinyBytes) others.push_back(*next);
    }
    std::sort(others.begin(), others.end());
    others.erase(std::unique(others.begin(), others.end()), others.end());
    for (uint32_t other : others)
      result.push_back(remark(group, other));
  }
  return result;
}

FusionRemark FusionGroups::remark(uint32_t first, uint32_t second) {
  if (order_->before(second, first)) std::swap(first, second);
  FusionRemark remark;
  const auto label = [&](const FusionGroup& group) {
    return group.loop ? std::string(op_name(graph_.node(group.owned[0]).op))
                      : kernel_label(graph_, group, step_label(context_));
  };
  remark.first = label(groups_[first]);
  remark.second = label(groups_[second]);
  remark.first_result = graph_.value(groups_[first].outputs[0]).name;
  remark.second_result = graph_.value(groups_[second].outputs[0]).name;
  remark.second_location = graph_.location(graph_.node(graph_.def(groups_[second].outputs[0])).loc);
  remark.linked = is_linked(first, second);
  unite_values(first, second, both_);
  remark.saved = groups_[first].bytes + groups_[second].bytes - both_.bytes;
  refusal_ = Refusal::kNone;
  const bool pays = benefit(first, second).has_value();
  remark.extra = extra_;
  remark.refusal = refusal_;
  if (remark.refusal == Refusal::kForm) {
    remark.rule = forms_.reason();
    if (groups_[first].loop || groups_[second].loop)
      remark.rule = "a loop is no kernel, its body is fused on its own";
    if (remark.rule.empty()) remark.rule = "a few very long rows are left to all threads";
  }
  if (!pays) return remark;
  const size_t given_up = order_->searches_given_up();
  if (order_->may_merge(first, second)) {
    remark.refusal = Refusal::kLate;
  } else {
    remark.refusal = order_->searches_given_up() > given_up ? Refusal::kTooFar : Refusal::kCycle;
  }
  return remark;
}

Result<std::vector<FusionRemark>> fusion_remarks(const Graph& graph) {
  WholeSteps steps;
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    const Op op = node.op;
    const bool expands = def(op).lowering == Lowering::kComposite && steps.size(node) == 0;
    if (op != Op::kKernel && !expands) continue;
    return make_error(DiagKind::kInvalidUsage, {},
                      "graph @{} has a {}: remarks are about a graph of primitives before fusion, "
                      "the stage optimized",
                      graph.name(), op_name(op));
  }
  PassContext context;
  FusionGroups groups(graph, context);
  groups.search();
  return groups.remarks();
}

std::string fusion_remarks_text(std::span<const FusionRemark> remarks) {
  std::string out;
  std::map<Refusal, int> count;
  for (const FusionRemark& remark : remarks) {
    out += remark.text() + "\n";
    ++count[remark.refusal];
  }
  std::string sums;
  for (const auto& [refusal, number] : count)
    sums += fmt::format("{}{} {}", sums.empty() ? "" : ", ", number, refusal_name(refusal));
  return out + fmt::format("pairs not fused: {}\n", sums.empty() ? "none" : sums);
}

nlohmann::json fusion_remarks_json(std::span<const FusionRemark> remarks) {
  nlohmann::json pairs = nlohmann::json::array();
  for (const FusionRemark& remark : remarks) {
    pairs.push_back({{"first", remark.first},
                     {"first_result", remark.first_result},
                     {"second", remark.second},
                     {"second_result", remark.second_result},
                     {"location", remark.second_location},
                     {"linked", remark.linked},
                     {"reason", refusal_name(remark.refusal)},
                     {"text", why(remark)},
                     {"saved_bytes", remark.saved},
                     {"extra_work", remark.extra}});
  }
  return {{"pairs", std::move(pairs)}};
}

}  // namespace gradc
