// The bits of every output and update depend on nothing else: 300 random graphs, 100 with loops,
// 100 more with products of other types, and the entries of the examples, compiled as they are, and
// with further outputs and consumers of their values; the random ones for this machine and, if that
// has more, for AVX2. What both have in common is equal to the bit, with one thread or three. The
// same for depthwise windows, of which neighbours are one pass, or each one where much follows. And
// a model's metrics change nothing but themselves.
#include "driver/compiled_model.h"
#include "frontend/families.h"
#include "frontend/native_reader.h"
#include "ir/builder.h"
#include "ir/conv_geometry.h"
#include "ir/op_attrs.h"
#include "tests/bits/graph_bits.h"
#include "tests/bits/nets.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <set>

namespace gradc::bits {
namespace {

constexpr uint64_t kBlocks = 15;
constexpr uint64_t kPerBlock = 20;

class Bits300 : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Bits300, DependOnNothingElse) {
  const uint64_t first = GetParam() * kPerBlock;
  std::vector<testing::RandomEntry> entries;
  std::vector<Planned> plain, more;
  const char* only = std::getenv("GRADC_SEED");  // for debugging: this one alone
  for (uint64_t seed = first; seed < first + kPerBlock; ++seed) {
    if (only != nullptr && seed != std::strtoull(only, nullptr, 10)) continue;
    entries.push_back(testing::random_entry(seed));
    plain.push_back(planned(entries.back(), false));
    more.push_back(planned(entries.back(), true));
  }
  const std::vector<Bits> wanted = run(plain, TargetInfo::host());
  const std::vector<Bits> with_more = run(more, TargetInfo::host());
  ASSERT_EQ(wanted.size(), with_more.size());
  for (size_t i = 0; i < wanted.size(); ++i)
    expect_equal(wanted[i], with_more[i],
                 fmt::format("seed {}, with further outputs", entries[i].seed));
  const Narrower narrower = narrower_than_host();
  if (!narrower.missing.empty()) return;
  const std::vector<Bits> by_other = run(more, narrower.target);
  for (size_t i = 0; i < by_other.size(); ++i)
    expect_equal(with_more[i], by_other[i], fmt::format("seed {}, by AVX2", entries[i].seed));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Bits300, ::testing::Range(uint64_t{0}, kBlocks));
INSTANTIATE_TEST_SUITE_P(Loops, Bits300,
                         ::testing::Range(testing::kFirstLoopSeed / kPerBlock,
                                          testing::kFirstLoopSeed / kPerBlock + 5));
INSTANTIATE_TEST_SUITE_P(Products, Bits300,
                         ::testing::Range(testing::kFirstProductSeed / kPerBlock,
                                          testing::kFirstProductSeed / kPerBlock + 5));

/// Depthwise windows and the gradients of their images, alone or with much behind each.
testing::RandomEntry depthwise_windows(bool followed) {
  struct Case {
    TensorType x, w;
    ConvAttrs attrs;
  };
  const std::vector<Case> cases = {
      {f32({3, 9, 14, 40}), f32({3, 3, 1, 40}), {{1, 1}, {1, 1}, {1, 1}, {}, 40, {}}},
      {f32({2, 15, 32, 24}), f32({3, 3, 1, 24}), {{2, 2}, {1, 1}, {1, 1}, {}, 24, {}}},
      {f32({2, 9, 16, 19}), f32({3, 3, 1, 19}), {{1, 1}, {2, 2}, {2, 2}, {2, 2}, 19, {}}},
      {f32({5, 72, 16}), f32({3, 1, 16}), {{1}, {2}, {0}, {}, 16, {}}},
      {f32({2, 5, 6, 12, 16}),
       f32({3, 2, 3, 1, 16}),
       {{1, 1, 1}, {1, 1, 1}, {1, 0, 1}, {}, 16, {}}},
  };
  testing::RandomEntry entry;
  entry.graph = std::make_shared<Graph>("windows");
  Builder b(*entry.graph);
  const auto input = [&](const TensorType& type) {
    const std::string name = fmt::format("x{}", entry.graph->inputs().size());
    return b.input(InputKind::kInput, type, name, name);
  };
  const auto output = [&](const Val& y) {
    entry.graph->add_output(fmt::format("y{}", entry.graph->outputs().size()), y.id());
  };
  std::vector<Val> results;
  for (const Case& c : cases) {
    const auto geometry = conv_geometry("conv", c.x, c.w, c.attrs);
    EXPECT_TRUE(geometry.ok()) << geometry.message();
    const Val w = input(c.w);
    results.push_back(b.add(Op::kConv, {input(c.x), w}, make_attrs(c.attrs)));
    ConvAttrs attrs = c.attrs;
    attrs.shape = c.x.shape.to_vector();
    const Val dy = input(c.x.with(geometry->output_shape()));
    results.push_back(b.add(Op::kConvInputGrad, {dy, w}, make_attrs(attrs)));
  }
  for (const Val& y : results)
    output(y);
  for (const Val& y : results) {
    if (followed) output(tanh(exp(neg(y * y)) * sigmoid(y) + tanh(y) * y));
  }
  return entry;
}

TEST(DepthwiseWindows, HaveTheSameBitsAloneAndBesideEachOther) {
  const std::vector<Planned> alone = {planned(depthwise_windows(false), false)};
  const std::vector<Planned> followed = {planned(depthwise_windows(true), false)};
  const std::vector<Bits> wanted = run(alone, TargetInfo::host());
  expect_equal(wanted.at(0), run(followed, TargetInfo::host()).at(0), "followed");
  const Narrower narrower = narrower_than_host();
  if (!narrower.missing.empty()) return;
  expect_equal(wanted.at(0), run(alone, narrower.target).at(0), "by AVX2");
}

class Examples : public ::testing::TestWithParam<Net> {};

/// The training step and the prediction of a model, before any pass.
std::vector<testing::RandomEntry> entries_of_net(const Net& net) {
  SourceSet sources;
  const auto model = read_model_text(net.name, net.text, sources);
  EXPECT_TRUE(model.ok()) << model.message();
  std::vector<testing::RandomEntry> entries;
  for (const EntryPoint kind : {EntryPoint::kTrainStep, EntryPoint::kPredict}) {
    auto staged = build_staged(*model, kind, 13, PipelineStage::kGraph, {});
    EXPECT_TRUE(staged.ok()) << staged.message();
    testing::RandomEntry& entry = entries.emplace_back();
    entry.graph = staged->graph;
    entry.kind = kind == EntryPoint::kPredict ? PipelineKind::kForward : PipelineKind::kTrainStep;
    if (kind == EntryPoint::kTrainStep)
      entry.options.optimizer = make_optimizer_spec(model->training->optimizer);
  }
  return entries;
}

TEST_P(Examples, FurtherOutputsAndConsumersChangeNoBit) {
  constexpr uint64_t kChoices = 4;
  const std::vector<testing::RandomEntry> entries = entries_of_net(GetParam());
  std::vector<Planned> plain;
  for (const testing::RandomEntry& entry : entries)
    plain.push_back(planned(entry, false));
  const std::vector<Bits> wanted = run(plain, TargetInfo::host());
  for (uint64_t choice = 1; choice <= kChoices; ++choice) {
    std::vector<Planned> more;
    for (testing::RandomEntry entry : entries) {
      entry.seed = choice;
      more.push_back(planned(entry, true));
      more.back().seed = 0;  // the inputs are the same
    }
    const std::vector<Bits> with_more = run(more, TargetInfo::host());
    ASSERT_EQ(wanted.size(), with_more.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_GT(with_more[i].size(), wanted[i].size());
      expect_equal(wanted[i], with_more[i], fmt::format("entry {}, choice {}", i, choice));
    }
  }
}

/// The net with none, and with all metrics that it can have.
std::pair<Net, Net> with_metrics(const Net& net) {
  auto json = nlohmann::json::parse(net.text);
  json["training"].erase("early_stopping");  // it may watch a metric
  auto& metrics = json["training"]["metrics"];
  SourceSet known;
  const auto as_it_is = read_model_text(net.name, net.text, known);
  const bool several = as_it_is.ok() && as_it_is->outputs.size() > 1;
  const auto names = {"accuracy", "sparse_categorical_crossentropy", "mse", "mae"};
  std::vector<std::string> outputs = {""};
  if (several) {
    outputs.clear();
    for (const ModelOutput& output : as_it_is->outputs)
      outputs.push_back(output.name);
  }
  metrics = several ? nlohmann::json::object() : nlohmann::json::array();
  std::pair<Net, Net> nets = {net, net};
  nets.first.text = json.dump();
  for (const std::string& output : outputs) {
    auto& list = several ? metrics[output] : metrics;
    list = nlohmann::json::array();
    for (const char* name : names) {
      list.push_back(name);
      SourceSet sources;
      std::vector<Diagnostic> warnings;
      const auto model = read_model_text(net.name, json.dump(), sources);
      if (!model.ok() || !make_tables(*model, 2, warnings).ok()) list.erase(list.size() - 1);
    }
  }
  nets.second.text = json.dump();
  return nets;
}

TEST_P(Examples, MetricsChangeNoBit) {
  const auto [none, all] = with_metrics(GetParam());
  const std::string few = trained(none, TargetInfo::host(), 1);
  std::set<std::string> names;  // losses of several outputs are metrics that are always there
  for (const std::string& line : lines_of(few))
    names.insert(name_in(line));
  std::string rest;
  int further = 0;
  for (const std::string& line : lines_of(trained(all, TargetInfo::host(), 1))) {
    if (names.contains(name_in(line)))
      rest += line + "\n";
    else
      ++further;
  }
  SourceSet sources;
  const auto model = read_model_text(GetParam().name, GetParam().text, sources);
  ASSERT_TRUE(model.ok());
  const bool has_targets = std::ranges::any_of(
      model->training->losses, [](const OutputLoss& loss) { return loss.has_target; });
  EXPECT_EQ(further > 0, has_targets);  // what metrics compare with
  EXPECT_EQ(first_difference(rest, few), "");
}

INSTANTIATE_TEST_SUITE_P(All, Examples, ::testing::ValuesIn(example_nets()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gradc::bits
