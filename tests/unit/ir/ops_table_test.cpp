// Every entry of the op table, from its samples: completeness, evaluation against expansion, text
// form, and inference that diagnoses whatever it is given.
#include "ir/interpreter.h"
#include "ir/op.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/verifier.h"
#include "tests/support/op_samples.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

using test::SampleGraph;

TEST(OpTable, EveryEntryIsComplete) {
  for (int i = 0; i < kNumOps; ++i) {
    const OpDef& op = *all_ops()[static_cast<size_t>(i)];
    SCOPED_TRACE(op.name);
    EXPECT_EQ(op.op, static_cast<Op>(i));
    EXPECT_EQ(find_op(op.name), &op);
    EXPECT_FALSE(op.summary.empty());
    EXPECT_TRUE(op.summary.ends_with('.'));
    EXPECT_NE(op.infer, nullptr);
    EXPECT_TRUE((op.eval != nullptr) != (op.eval_scalar != nullptr)) << "exactly one evaluation";
    EXPECT_NE(op.samples, nullptr);
    EXPECT_EQ(op.samples().empty(), op.op == Op::kKernel);
    for (const Sample& s : op.samples())
      EXPECT_EQ(s.body != nullptr, op.body != nullptr);
    EXPECT_FALSE(op.grad != nullptr && !op.no_grad.empty()) << "a gradient and a reason for none";
    EXPECT_TRUE(op.grad != nullptr || !op.no_grad.empty() || op.expand != nullptr);
    EXPECT_TRUE(op.expand != nullptr || op.lowering != Lowering::kComposite);
    EXPECT_EQ(op.lowering == Lowering::kScalar,
              op.scalar != ScalarOp::kNone && op.lowering != Lowering::kReduce);
    EXPECT_TRUE(op.eval_scalar == nullptr || op.has(kTraitElementwise));
    if (op.lowering == Lowering::kScalar) {
      EXPECT_TRUE(op.has(kTraitElementwise));
      EXPECT_EQ(scalar_op_arity(op.scalar), static_cast<int>(arity(op).min));
    }
  }
}

TEST(OpTable, EveryScalarFunctionHasItsOp) {
  for (int i = 0; i < kNumScalarOps; ++i) {
    const auto scalar = static_cast<ScalarOp>(i);
    const auto count = std::count_if(all_ops().begin(), all_ops().end(), [&](const OpDef* op) {
      return op->lowering == Lowering::kScalar && op->scalar == scalar;
    });
    EXPECT_EQ(count, 1) << scalar_op_name(scalar);
  }
}

TEST(OpTable, ArityCountsVariadicOperands) {
  EXPECT_EQ(arity(def(Op::kConstant)).max, 0U);
  EXPECT_EQ(arity(def(Op::kSelect)).min, 3U);
  EXPECT_EQ(arity(def(Op::kOptimizerStep)).min, 2U);
  EXPECT_EQ(arity(def(Op::kOptimizerStep)).max, SIZE_MAX);
  EXPECT_EQ(arity(def(Op::kConcat)).min, 0U);
  EXPECT_EQ(arity(def(Op::kConcat)).max, SIZE_MAX);
}

// Calls visit(op, sample, name) for every sample of the table.
template <class Visit>
void for_each_sample(Visit visit) {
  for (const OpDef* op : all_ops()) {
    const std::vector<Sample> samples = op->samples();
    for (size_t i = 0; i < samples.size(); ++i)
      visit(*op, samples[i], test::sample_name(*op, i));
  }
}

std::vector<Tensor> run(SampleGraph& sample, std::span<const Val> results,
                        std::span<const Tensor> operands) {
  for (const Val& result : results)
    sample.graph->add_output("", result.id());
  EXPECT_TRUE(verify(*sample.graph).empty());
  auto ran = interpret(*sample.graph, operands);
  EXPECT_TRUE(ran.ok()) << ran.message();
  return ran.ok() ? ran.take().outputs : std::vector<Tensor>();
}

TEST(OpTable, EvaluationAgreesWithExpansion) {
  int compared = 0;
  for_each_sample([&](const OpDef& op, const Sample& s, const std::string& name) {
    if (op.expand == nullptr) return;
    SCOPED_TRACE(name);
    const std::vector<Tensor> operands = test::draw_operands(s, 1);
    const AttrRef attrs = test::sample_attrs(op, s);
    SampleGraph direct(s);
    const std::vector<Val> results =
        direct.builder.add_multi(op.op, direct.operands, attrs, "", test::sample_body(s));
    SampleGraph expanded(s);
    const std::vector<Val> parts = op.expand({expanded.builder, expanded.operands, attrs});
    const std::vector<Tensor> a = run(direct, results, operands);
    const std::vector<Tensor> b = run(expanded, parts, operands);
    ASSERT_EQ(a.size(), b.size());
    for (size_t r = 0; r < a.size(); ++r) {
      ASSERT_EQ(a[r].type, b[r].type);
      for (int64_t i = 0; i < a[r].size(); ++i) {
        EXPECT_TRUE(test::near(a[r][i], b[r][i], 1e-12))
            << "result " << r << " element " << i << ": " << a[r][i] << " and " << b[r][i];
        ++compared;
      }
    }
  });
  EXPECT_GT(compared, 300);
}

