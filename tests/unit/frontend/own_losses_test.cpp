// Losses of one's own: formulas against plain C++, what they name and need, functions in the IR's
// text form, and what is wrong with either, at its place in the text.
#include "frontend/own_losses.h"

#include "frontend/families.h"
#include "frontend/formula_functions.h"
#include "frontend/graph_builder.h"
#include "tests/unit/frontend/run_model.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>

namespace gradc {
namespace {

constexpr double kClose = 1e-9;

std::string formula(const std::string& value, const std::string& more = "") {
  return R"({"type": "formula", "value": ")" + value + "\"" + more + "}";
}

std::string one_output(const std::string& loss, const std::string& shape = "[3]",
                       const std::string& more = "") {
  return with_training(R"({"type": "activation", "name": "y", "activation": "linear"})",
                       R"({"optimizer": "sgd", "loss": )" + loss + more + "}", shape);
}

/// The loss of outputs and targets of two examples of three numbers.
double loss_of(const std::string& loss, const Named& more = {}, bool tail = false) {
  Named given = {{"input/x", {1, -2, 0.5, 3, 0.25, -1}}, {"target/y", {0, 1, 2, -1, 0.5, 4}}};
  given.insert(more.begin(), more.end());
  const RunResult result = run_model(one_output(loss), {EntryKind::kEvaluate, 2, tail}, given);
  EXPECT_FALSE(result.outputs.empty()) << loss << "\n" << problems_of(one_output(loss));
  return result.outputs.empty() ? std::nan("") : result.outputs.at("loss").front();
}

constexpr double kY[2][3] = {{1, -2, 0.5}, {3, 0.25, -1}};
constexpr double kT[2][3] = {{0, 1, 2}, {-1, 0.5, 4}};

/// The mean over all elements of f(output, target).
double mean_of(const std::function<double(double, double)>& f) {
  double sum = 0;
  for (int row = 0; row < 2; ++row)
    for (int i = 0; i < 3; ++i)
      sum += f(kY[row][i], kT[row][i]);
  return sum / 6;
}

TEST(Formula, IsWhatItsOperatorsSay) {
  const auto expect = [](const char* text, const std::function<double(double, double)>& f) {
    EXPECT_NEAR(loss_of(formula(text)), mean_of(f), kClose) << text;
  };
  expect("output - target", [](double y, double t) { return y - t; });
  expect("output - target - 1", [](double y, double t) { return y - t - 1; });
  expect("output / 2 / 4 * 3", [](double y, double) { return y / 2 / 4 * 3; });
  expect("1 + 2 * output", [](double y, double) { return 1 + 2 * y; });
  expect("-output^2", [](double y, double) { return -(y * y); });
  expect("(-output)^3", [](double y, double) { return -(y * y * y); });
  expect("abs(target)^0.5", [](double, double t) { return std::sqrt(std::abs(t)); });
  expect("2^-output", [](double y, double) { return std::pow(2, -y); });
  expect("2^1^3 * output", [](double y, double) { return 2 * y; });
  expect("exp(output) + log1p(target^2)",
         [](double y, double t) { return std::exp(y) + std::log1p(t * t); });
  expect("where(output < target, target, 2 * output)",
         [](double y, double t) { return y < t ? t : 2 * y; });
  expect("where(and(output >= 0, not(target == 0.5)), 1, output)",
         [](double y, double t) { return y >= 0 && t != 0.5 ? 1 : y; });
  expect("(output > 0) * target", [](double y, double t) { return y > 0 ? t : 0; });
  expect("max(output, target, 0.75)", [](double y, double t) { return std::max({y, t, 0.75}); });
  expect("square(output - target)", [](double y, double t) { return (y - t) * (y - t); });
  expect("softplus(output) + relu(target)",
         [](double y, double t) { return std::log1p(std::exp(y)) + std::max(t, 0.0); });
  expect(" 1e-1*output+.5 ", [](double y, double) { return 0.1 * y + 0.5; });
}

TEST(Formula, AnExampleIsReducedForItself) {
  EXPECT_NEAR(loss_of(formula("mean(output)^2")),
              (std::pow(-0.5 / 3, 2) + std::pow(2.25 / 3, 2)) / 2, kClose);
  EXPECT_NEAR(loss_of(formula("sum(output * target)")), (-1 + (-3 + 0.125 - 4)) / 2, kClose);
  EXPECT_NEAR(loss_of(formula("max(target, axis=-1) - min(target)")), (2 + 5) / 2.0, kClose);
  EXPECT_NEAR(loss_of(formula("output - mean(output)")), 0, kClose);
  EXPECT_NEAR(loss_of(formula("sum(output[1:] - output[:-1])")), (-0.5 + -4) / 2, kClose);
  EXPECT_NEAR(loss_of(formula("output[-1] * target[0] + output[1:2]")), ((0 - 2) + (1 + 0.25)) / 2,
              kClose);
  EXPECT_NEAR(loss_of(formula("output", R"(, "reduction": "sum")")), (-0.5 + 2.25) / 3, kClose);
  EXPECT_NEAR(loss_of(formula("sum(output)", R"(, "reduction": "sum")")), -0.5 + 2.25, kClose);
}

// Every loss with a value for each position is the loss of its name.
TEST(Formula, LossesAreThoseOfTheTable) {
  int count = 0;
  for (const ComponentDef* def : family_members(Family::kLoss)) {
    const std::string name(def->type);
    if (find_function(name, 1).group != FormulaFunction::Group::kLoss) continue;
    ++count;
    const bool classes = name.starts_with("sparse_");
    const std::vector<double> targets =
        classes ? std::vector<double>{2, 0} : std::vector<double>{0, 1, 0, 1, 0, 0};
    const Named given = {{"input/x", {0.2, 0.7, 0.1, 0.5, 0.25, 0.25}}, {"target/y", targets}};
    const auto value = [&](const std::string& loss) {
      const RunResult result = run_model(one_output(loss), {EntryKind::kEvaluate, 2, false}, given);
      EXPECT_FALSE(result.outputs.empty()) << problems_of(one_output(loss));
      return result.outputs.empty() ? std::nan("") : result.outputs.at("loss").front();
    };
    const std::string target = classes ? R"(, "target": "class")" : "";
    const double plain = value("\"" + name + "\"");
    EXPECT_NEAR(value(formula(name + "(output)", target)), plain, kClose) << name;
    EXPECT_NEAR(value(formula(name + "(output, target)", target)), plain, kClose) << name;
  }
  EXPECT_GT(count, 15);
  EXPECT_NEAR(loss_of(formula("huber(output, target, delta=0.5)")),
              loss_of(R"({"type": "huber", "delta": 0.5})"), kClose);
  EXPECT_NEAR(loss_of(formula("huber(output, 0.5)")), mean_of([](double y, double) {
                const double e = std::abs(y - 0.5);
                return e <= 1 ? 0.5 * e * e : e - 0.5;
              }),
              kClose);
}

TEST(Formula, ExamplesWeighAndFillUpAsInOtherLosses) {
  const std::string text = "square(output - target)";
  const auto both = [&](const std::string& more, const Named& given, bool tail) {
    const auto value = [&](const std::string& loss) {
      Named all = {{"input/x", {1, -2, 0.5, 3, 0.25, -1}}, {"target/y", {0, 1, 2, -1, 0.5, 4}}};
      all.insert(given.begin(), given.end());
      return run_model(one_output(loss, "[3]", more), {EntryKind::kTrain, 2, tail}, all)
          .outputs.at("loss")
          .front();
    };
    EXPECT_NEAR(value(formula(text)), value("\"mse\""), kClose) << more;
    return value(formula(text));
  };
  const double weighted =
      both(R"(, "sample_weight": true)", {{"target/sample_weight", {0.5, 3}}}, false);
  EXPECT_NE(weighted, both("", {}, false));
  EXPECT_NEAR(both("", {{"tail/weight", {1, 0}}}, true), (1 + 9 + 2.25) / 3, kClose);
}

TEST(Formula, ClassesWeighWhereItHasTheirPositions) {
  const std::string weights = R"(, "class_weight": {"0": 2, "2": 0.25})";
  const std::string classes = R"(, "target": "class")";
  const auto value = [&](const std::string& loss) {
    return run_model(one_output(loss, "[3]", weights), {EntryKind::kTrain, 2, false},
                     {{"input/x", {1, -2, 0.5, 3, 0.25, -1}}, {"target/y", {2, 0}}})
        .outputs.at("loss")
        .front();
  };
  EXPECT_NEAR(value(formula("scce(output, from_logits=true)", classes)),
              value(R"({"type": "scce", "from_logits": true})"), kClose);
  const std::string without = one_output(formula("mse(output, target)"), "[3]", weights);
  EXPECT_NE(problems_of(without).find("has no class for each position"), std::string::npos);
}

std::string two_outputs(const std::string& training) {
  return R"({"inputs": [{"name": "x", "shape": [2]}], "outputs": ["a", "b-1"], "layers": [
    {"type": "rescaling", "scale": 2, "name": "a", "inputs": "x"},
    {"type": "rescaling", "scale": -1, "name": "b-1", "inputs": "x"}],
    "training": {"optimizer": "sgd", )" +
         training + "}}";
}

