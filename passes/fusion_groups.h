// The search for groups: every node that is computed once begins as a group of its own, or in that
// of the only node that it is computed for; pairs of groups are merged, the most useful first, as
// long as the union is a legal kernel (fusion_form), pays (fusion_cost) and leaves no cycle between
// groups (group_order).
//
// Cheap nodes ("inline": views, constants, iota, random bits, tests and casts of what is stored
// anyway) belong to no group: each group that needs one has its own copy.
//
// The cost is that of the pairs that are tried: a few for each value that a group reads, each
// bounded by the size of a kernel.
#pragma once

#include "ir/graph.h"
#include "ir/op.h"
#include "passes/fusion_cost.h"
#include "passes/fusion_form.h"
#include "passes/fusion_remarks.h"
#include "passes/group_order.h"
#include "passes/pass.h"

#include <optional>
#include <span>
#include <string_view>
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
  double bytes = 0;      ///< of inputs and outputs
  bool forward = false;  ///< owns nodes of the forward phase
  bool later = false;    ///< owns nodes of another one
  bool loop = false;     ///< a node with a body of its own, which stays as it is: no kernel
};

class FusionGroups : private GroupEdges {
 public:
  FusionGroups(const Graph& graph, PassContext& context);

  /// Merges until nothing pays; gives the groups in an order in which they can run.
  std::vector<FusionGroup> run();
  /// The first half of run(), and then why what is left was not merged.
  void search();
  std::vector<FusionRemark> remarks();

 private:
  struct Candidate {
    double benefit = 0;
    uint32_t first = 0, second = 0;  ///< groups, `first` is not after `second`
    uint32_t first_version = 0, second_version = 0;
    KernelForm form;  ///< of the union, as long as the versions are these
    double work = 0;
    bool operator<(const Candidate& other) const;
  };

  // ---- preparation
  void find_live_nodes();
  void choose_inline_nodes();
  bool widens(const Node& node) const;
  bool cheap_to_repeat(NodeId id);
  bool joins_what_is_made(NodeId id) const;
  bool looks_up_sums(NodeId id) const;
  bool surely_stored(ValueId value);
  /// Whether a use is by a node of a group.
  bool counts(const Use& use) const {
    return live_[use.node.index] != 0 && graph_.node(use.node).op != Op::kUpdate;
  }
  bool is_element_wise(const Node& node) const;
  NodeId only_reader(NodeId id) const;
  void make_first_groups();
  void make_first_group(FusionGroup& group);
  void finish_first_group(uint32_t group);

  // ---- one group
  void collect(NodeId node, std::vector<NodeId>& nodes);
  bool is_inline_producer(NodeId id) const { return id.valid() && inline_[id.index] != 0; }
  /// A padding that a convolution reads from memory; others are done while reading.
  bool is_stored_padding(NodeId id) const {
    return graph_.node(id).op == Op::kPad && inline_[id.index] == 0;
  }
  bool is_needed(ValueId value, uint32_t a, uint32_t b) const;
  bool find_form(FusionGroup& group);
  bool form_is_sensible(const FusionGroup& group) const;
  void put_inputs_in_order(FusionGroup& group);
  void mark(std::span<const NodeId> nodes);
  bool is_marked(NodeId id) const { return id.valid() && mark_[id.index] == stamp_; }
  double bytes(ValueId value) const { return values_[value.index].bytes; }
  bool is_kept(ValueId value) const { return values_[value.index].kept; }
  /// Makes a value one of those seen since the last stamp; false where it is already.
  bool see(ValueId value) {
    uint32_t& seen = values_[value.index].seen;
    if (seen == stamp_) return false;
    seen = stamp_;
    return true;
  }
  /// The node that makes a value, invalid for the graph's inputs.
  NodeId maker(ValueId value) const { return values_[value.index].maker; }

