// The bodies of kernels. Groups that differ in names and places only have one body between them:
// a deep network has few different kernels, and what is made of a body later is then made once.
#pragma once

#include "passes/fusion_groups.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gradc {

struct KernelBody {
  std::shared_ptr<Graph> graph;
  AttrRef attrs;  ///< KernelAttrs
};

class KernelBodies {
 public:
  /// `rule` is the optimizer's, for names. `named`: each kernel has a body of its own, in which
  /// values have their names and nodes their places.
  KernelBodies(const Graph& graph, std::string_view rule, bool named)
      : graph_(graph), rule_(rule), named_(named), forms_(graph), number_(graph.value_capacity()) {}

  /// The graph and the groups asked about before have not changed since.
  KernelBody find(const FusionGroup& group);

 private:
  struct Made {
    const FusionGroup* group;
    std::vector<uint32_t> wiring;
    KernelBody body;
  };

  uint64_t describe(const FusionGroup& group);
  bool same(const FusionGroup& a, const FusionGroup& b) const;
  KernelBody make(const FusionGroup& group);

  const Graph& graph_;
  std::string rule_;
  bool named_;
  FormFinder forms_;
  std::vector<uint32_t> number_;  ///< by ValueId: in the group that is described
  std::vector<uint32_t> wiring_;  ///< of that group: which node reads what
  std::unordered_multimap<uint64_t, Made> made_;
};

}  // namespace gradc