TEST(Formula, NamesOutputsAndTheirTargets) {
  const auto model = [](const std::string& training) {
    const std::string text = two_outputs(training);
    Result<Model> parsed = parse_model(text);
    EXPECT_TRUE(parsed.ok()) << problems_of(text);
    return parsed.take();
  };
  const auto value = [&](const std::string& training, const Named& targets) {
    Named given = {{"input/x", {1, -2, 3, 0.5}}};
    given.insert(targets.begin(), targets.end());
    return run_model(two_outputs(training), {EntryKind::kEvaluate, 2, false}, given)
        .outputs.at("loss")
        .front();
  };
  // Of all outputs: 2x and -x.
  EXPECT_NEAR(value(R"("loss": )" + formula("sum((a - 'b-1')^2)"), {}), 9 * (1 + 4 + 9 + 0.25) / 2,
              kClose);
  const Model none = model(R"("loss": )" + formula("sum((a - 'b-1')^2)"));
  ASSERT_EQ(none.training->losses.size(), 1U);
  EXPECT_FALSE(none.training->losses[0].has_target);
  const std::string weighed = R"("loss": )" + formula("2 * huber(a) + 0.5 * mse('b-1')");
  const Named targets = {{"target/a", {0, 1, 2, 3}}, {"target/b-1", {1, 1, 0, -1}}};
  EXPECT_NEAR(
      value(weighed, targets),
      value(R"("losses": {"a": "huber", "b-1": "mse"}, "loss_weights": {"a": 2, "b-1": 0.5})",
            targets),
      1e-6);
  EXPECT_EQ(num_losses(*model(weighed).training), 1);
  // What stands for one output may name others, and the target of one that has no loss.
  const std::string crossed =
      R"("losses": {"a": )" + formula("mse(output) + mean(abs(target('b-1') - a))") + "}";
  const double distance = (1 + 5 + 6 + 2) / 4.0, squares = (4 + 25 + 16 + 4) / 4.0;
  EXPECT_NEAR(value(crossed, targets), squares + distance, 1e-6);
  const std::string measured = crossed + R"(, "metrics": {"b-1": ["mae"]})";
  EXPECT_EQ(model(measured).training->metrics.size(), 1U);
}