  // ---- readers
  void collect_readers();
  /// Groups that have a value as an input, in order.
  std::span<const uint32_t> readers(ValueId value) const {
    const ValueState& v = values_[value.index];
    return {readers_.data() + v.first_reader, v.num_readers};
  }
  void remove_reader(ValueId value, uint32_t group);
  void add_reader(ValueId value, uint32_t group);

  // ---- pairs
  void unite_values(uint32_t first, uint32_t second, FusionGroup& both);
  bool unite_nodes(const FusionGroup& p, const FusionGroup& c, FusionGroup& both);
  std::optional<double> benefit(uint32_t first, uint32_t second);
  std::nullopt_t refuse(Refusal refusal) {
    refusal_ = refusal;
    return std::nullopt;
  }
  std::nullopt_t refuse_form(std::string_view why) {
    forms_.no(why);
    return refuse(Refusal::kForm);
  }
  std::string_view forms_clash(const FusionGroup& p, const FusionGroup& c) const;
  bool outputs_clash(uint32_t first, const FusionGroup& c, const FusionGroup& both) const;
  FusionRemark remark(uint32_t first, uint32_t second);
  bool crosses_into_later_phase(const FusionGroup& p, const FusionGroup& c,
                                const FusionGroup& both);
  std::optional<double> prologue_cost(const FusionGroup& both, uint32_t other);
  bool is_linked(uint32_t a, uint32_t b) const;
  /// By a node of its own: a lookup that every reader repeats is no anchor.
  bool is_anchored(const FusionGroup& group) const {
    return group.form.is_anchored() && !is_inline_producer(group.form.anchor);
  }
  double stored_bytes(const FusionGroup& group) const;

  // ---- merging
  void push(uint32_t a, uint32_t b);
  void push_neighbours(uint32_t group);
  void push_siblings(uint32_t group, bool earlier);
  void push_tiny_siblings();
  void merge(const Candidate& candidate);
  uint32_t owner(NodeId node) const { return owner_[node.index]; }
  bool consumers(uint32_t group, size_t limit, std::vector<uint32_t>& result) const override;
  bool producers(uint32_t group, size_t limit, std::vector<uint32_t>& result) const override;

  /// What is asked of a value over and over, in one place.
  struct ValueState {
    double bytes = 0;
    NodeId maker;
    uint32_t seen = 0;
    uint32_t first_reader = 0;  ///< in readers_
    uint32_t num_readers = 0;
    bool kept = false;  ///< an output, or the new value of a parameter
  };

  const Graph& graph_;
  PassContext& context_;
  FormFinder forms_;
  WholeSteps steps_;
  WorkMeter work_;
  std::vector<uint32_t> position_;     ///< by NodeId
  std::vector<char> live_;             ///< by NodeId
  std::vector<char> inline_;           ///< by NodeId
  std::vector<double> inline_cost_;    ///< by NodeId: of one element with all inline producers
  std::vector<uint32_t> inline_size_;  ///< by NodeId: itself and all inline producers
  std::vector<uint32_t> owner_;        ///< by NodeId: its group
  std::vector<uint32_t> last_;         ///< by NodeId: the last node of the group it began in
  std::vector<uint32_t> mark_;         ///< by NodeId: nodes of the group looked at
  std::vector<uint32_t> seen_;         ///< by NodeId
  uint32_t stamp_ = 0;
  std::vector<uint32_t> weight_;    ///< by NodeId: nodes of a body, constants not counted
  std::vector<ValueState> values_;  ///< by ValueId
  std::vector<uint32_t> readers_;   ///< of all values: merging only makes them fewer
  std::vector<FusionGroup> groups_;
  std::vector<uint32_t> version_;  ///< by group; changes when it is merged
  std::vector<char> alive_;        ///< by group
  std::optional<GroupOrder> order_;
  std::vector<Candidate> queue_;      ///< a heap
  FusionGroup both_;                  ///< the union of the pair looked at
  double extra_ = 0;                  ///< repeated work of that union
  Refusal refusal_ = Refusal::kNone;  ///< why it is none
  int64_t pairs_tried_ = 0;
  int64_t merged_ = 0;
};

}  // namespace gradc
