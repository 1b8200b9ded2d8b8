// Twenty training steps give the same bits in losses, metrics, weights and optimizer state for AVX2
// and for what this machine has beyond it, with one thread and two; and the forward half of a
// training step is what evaluating does.
#include "tests/bits/nets.h"
#include "tests/bits/twenty_steps.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gradc::bits {
namespace {

std::string step(int number) {
  return "step " + std::to_string(number);
}

class Nets : public ::testing::TestWithParam<Net> {};

TEST_P(Nets, Avx2AndWhatThisMachineHasBeyond) {
  const Narrower narrower = narrower_than_host();
  if (!narrower.missing.empty()) GTEST_SKIP() << narrower.missing;
  const std::string wide = trained(GetParam(), TargetInfo::host(), 1);
  EXPECT_EQ(first_difference(trained(GetParam(), narrower.target, 2), wide), "");
  // It learned: the comparison is not one of constants.
  const double first = number_in(wide, step(1), "loss"), last = number_in(wide, step(17), "loss");
  EXPECT_TRUE(std::isfinite(last));
  EXPECT_LT(last, first);  // steps 1 and 17 have the same batch
}

INSTANTIATE_TEST_SUITE_P(All, Nets, ::testing::ValuesIn(all_nets()),
                         [](const auto& test) { return test.param.name; });

class Forward : public ::testing::TestWithParam<Net> {};

TEST_P(Forward, EvaluatesAsItTrains) {
  const std::string text = trained(GetParam(), TargetInfo::host(), 1);
  int compared = 0;
  for (const std::string& line : lines_of(text)) {
    if (!line.starts_with("before ")) continue;
    const std::string when = line.substr(7, line.find(':') - 7);
    const std::string name = name_in(line);
    EXPECT_EQ(digest_in(text, "step " + when, name), digest_in(text, "before " + when, name))
        << name << " of step " << when;
    ++compared;
  }
  EXPECT_GE(compared, kSteps);
}

std::vector<Net> without_two_ways() {
  std::vector<Net> nets;
  for (const Net& net : example_nets()) {
    if (evaluates_as_it_trains(net)) nets.push_back(net);
  }
  return nets;
}

INSTANTIATE_TEST_SUITE_P(Examples, Forward, ::testing::ValuesIn(without_two_ways()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gradc::bits