TEST(Formula, StepsThatDoNotCountAreLeftOut) {
  const auto text = [](const std::string& loss) {
    return with_training(
        R"({"type": "masking", "name": "m"}, {"type": "dense", "units": 2, "name": "y"})",
        R"({"optimizer": "sgd", "loss": )" + loss + "}", "[3, 2]");
  };
  const auto value = [&](const std::string& loss) {
    return run_model(text(loss), {EntryKind::kEvaluate, 1, false},
                     {{"input/x", {1, 2, 0, 0, 3, -1}},
                      {"y/kernel", {1, 0, 0, 1}},
                      {"y/bias", {0, 0}},
                      {"target/y", {0, 0, 50, 50, 1, 1}}})
        .outputs.at("loss")
        .front();
  };
  EXPECT_NEAR(value(formula("abs(output - target)")), value("\"mae\""), kClose);
  EXPECT_NEAR(value(formula("sum(abs(output - target), axis=-1)")), 2 * value("\"mae\""), kClose);
  for (const char* bad : {"mean(output - target)", "output[1:]", "sum(output, axis=0) + output",
                          "softmax(output[:, 0]) * target[:, 0]"}) {
    const std::string problems = problems_of(text(formula(bad)));
    EXPECT_NE(problems.find("some steps of output \"y\" do not count"), std::string::npos)
        << bad << "\n"
        << problems;
  }
}

