#include "driver/model_tables.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace gradc {

namespace {

template <size_t N>
int64_t index_of(const std::array<std::string_view, N>& names, std::string_view name,
                 std::string_view what) {
  const auto it = std::find(names.begin(), names.end(), name);
  GRADC_CHECK(it != names.end(), "unknown {} \"{}\"", what, name);
  return it - names.begin();
}

}  // namespace

gradc_rt_initializer initializer_of(const InitSpec& init) {
  static constexpr std::array<std::string_view, 9> kKinds = {"zeros",
                                                             "ones",
                                                             "constant",
                                                             "random_normal",
                                                             "random_uniform",
                                                             "truncated_normal",
                                                             "variance_scaling",
                                                             "orthogonal",
                                                             "identity"};
  static constexpr std::array<std::string_view, 3> kModes = {"fan_in", "fan_out", "fan_avg"};
  static constexpr std::array<std::string_view, 3> kDistributions = {
      "truncated_normal", "untruncated_normal", "uniform"};
  gradc_rt_initializer result{};
  result.kind = index_of(kKinds, init.kind, "initializer");
  result.a = init.a;
  result.b = init.b;
  if (result.kind == GRADC_RT_INIT_VARIANCE_SCALING) {
    result.mode = index_of(kModes, init.mode, "fan mode");
    result.distribution = index_of(kDistributions, init.distribution, "distribution");
  }
  result.fan_in = init.fan_in;
  result.fan_out = init.fan_out;
  result.stream = static_cast<uint64_t>(init.stream);
  result.has_seed = init.has_seed ? 1 : 0;
  result.seed = static_cast<uint64_t>(init.seed);
  result.ones_begin = init.ones_begin;
  result.ones_end = init.ones_end;
  return result;
}

}  // namespace gradc