TEST(OpTable, SamplesReadBackFromTheirText) {
  for_each_sample([&](const OpDef& op, const Sample& s, const std::string& name) {
    SCOPED_TRACE(name);
    if (op.op == Op::kUpdate) return;  // its target is a parameter, not an input
    SampleGraph sample(s);
    for (const Val& v : sample.builder.add_multi(op.op, sample.operands, test::sample_attrs(op, s),
                                                 "", test::sample_body(s)))
      sample.graph->add_output("out" + std::to_string(v.id().index), v.id());
    const std::string text = print_graph(*sample.graph);
    auto read = parse_graph(text, "sample.gir");
    ASSERT_TRUE(read.ok()) << read.message() << "\n" << text;
    EXPECT_EQ(print_graph(**read), text);
  });
}

// ---- inference diagnoses whatever it is given ---------------------------------------------------

// Either types that are in range, or a message.
void expect_honest(Op op, std::span<const TensorType> operands, const AttrRef& attrs,
                   const Graph* body) {
  const Result<Types> result = infer_types(op, operands, attrs, body);
  if (!result.ok()) {
    EXPECT_FALSE(result.message().empty());
    return;
  }
  for (const TensorType& type : *result) {
    for (int64_t extent : type.shape)
      EXPECT_GE(extent, 1) << to_string(type);
  }
}

TEST(OpTable, InferenceSurvivesWrongOperands) {
  for_each_sample([&](const OpDef& op, const Sample& s, const std::string& name) {
    SCOPED_TRACE(name);
    const AttrRef attrs = test::sample_attrs(op, s);
    test::Draw draw(7);
    std::vector<TensorType> fewer = s.operands;
    if (!fewer.empty()) fewer.pop_back();
    expect_honest(op.op, fewer, attrs, s.body.get());
    std::vector<TensorType> more = s.operands;
    more.push_back(f32({2}));
    expect_honest(op.op, more, attrs, s.body.get());
    for (size_t k = 0; k < s.operands.size(); ++k) {
      for (int trial = 0; trial < 40; ++trial) {
        std::vector<TensorType> types = s.operands;
        if (draw.below(2) == 0) types[k].dtype = static_cast<DType>(draw.below(kNumDTypes));
        if (draw.below(2) == 0) {
          Shape shape;
          for (int64_t rank = draw.below(Shape::kMaxRank + 1); rank > 0; --rank)
            shape.push_back(draw.below(8) == 0 ? int64_t{1} << 20 : 1 + draw.below(6));
          types[k].shape = shape;
        }
        expect_honest(op.op, types, attrs, s.body.get());
      }
    }
  });
}

TEST(OpTable, InferenceSurvivesWrongAttributes) {
  const std::vector<int64_t> odd = {
      -1, 0, 1, 2, 9, 1000, int64_t{1} << 31, int64_t{1} << 62, INT64_MAX, INT64_MIN};
  for_each_sample([&](const OpDef& op, const Sample& s, const std::string& name) {
    SCOPED_TRACE(name);
    if (op.attrs == nullptr) return;
    const std::vector<NamedAttr> fields = test::sample_attrs(op, s).all_fields();
    for (size_t f = 0; f < fields.size(); ++f) {
      const auto with = [&](AttrValue value) {
        std::vector<NamedAttr> changed = fields;
        changed[f].second = std::move(value);
        auto attrs = op.attrs->from_fields(changed);
        if (attrs.ok())
          expect_honest(op.op, s.operands, AttrRef(attrs.take(), op.attrs), s.body.get());
      };
      const auto* ints = std::get_if<std::vector<int64_t>>(&fields[f].second);
      for (int64_t value : odd) {
        with(value);
        with(std::vector<int64_t>{value});
        with(std::vector<int64_t>(12, value));
        if (ints == nullptr || ints->empty()) continue;
        std::vector<int64_t> one = *ints;
        one.back() = value;
        with(one);
      }
      with(std::vector<int64_t>{});
      with(std::nan(""));
      with(DType::kBool);
      with(true);
    }
  });
}

}  // namespace
}  // namespace gradc
