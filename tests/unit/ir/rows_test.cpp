// What each op says of its axes (OpDef::axes) and what follows for the rows of a batch (ir/rows.h):
// held against what changes when one index of an axis, or one row, gets other numbers.
#include "ir/rows.h"

#include "ir/interpreter.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "tests/support/op_samples.h"
#include "tests/support/random_graph.h"

#include <gtest/gtest.h>

#include <set>

namespace gradc {
namespace {

int64_t step_of(const Shape& shape, int axis) {
  int64_t step = 1;
  for (int i = axis + 1; i < shape.rank(); ++i)
    step *= shape[i];
  return step;
}

/// Elements of one index of an axis get the numbers of others.
void change(Tensor& tensor, const Tensor& others, int64_t inner, int64_t extent, int64_t index) {
  for (int64_t e = 0; e < tensor.size(); ++e) {
    if (e / inner % extent == index) tensor[e] = others[e];
  }
}

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

/// Elements that differ are of this index.
void expect_apart(const Tensor& a, const Tensor& b, int64_t inner, int64_t extent, int64_t index) {
  for (int64_t e = 0; e < a.size(); ++e)
    ASSERT_TRUE(same(a[e], b[e]) || e / inner % extent == index) << "element " << e;
}

std::vector<Tensor> results_of(const OpDef& op, const Sample& s, std::span<const Tensor> operands) {
  test::SampleGraph sample(s);
  for (const Val& v : sample.builder.add_multi(op.op, sample.operands, test::sample_attrs(op, s),
                                               "", test::sample_body(s)))
    sample.graph->add_output("out" + std::to_string(v.id().index), v.id());
  auto ran = interpret(*sample.graph, operands);
  EXPECT_TRUE(ran.ok()) << ran.message();
  return ran.ok() ? ran.take().outputs : std::vector<Tensor>();
}

TEST(Rows, AxesAreWhatEntriesSay) {
  int axes = 0;
  for (const OpDef* op : all_ops()) {
    if (op->op == Op::kUpdate) continue;
    const std::vector<Sample> samples = op->samples();
    for (size_t k = 0; k < samples.size(); ++k) {
      const Sample& s = samples[k];
      SCOPED_TRACE(test::sample_name(*op, k));
      const OperandAxes map = axes_of(op->op, s.operands, test::sample_attrs(*op, s));
      ASSERT_EQ(map.size(), s.operands.size());
      const std::vector<Tensor> before = test::draw_operands(s, 1),
                                drawn = test::draw_operands(s, 2);
      const std::vector<Tensor> first = results_of(*op, s, before);
      for (size_t i = 0; i < map.size(); ++i) {
        const Shape& shape = s.operands[i].shape;
        ASSERT_EQ(static_cast<int>(map[i].size()), shape.rank());
        for (int axis = 0; axis < shape.rank(); ++axis) {
          const auto to = static_cast<int>(map[i][static_cast<size_t>(axis)]);
          if (to < 0) continue;
          ++axes;
          std::vector<Tensor> after = before;
          const int64_t index = shape[axis] / 2;
          change(after[i], drawn[i], step_of(shape, axis), shape[axis], index);
          const std::vector<Tensor> second = results_of(*op, s, after);
          for (size_t r = 0; r < first.size(); ++r) {
            const Shape& result = first[r].type.shape;
            const bool has = to < result.rank() && result[to] == shape[axis];
            if (has || shape[axis] == 1)
              expect_apart(first[r], second[r], has ? step_of(result, to) : 1, has ? result[to] : 1,
                           has ? index : 0);
            else
              expect_apart(first[r], second[r], 1, 1, 1);
          }
        }
      }
    }
  }
  EXPECT_GT(axes, 400);
}

/// All float and integer values of a graph for one row after another with other numbers.
struct Counts {
  int apart = 0, mixed = 0, in_loops = 0;
};

std::shared_ptr<Graph> with_all_values(const Graph& graph) {
  auto all = graph.clone();
  std::set<uint32_t> given;
  for (const GraphOutput& output : all->outputs())
    given.insert(output.value.index);
  for (const NodeId id : all->nodes()) {
    for (const ValueId value : all->node(id).results) {
      if (given.insert(value.index).second)
        all->add_output("v" + std::to_string(value.index), value);
    }
  }
  return all;
}

void check_input(const Graph& graph, size_t input, uint64_t seed, Counts& counts) {
  const std::vector<Tensor> before = testing::random_inputs(graph, seed);
  const std::vector<Tensor> others = testing::random_inputs(graph, seed + 1);
  const Shape& shape = before[input].type.shape;
  const int64_t rows = shape[0];
  std::vector<RowPlace> places(graph.inputs().size());
  places[input] = leading_rows(shape);
  const std::vector<RowPlace> found = find_rows(graph, rows, places);
  const auto first = interpret(graph, before);
  ASSERT_TRUE(first.ok()) << first.message();
  for (const int64_t row : {int64_t{0}, rows - 1}) {
    std::vector<Tensor> after = before;
    change(after[input], others[input], places[input].inner, rows, row);
    const auto second = interpret(graph, after);
    ASSERT_TRUE(second.ok()) << second.message();
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      const ValueId value = graph.outputs()[i].value;
      const RowPlace& place = found[value.index];
      SCOPED_TRACE("%" + graph.value(value).name);
      if (place.mixed()) {
        ++counts.mixed;
        continue;
      }
      const bool of_rows = place.kind == RowPlace::Kind::kRows;
      if (of_rows && !graph.is_input(value)) ++counts.apart;
      if (of_rows && graph.def(value).valid() && graph.node(graph.def(value)).body != nullptr)
        ++counts.in_loops;
      expect_apart(first->outputs[i], second->outputs[i], of_rows ? place.inner : 1,
                   of_rows ? rows : 1, of_rows ? row : 1);
    }
  }
}

TEST(Rows, OfRandomGraphsAreMadeOfNoOthers) {
  Counts counts;
  for (uint64_t seed = 0; seed < 240; ++seed) {
    testing::RandomGraphOptions options;
    options.num_nodes = 8;
    options.parameters = false;
    options.loss = false;
    options.max_elements = 200;
    if (seed % 3 == 1) options.families |= testing::kRandomLoop;
    if (seed % 3 == 2) options.families |= testing::kRandomAttention;
    const auto graph = with_all_values(*testing::random_graph(seed, options));
    for (size_t input = 0; input < graph->inputs().size(); ++input) {
      const Shape& shape = graph->type(graph->inputs()[input].value).shape;
      if (shape.rank() == 0 || shape[0] < 2) continue;
      check_input(*graph, input, seed, counts);
      if (::testing::Test::HasFatalFailure()) {
        ADD_FAILURE() << "seed " << seed << " input " << input << "\n" << print_graph(*graph);
        return;
      }
    }
  }
  EXPECT_GT(counts.apart, 2000);
  EXPECT_GT(counts.mixed, 500);
  EXPECT_GT(counts.in_loops, 20);
}

// ---- a padded batch against an exact one --------------------------------------------------------

/// Calls that give f32[BxD] of %a and %b of that type; "$" stands for a number of their own. The
/// later half mixes rows, or depends on how many there are.
constexpr const char* kRowCalls[] = {
    "%y$ = add %a, %b\n",
    "%y$ = tanh %a\n",
    "%y$ = softmax %a {axis=1}\n",
    "%y$ = reverse %a {axes=[1]}\n",
    "%y$ = matmul %a, %w\n",
    "%s$ = reduce_max %a {axes=[1]}\n%y$ = broadcast %s$ {dims=[0]} : f32[BxD]\n",
    "%t$ = transpose %a {perm=[1, 0]}\n%s$ = softmax %t$ {axis=0}\n"
    "%y$ = transpose %s$ {perm=[1, 0]}\n",
    "%i$ = iota {axis=0} : f32[BxD]\n%y$ = add %a, %i$\n",
    "%i$ = argmax %a {axis=1}\n%y$ = gather %w, %i$\n",
    "%r$ = reshape %a : f32[Bx2x2]\n%m$ = reduce_sum %r$ {axes=[2]}\n"
    "%c$ = concat %m$, %m$ {axis=1}\n%y$ = mul %c$, %b\n",
    "%l$ = slice %a {start=[0, 1], limit=[B, 4]}\n"
    "%y$ = pad %l$ {low=[0, 1], high=[0, 0], value=0.5}\n",
    "%y$ = softmax %a {axis=0}\n",
    "%y$ = reverse %a {axes=[0]}\n",
    "%s$ = reduce_sum %a {axes=[0]}\n%y$ = broadcast %s$ {dims=[1]} : f32[BxD]\n",
    "%t$ = transpose %a {perm=[1, 0]}\n%s$ = softmax %t$ {axis=1}\n"
    "%y$ = transpose %s$ {perm=[1, 0]}\n",
    "%t$ = transpose %a {perm=[1, 0]}\n%g$ = matmul %t$, %b\n%y$ = matmul %a, %g$\n",
    "%r$ = reshape %a : f32[2xBx2]\n%m$ = softmax %r$ {axis=0}\n%y$ = reshape %m$ : f32[BxD]\n",
    "%l$ = slice %a {start=[1, 0], limit=[B, D]}\n"
    "%y$ = pad %l$ {low=[0, 0], high=[1, 0], value=0.5}\n",
    "%n$ = constant {value=B} : f32[BxD]\n%y$ = add %a, %n$\n",
    "%o$ = constant {value=1.0} : f32[BxD]\n%s$ = reduce_sum %o$ {axes=[0]}\n"
    "%k$ = broadcast %s$ {dims=[1]} : f32[BxD]\n%y$ = mul %a, %k$\n",
};
constexpr size_t kApartCalls = 11;

struct RandomText {
  std::string text;
  bool only_apart = true;
};

RandomText random_text(test::Draw& draw) {
  RandomText made{
      "graph @f {\n  input %x : f32[BxD]\n  param %w : f32[DxD] {init=zeros}\nforward:\n"};
  std::vector<std::string> values = {"%x"};
  for (int k = 0; k < 4; ++k) {
    const auto call = static_cast<size_t>(draw.below(std::size(kRowCalls)));
    const auto kept = draw.below(3) == 0 ? call : call % kApartCalls;
    made.only_apart = made.only_apart && kept < kApartCalls;
    const auto value = [&] {
      return k == 0 ? values.back()
                    : values[static_cast<size_t>(draw.below(2)) == 0
                                 ? values.size() - 1
                                 : static_cast<size_t>(
                                       draw.below(static_cast<int64_t>(values.size())))];
    };
    const std::string a = values.back(), b = value();
    std::string call_text = kRowCalls[kept];
    for (const auto& [from, to] :
         {std::pair<std::string, std::string>{"%a", a}, {"%b", b}, {"$", std::to_string(k)}}) {
      for (size_t at = 0; (at = call_text.find(from, at)) != std::string::npos; at += to.size())
        call_text.replace(at, from.size(), to);
    }
    made.text += call_text;
    values.push_back("%y" + std::to_string(k));
  }
  made.text += "  return " + values.back() + "\n}\n";
  return made;
}

std::shared_ptr<Graph> for_batch(const std::string& text, int64_t batch) {
  ExtentNames names{{}, {{DType::kF32, Shape{batch, 4}}}};
  auto graph = parse_graph(text, "f.gir", names);
  EXPECT_TRUE(graph.ok()) << graph.message() << "\n" << text;
  return graph.ok() ? graph.take() : nullptr;
}

TEST(Rows, OfAPaddedBatchAreThoseOfAnExactOne) {
  int apart = 0, refused = 0;
  test::Draw draw(7);
  for (int round = 0; round < 600; ++round) {
    const RandomText made = random_text(draw);
    constexpr int64_t kValid = 4, kBatch = 6;
    const auto exact = for_batch(made.text, kValid), padded = for_batch(made.text, kBatch);
    ASSERT_TRUE(exact != nullptr && padded != nullptr);
    const std::vector<RowPlace> inputs = {leading_rows(Shape{kBatch, 4}), RowPlace()};
    const RowPlace place =
        find_rows(*padded, kBatch, inputs, exact.get())[padded->outputs()[0].value.index];
    if (place.mixed()) {
      ++refused;
      EXPECT_FALSE(made.only_apart) << made.text;
      continue;
    }
    ++apart;
    ASSERT_EQ(place, leading_rows(Shape{kBatch, 4})) << made.text;
    Tensor x({DType::kF32, Shape{kBatch, 4}}), w({DType::kF32, Shape{4, 4}});
    for (Tensor* tensor : {&x, &w}) {
      for (double& value : tensor->data)
        value = draw.uniform(-1.0, 1.0);
    }
    Tensor first({DType::kF32, Shape{kValid, 4}});
    std::copy_n(x.data.begin(), first.data.size(), first.data.begin());
    const auto wanted = interpret(*exact, std::vector<Tensor>{first, w});
    const auto got = interpret(*padded, std::vector<Tensor>{x, w});
    ASSERT_TRUE(wanted.ok() && got.ok());
    for (int64_t i = 0; i < first.size(); ++i)
      ASSERT_EQ(wanted->outputs[0][i], got->outputs[0][i]) << made.text;
  }
  EXPECT_GT(apart, 200);
  EXPECT_GT(refused, 100);
}

TEST(Rows, ANanIsTheSameConstantForEveryBatch) {
  constexpr const char* kText =
      "graph @f {\n  input %x : f32[BxD]\nforward:\n%n = constant {value=nan} : f32[BxD]\n"
      "%y = max %x, %n\n  return %y\n}\n";
  const auto four = for_batch(kText, 4), six = for_batch(kText, 6);
  ASSERT_TRUE(four != nullptr && six != nullptr);
  const std::vector<RowPlace> inputs = {leading_rows(Shape{6, 4})};
  EXPECT_EQ(find_rows(*six, 6, inputs, four.get())[six->outputs()[0].value.index],
            leading_rows(Shape{6, 4}));
}

}  // namespace
}  // namespace gradc