// What is wrong is shown under the very part of the string, escapes or not.
TEST(Formula, ProblemsAreShownAtTheirPlace) {
  struct Case {
    const char* text;
    const char* marked;  ///< what stands above the caret
    const char* message;
  };
  const Case cases[] = {
      {"outptu - target", "outptu", "no output is named \"outptu\""},
      {"exq(output)", "exq", "unknown function \"exq\""},
      {"output +", "\"", "the formula ends where a number, a name or \"(\" should stand"},
      {"(output - target", "\"", "the formula ends where \")\" should stand"},
      {"output $ 2", "$", "\"$\" stands where an operator should be"},
      {"output ** 2", "**", "\"**\" is no operator of formulas"},
      {"output[3]", "3", "the subscript takes nothing, or what is not there, of axis 0 of [3]"},
      {"sum(output, axis=1)", "axis=1", "1 is none of the 1 axes of an example of shape [3]"},
      {"huber(output, delta=-1)", "delta=-1", "\"delta\" is -1.0, but must be above 0"},
      {"huber(output, dleta=1)", "dleta=1", "huber has no option \"dleta\" in a formula"},
      {"exp(output, 2)", "exp", "exp takes 1 value, got 2"},
      {"output[:2] - target", "-", "\"-\" joins [2] and [3], which do not fit"},
      {"where(output, 1, 2)", "output", "\"where\" decides by a comparison"},
      {"1 + 2", "1 + 2", "the formula names no output"},
      {"output < 0", "output < 0", "the formula is true or false"},
      {"scce(output, target)", "scce", "takes class numbers []"},
      {"1e400 * output", "1e400", "is no number that can be computed with"},
      {"dice(output, target)", "dice", "unknown function \"dice\""},
      {"log", "log", "no output is named \"log\""},
      {"\\u0065xq(output)", "\\u0065xq", "unknown function \"exq\""},
  };
  for (const Case& c : cases) {
    const std::string problems = problems_of(one_output(formula(c.text)));
    ASSERT_NE(problems.find(c.message), std::string::npos) << c.text << "\n" << problems;
    const size_t caret = problems.find('^'), line_end = problems.rfind('\n', caret);
    const size_t line = problems.rfind('\n', line_end - 1) + 1;
    const std::string above =
        problems.substr(line + (caret - line_end - 1), std::string(c.marked).size());
    EXPECT_EQ(above, c.marked) << problems;
    const size_t width = problems.find('\n', caret) - caret;
    EXPECT_EQ(width, std::string(c.marked).size()) << problems;
  }
  EXPECT_NE(problems_of(one_output(formula("outptu"))).find("did you mean \"output\"?"),
            std::string::npos);
  EXPECT_NE(problems_of(one_output(formula("hubre(output)"))).find("did you mean \"huber\"?"),
            std::string::npos);
  const std::string deep(100, '('), wide(10001, '1');
  EXPECT_NE(problems_of(one_output(formula(deep))).find("more than 64 levels"), std::string::npos);
  EXPECT_NE(problems_of(one_output(formula(wide))).find("at most 10000"), std::string::npos);
  std::string sum = "output", parts = "output";
  for (int i = 0; i < 1000; ++i) {
    sum += "+output";
    parts += "[0:]";
  }
  for (const std::string& many : {sum, parts})
    EXPECT_NE(problems_of(one_output(formula(many))).find("more than 1000 names and numbers"),
              std::string::npos);
  const std::string unclear = problems_of(two_outputs(R"("loss": )" + formula("mse(output)")));
  EXPECT_NE(unclear.find("so \"output\" is not clear"), std::string::npos) << unclear;
}

TEST(Losses, AreNotNeededWhereALayerAddsOne) {
  const auto text = [](const std::string& training) {
    return with_training(R"({"type": "add_loss", "weight": 0.5, "name": "y"})",
                         R"({"optimizer": "sgd")" + training + "}", "[2]");
  };
  EXPECT_EQ(problems_of(text("")), "");
  EXPECT_NEAR(run_model(text(""), {EntryKind::kEvaluate, 2, false}, {{"input/x", {1, 2, 3, 5}}})
                  .outputs.at("loss")
                  .front(),
              0.5 * 11 / 2, kClose);
  EXPECT_NE(problems_of(text(R"(, "sample_weight": true)")).find("no loss that examples weigh in"),
            std::string::npos);
  EXPECT_NE(problems_of(text(R"(, "class_weight": "balanced")")).find("no loss that classes"),
            std::string::npos);
  EXPECT_NE(problems_of(text(R"(, "metrics": ["mae"])")).find("has a metric but no loss"),
            std::string::npos);
  const std::string no_target = one_output(formula("output^2"), "[3]", R"(, "metrics": ["mae"])");
  EXPECT_NE(problems_of(no_target).find("has a metric but no target"), std::string::npos);
}

/// A loss whose function is this text, in a file that lasts as long as the test.
class FunctionLoss : public ::testing::Test {
 protected:
  FunctionLoss() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradc-loss-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~FunctionLoss() override { std::filesystem::remove_all(folder_); }
  std::string loss(const std::string& function, const std::string& more = "") const {
    std::ofstream(folder_ + "/f.gir") << function;
    return R"({"type": "gir", "file": ")" + folder_ + "/f.gir\"" + more + "}";
  }
  std::string problems(const std::string& function, const std::string& more = "") const {
    return problems_of(one_output(loss(function, more)));
  }
  std::string folder_;
};

