// "gir": functions in the IR's text form as layers (tests/functions/).
#include "tests/unit/frontend/run_model.h"

#include <cmath>
#include <sys/stat.h>
#include <unistd.h>

namespace gradc {
namespace {

std::string layer_of(const std::string& file, const std::string& options = "") {
  return R"({"type": "gir", "name": "f", "file": ")" + std::string(GRADC_SOURCE_DIR) +
         "/tests/functions/" + file + "\"" + options + "}";
}

std::vector<double> waves(size_t count, double shift) {
  std::vector<double> numbers(count);
  for (size_t i = 0; i < count; ++i)
    numbers[i] = std::sin(static_cast<double>(i) * 1.3 + shift);
  return numbers;
}

TEST(Function, IsWhatItsTextSays) {
  const std::string text = with_layers(layer_of("swiglu.gir", R"(, "sizes": {"WIDTH": 3})"), "[2]");
  const Result<Model> model = parse_model(text);
  ASSERT_TRUE(model.ok()) << problems_of(text);
  EXPECT_EQ(model->num_trainable(), 2 * 3 + 2 * 3 + 3 * 2);
  EXPECT_EQ(model->calls[0].output().shape, (Ints{2}));
  const std::vector<double> x = waves(10, 0), v = waves(6, 1), w = waves(6, 2), out = waves(6, 3);
  for (const int64_t batch : {int64_t{1}, int64_t{5}}) {
    const std::vector<double> rows(x.begin(), x.begin() + batch * 2);
    const RunResult result = run_model(text, {.batch_size = batch},
                                       {{"input/x", rows}, {"f/v", v}, {"f/w", w}, {"f/out", out}});
    std::vector<double> wanted;
    for (int64_t row = 0; row < batch; ++row) {
      const double a = rows[static_cast<size_t>(2 * row)],
                   b = rows[static_cast<size_t>(2 * row + 1)];
      double y[2] = {0, 0};
      for (size_t h = 0; h < 3; ++h) {
        const double gate = a * v[h] + b * v[3 + h];
        const double hidden = gate / (1 + std::exp(-gate)) * (a * w[h] + b * w[3 + h]);
        y[0] += hidden * out[2 * h];
        y[1] += hidden * out[2 * h + 1];
      }
      wanted.insert(wanted.end(), {y[0], y[1]});
    }
    expect_near(result.outputs.at("output/f"), wanted, 1e-12);
  }
}

TEST(Function, HasStatesAndFurtherResults) {
  const std::string text =
      R"({"inputs": [{"name": "x", "shape": [2]}], "outputs": ["f", "f.apart"], "layers": [)" +
      layer_of("running_mean.gir") +
      R"(], "training": {"losses": {"f.apart": "mean_squared_error"}, "optimizer": "sgd"}})";
  const Named given = {{"input/x", {1, 2, 3, 6}}, {"f/mean", {1, 1}}};
  const RunResult predicted = run_model(text, {.batch_size = 2}, given);
  expect_near(predicted.outputs.at("output/f"), {1, 2, 3, 6}, 0.0);
  expect_near(predicted.outputs.at("output/f.apart"), {0, 1, 2, 5}, 0.0);
  EXPECT_TRUE(predicted.updates.empty());
  const RunResult trained = run_model(text, {.kind = EntryKind::kTrain, .batch_size = 2}, given);
  expect_near(trained.updates.at("f/mean"), {1.5, 2.5}, 1e-12);
}

void expect_problem(const std::string& layer, std::initializer_list<const char*> parts,
                    const std::string& shape = "[4]") {
  const std::string problems = problems_of(with_layers(layer, shape));
  for (const char* part : parts)
    EXPECT_NE(problems.find(part), std::string::npos) << part << "\n" << problems;
}

TEST(Function, ProblemsAreShownInBothFiles) {
  expect_problem(layer_of("wrong.gir"),
                 {"functions/wrong.gir:4:13: error: %y is not defined", "  %0 = relu %y",
                  "functions/wrong.gir:5:", "gir layer \"f\" is here", "/layers/0"});
  expect_problem(layer_of("fixed.gir"), {"is given f32[32x4] for %x : f32[2x4]", "@fixed"});
  expect_problem(layer_of("unnamed.gir"),
                 {"functions/unnamed.gir:3:", "no input says what the extent E is", "\"sizes\""});
  expect_problem(layer_of("unnamed.gir", R"(, "sizes": {"E": 0})"), {"sizes"});
  expect_problem(layer_of("odd.gir"),
                 {"%w : f32[32x4], whose shape follows the batch", "%u : f32[4] without a usable",
                  "takes 2 inputs, got 1", "random_uniform", "first axis, and no other"});
  expect_problem(layer_of("nothing.gir"), {"no such file", "/layers/0/file"});
  expect_problem(layer_of("arg.gir"), {"has the arg %a : f32[4]"});
}

TEST(Function, RowsOfResultsSeeNoOthers) {
  expect_problem(layer_of("sum_of_rows.gir"), {"%y : f32[32x4], of which a row sees other rows"});
  expect_problem(layer_of("softmax_of_rows.gir"), {"%y : f32[32x4], of which a row sees other"});
  expect_problem(layer_of("first_rows.gir"), {"%y : f32[32x4], of which a row sees other"});
  expect_problem(layer_of("times_batch.gir"), {"%y : f32[32x4], of which a row sees other"});
}

TEST(Function, StatesOfSeveralRowsStayInATail) {
  const std::string text =
      R"({"inputs": [{"name": "x", "shape": [2]}], "outputs": ["f"], "layers": [)" +
      layer_of("running_mean.gir") +
      R"(], "training": {"losses": {"f": "mean_squared_error"}, "optimizer": "sgd"}})";
  const RunResult trained =
      run_model(text, {.kind = EntryKind::kTrain, .batch_size = 2, .tail = true},
                {{"input/x", {1, 2, 0, 0}}, {"f/mean", {1, 1}}});
  EXPECT_FALSE(trained.updates.contains("f/mean"));
}

TEST(Function, MustFitABatchOfOne) {
  expect_problem(layer_of("twelve.gir"), {"twelve.gir:4:", "does not fit one of 1"});
}

TEST(Function, IsCheckedForEveryBatchThatIsAsked) {
  const Result<Model> model = parse_model(with_layers(layer_of("forty.gir"), "[4]"));
  ASSERT_TRUE(model.ok());
  EXPECT_TRUE(build_entry_graph(*model, {.batch_size = 7}).ok());
  const Result<EntryGraph> entry = build_entry_graph(*model, {.batch_size = 64});
  ASSERT_FALSE(entry.ok());
  const Diagnostic& problem = entry.diagnostics().front();
  ASSERT_EQ(problem.notes.size(), 1U);
  EXPECT_EQ(problem.notes[0].message, "gir layer \"f\" is here");
  EXPECT_EQ(problem.notes[0].place.pointer, "/layers/0");
}

TEST(RawOp, RowsOfResultsSeeNoOthers) {
  const auto problems = [](const char* layer) {
    return problems_of(with_layers(std::string(R"({"type": "op.)") + layer + "}", "[4]"));
  };
  for (const char* mixes :
       {R"(softmax", "attributes": {"axis": 0})", R"(reverse", "attributes": {"axes": [0]})",
        R"(reverse", "attributes": {"axes": [0, 1]})"})
    EXPECT_NE(problems(mixes).find("of which a row sees other rows of the batch"),
              std::string::npos)
        << mixes << problems(mixes);
  for (const char* apart : {R"(softmax", "attributes": {"axis": 1})", R"(tanh")",
                            R"(reverse", "attributes": {"axes": [1]})"})
    EXPECT_EQ(problems(apart), "") << apart;
  // By its product with the transposed batch every row sees all.
  EXPECT_NE(problems_of(R"({"inputs": [{"name": "x", "shape": [4]}], "layers": [
              {"type": "op.matmul", "attributes": {"transpose_b": true}, "inputs": ["x", "x"]}]})")
                .find("of which a row sees other rows"),
            std::string::npos);
}

TEST(RawOp, IsCheckedForEveryBatchThatIsAsked) {
  const Result<Model> model = parse_model(
      with_layers(R"({"type": "op.reshape", "attributes": {"shape": [32, 2, 2]}})", "[4]"));
  ASSERT_TRUE(model.ok());
  EXPECT_TRUE(build_entry_graph(*model, {.batch_size = 32}).ok());
  const Result<EntryGraph> entry = build_entry_graph(*model, {.batch_size = 8});
  ASSERT_FALSE(entry.ok());
  EXPECT_EQ(entry.diagnostics().front().place.pointer, "/layers/0");
}

TEST(Function, NamesOfSizesAreExtents) {
  for (const char* name : {"width", "UNUSED"}) {
    const std::string sizes = R"(, "sizes": {"WIDTH": 3, ")" + std::string(name) + "\": 3}";
    expect_problem(layer_of("swiglu.gir", sizes), {"has a size of", name});
  }
  const std::string twice =
      problems_of(with_layers(layer_of("swiglu.gir", R"(, "sizes": {"WIDTH": 3, "B": 7})"), "[4]"));
  EXPECT_NE(twice.find("is given f32[32x4] for %x : f32[7x4]"), std::string::npos) << twice;
  EXPECT_EQ(twice.find("first axis"), std::string::npos) << twice;
}

TEST(Function, FilesAreRegularAndBelowTheModel) {
  expect_problem(R"({"type": "gir", "file": "a/../../f.gir"})",
                 {"must be in the model's folder or below it", "/layers/0/file"});
  const std::string pipe = testing::TempDir() + "gradc_function_pipe.gir";
  unlink(pipe.c_str());
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect_problem(R"({"type": "gir", "file": ")" + pipe + "\"}", {"is no regular file"});
  unlink(pipe.c_str());
}

}  // namespace
}  // namespace gradc
