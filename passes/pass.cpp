#include "passes/pass.h"

#include "passes/passes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gradc {

namespace {

constexpr std::array kPasses = {
#define GRADC_PASS(name, scope, summary) PassInfo{#name, &passes::name, PassScope::scope, summary},
#include "passes/passes.def"
#undef GRADC_PASS
};

}  // namespace

std::span<const PassInfo> all_passes() {
  return kPasses;
}

const PassInfo* find_pass(std::string_view name) {
  for (const PassInfo& pass : kPasses) {
    if (pass.name == name) return &pass;
  }
  return nullptr;
}

void PassContext::begin_pass(std::string_view name) {
  pass_ = name;
  counters_.clear();
}

void PassContext::count(std::string_view what, int64_t amount) {
  auto counter = std::find_if(counters_.begin(), counters_.end(),
                              [&](const auto& known) { return known.first == what; });
  if (counter == counters_.end()) {
    const size_t index = statistics.index(fmt::format("{}: {}", pass_, what));
    counter = counters_.insert(counter, {std::string(what), index});
  }
  statistics.add_at(counter->second, amount);
}

bool PassContext::may_rewrite() {
  if (debug_counters.empty()) return true;
  const auto limits = debug_counters.find(pass_);
  if (limits == debug_counters.end()) return true;
  const int64_t number = rewrites_[pass_]++;
  return limits->second.first <= number && number <= limits->second.last;
}

}  // namespace gradc