constexpr const char* kSquares = R"(graph @squares {
  input %target     : f32[BxN]
  input %prediction : f32[BxN]
forward:
  %error = sub %prediction, %target
  %value = mul %error, %error
  return %value
})";

constexpr const char* kOfBatch = R"(graph @whole {
  input %y : f32[BxN]
  input %t : f32[BxN]
  input %c : f32[B]
forward:
  %all   = broadcast %c {dims=[0]} : f32[BxN]
  %kept  = mul %y, %all
  %sum   = reduce_sum %kept {axes=[0, 1]}
  %other = mul %t, %all
  %more  = reduce_sum %other {axes=[0, 1]}
  %value = mul %sum, %more
  return %value
})";

TEST_F(FunctionLoss, IsByNameOrByPosition) {
  EXPECT_NEAR(loss_of(loss(kSquares)), loss_of("\"mse\""), kClose);
  std::string by_position = kSquares;
  for (const auto& [name, other] : {std::pair{"%target", "%a"}, {"%prediction", "%b"}}) {
    for (size_t at = 0; (at = by_position.find(name)) != std::string::npos;)
      by_position.replace(at, std::string(name).size(), other);
  }
  by_position.replace(by_position.find("mul %error, %error"), 18, "exp %error");
  EXPECT_NEAR(loss_of(loss(by_position)),
              mean_of([](double y, double t) { return std::exp(t - y); }), kClose);
  EXPECT_NEAR(loss_of(loss(kSquares), {{"tail/weight", {1, 0}}}, true), (1 + 9 + 2.25) / 3, kClose);
}

TEST_F(FunctionLoss, OfABatchSeesWhatCounts) {
  EXPECT_NEAR(loss_of(loss(kOfBatch)), 1.75 * 6.5, kClose);
  EXPECT_NEAR(loss_of(loss(kOfBatch), {{"tail/weight", {1, 0}}}, true), -0.5 * 3, kClose);
  EXPECT_NE(problems_of(one_output(loss(kOfBatch), "[3]", R"(, "sample_weight": true)"))
                .find("is one number for a batch"),
            std::string::npos);
}

TEST_F(FunctionLoss, MayDoWithoutTarget) {
  const std::string text = one_output(loss(R"(graph @small {
  input %output : f32[BxN]
forward:
  %value = abs %output
  return %value
})"));
  const Result<Model> model = parse_model(text);
  ASSERT_TRUE(model.ok()) << problems_of(text);
  EXPECT_FALSE(model->training->losses[0].has_target);
  EXPECT_NEAR(
      run_model(text, {EntryKind::kEvaluate, 2, false}, {{"input/x", {1, -2, 0.5, 3, 0.25, -1}}})
          .outputs.at("loss")
          .front(),
      7.75 / 6, kClose);
}

TEST_F(FunctionLoss, ProblemsAreShownInTheText) {
  const auto changed = [](std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  };
  const auto expect = [](const std::string& problems, const char* message) {
    EXPECT_NE(problems.find(message), std::string::npos) << message << "\n" << problems;
  };
  expect(problems(changed(kSquares, "mul %error", "mull %error")), "f.gir:6:12: error: unknown op");
  expect(problems(changed(kSquares, "mul %error, %error", "softmax %error {axis=0}")),
         "a row sees other rows of the batch");
  expect(problems(changed(kOfBatch, "input %c : f32[B]\n", "param %c : f32[N] {init=zeros}\n")),
         "error: ");
  expect(problems(changed(kOfBatch, "  return %value", "  return %kept")),
         "so it is of a batch and returns one number");
  expect(problems(R"(graph @one {
  input %output : f32[BxN]
  input %target : f32[BxN]
forward:
  %value = reduce_sum %output {axes=[0, 1]}
  return %value
})"),
         "so it must take %counts");
  expect(problems(R"(graph @other {
  input %output : f32[BxN]
  input %target : i32[B]
forward:
  %value = abs %output
  return %value
})"),
         "is given f32[4x3] for %target : i32[4]");
  expect(problems(kSquares, R"(, "sizes": {"M": 3})"), "has no extent \"M\"");
  expect(problems("graph @none {\nforward:\n  %v = constant {value=1.0} : f32[]\n  return %v\n}"),
         "takes inputs that are not those of a loss");
  expect(problems(changed(
             changed(kSquares, "forward:", "  state %s : f32[N] {init=zeros}\nforward:"), "", "")),
         "a parameter or state %s");
}

}  // namespace
}  // namespace gradc
