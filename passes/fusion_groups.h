// The search for groups: every node that is computed once begins as a group of its own; pairs of
// groups are merged, the most useful first, as long as the union is a legal kernel (fusion_form),
// pays (fusion_cost) and leaves no cycle between groups.
//
// Cheap nodes ("inline": views, constants, iota, random bits, tests and casts of what is stored
// anyway) belong to no group: each group that needs one has its own copy.
#pragma once

#include "ir/graph.h"
#include "passes/fusion_cost.h"
#include "passes/fusion_form.h"
#include "passes/pass.h"

#include <optional>
#include <vector>

namespace gradc {

/// What becomes one kernel.
struct FusionGroup {
  std::vector<NodeId> owned;     ///< computed here only, in graph order
  std::vector<NodeId> nodes;     ///< owned and inline nodes, in graph order
  std::vector<ValueId> inputs;   ///< values from outside, in order of first use
  std::vector<ValueId> outputs;  ///< values stored
  KernelForm form;
  double work = 0;
  double bytes = 0;  ///< of inputs and outputs
};

class FusionGroups {
 public:
  FusionGroups(const Graph& graph, PassContext& context);

  /// Merges until nothing pays; gives the groups in an order in which they can run.
  std::vector<FusionGroup> run();

 private:
  struct Candidate {
    double benefit = 0;
    uint32_t first = 0, second = 0;  ///< groups, `first` is not after `second`
    uint32_t first_version = 0, second_version = 0;
    bool operator<(const Candidate& other) const;
  };

  // ---- preparation
  void find_live_nodes();
  void choose_inline_nodes();
  bool cheap_to_repeat(NodeId id);
  bool surely_stored(ValueId value);
  void make_single_groups();

  // ---- one group
  FusionGroup make_group(std::vector<NodeId> owned);
  void collect(NodeId node, std::vector<NodeId>& nodes);
  bool used_outside(ValueId value);
  bool needed_outside(ValueId value, NodeId def);
  bool form_is_sensible(const FusionGroup& group) const;

  // ---- merging
  void push_neighbours(uint32_t group);
  void push_siblings(uint32_t group);
  void push_tiny_siblings();
  void push(uint32_t a, uint32_t b);
  std::optional<double> benefit(const FusionGroup& p, const FusionGroup& c, const FusionGroup& both,
                                bool linked) const;
  bool crosses_into_later_phase(const FusionGroup& p, const FusionGroup& c,
                                const FusionGroup& both) const;
  std::optional<double> prologue_cost(const FusionGroup& both, const FusionGroup& p) const;
  FusionGroup unite(const FusionGroup& a, const FusionGroup& b);
  bool is_linked(uint32_t a, uint32_t b) const;
  bool makes_cycle(uint32_t first, uint32_t second);
  void merge(uint32_t first, uint32_t second, FusionGroup both);
  std::vector<uint32_t> producers(const FusionGroup& group) const;
  std::vector<uint32_t> consumers(uint32_t group);
  void collect_consumers(ValueId value, std::vector<uint32_t>& result);
  uint32_t owner(NodeId node) const { return owner_[node.index]; }

  const Graph& graph_;
  PassContext& context_;
  FormFinder forms_;
  std::vector<uint32_t> position_;   ///< by NodeId
  std::vector<char> live_;           ///< by NodeId
  std::vector<char> inline_;         ///< by NodeId
  std::vector<double> inline_cost_;  ///< by NodeId: of one element with all inline producers
  std::vector<uint32_t> owner_;      ///< by NodeId: its group
  std::vector<uint32_t> mark_;       ///< by NodeId: nodes of the group being made
  std::vector<uint32_t> seen_;       ///< by NodeId
  uint32_t stamp_ = 0;
  std::vector<FusionGroup> groups_;
  std::vector<uint32_t> version_;  ///< by group; changes when it is merged
  std::vector<char> alive_;        ///< by group
  std::vector<uint32_t> rank_;     ///< by group: a place in a topological order of groups
  std::vector<uint32_t> by_rank_;
  std::vector<Candidate> queue_;  ///< a heap
};

}  // namespace gradc
