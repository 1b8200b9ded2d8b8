// Every primitive of the op table, from its samples: lowered alone, it computes what the graph
// interpreter does.
#include "tests/support/op_samples.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

void lower_all_samples(const TargetInfo& target) {
  for (const OpDef* op : all_ops()) {
    if (op->lowering == Lowering::kComposite || op->lowering == Lowering::kStructure) continue;
    const std::vector<Sample> samples = op->samples();
    for (size_t i = 0; i < samples.size(); ++i) {
      SCOPED_TRACE(test::sample_name(*op, i));
      test::SampleGraph sample(samples[i]);
      const std::vector<Val> results =
          sample.builder.add_multi(op->op, sample.operands, test::sample_attrs(*op, samples[i]));
      for (const Val& v : results)
        sample.graph->add_output("out" + std::to_string(v.id().index), v.id());
      test::expect_same(*sample.graph, test::draw_operands(samples[i], 7), target);
    }
  }
}

TEST(LowerOps, EveryPrimitiveAgreesWithTheInterpreterOnWideVectors) {
  lower_all_samples(TargetInfo::generic_avx512());
}

TEST(LowerOps, EveryPrimitiveAgreesWithTheInterpreterOnNarrowVectors) {
  lower_all_samples(TargetInfo::generic_neon());
}

}  // namespace
}  // namespace gradc
