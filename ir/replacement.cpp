#include "ir/replacement.h"

#include <algorithm>

namespace gradc {

void Replacement::put(ValueId old, ValueId now) {
  const NodeId def = graph_.def(now);
  const bool is_new = def.valid() && def.index >= first_new_;
  const bool has_name = std::any_of(names_.begin(), names_.end(),
                                    [&](const auto& name) { return name.first == now; });
  if (is_new && !has_name) names_.emplace_back(now, graph_.value(old).name);
  graph_.replace_all_uses(old, now);
}

void Replacement::finish() {
  graph_.erase(node_);
  for (const auto& [value, name] : names_)
    graph_.set_name_hint(value, name);
}

}  // namespace gradc
