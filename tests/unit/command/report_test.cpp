// The report of `gradc inspect --format html`: every kernel is there once, every link has its
// target, what is told adds up, and a deep network's page is no longer than a shallow one's.
#include "driver/compiled_model.h"
#include "driver/report/html_report.h"
#include "driver/report/layer_dot.h"
#include "frontend/call_locations.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace gradc::test {
namespace {

Model model_of(const std::string& path) {
  SourceSet sources;
  Result<Model> model = read_model_file(source(path), sources);
  EXPECT_TRUE(model.ok()) << path;
  return model.take();
}

Json report_of(const std::string& path, int64_t batch) {
  ReportOptions options;
  options.batch = batch;
  Result<Json> report = report_data(model_of(path), options);
  EXPECT_TRUE(report.ok()) << path;
  return report.ok() ? report.take() : Json();
}

/// Numbers in a list point into another one.
void expect_within(const Json& numbers, const Json& list, const std::string& what) {
  for (const Json& number : numbers)
    EXPECT_LT(number.get<size_t>(), list.size()) << what;
}

void expect_links_have_targets(const Json& report) {
  for (const Json& layer : report["layers"])
    expect_within(layer["inputs"], report["layers"], "a layer's inputs");
  for (const Json& step : report["steps"]) {
    EXPECT_FALSE(step["layers"].empty()) << step["label"];
    expect_within(step["layers"], report["layers"], "a step's layers");
    expect_within(step["reads"], report["buffers"], "buffers that a step reads");
    expect_within(step["writes"], report["buffers"], "buffers that a step writes");
    expect_within(Json::array({step["unit"]}), report["units"], "a step's unit");
  }
  for (const Json& unit : report["units"]) {
    for (const Json& call : unit["kernels"])
      expect_within(Json::array({call[0]}), report["kernels"], "a unit's kernels");
  }
  for (const Json& remark : report["remarks"])
    expect_within({remark["first"], remark["second"]}, report["steps"], "a remark's steps");
}

/// Each has code of its own and is called.
void expect_kernels_once(const Json& report) {
  std::set<std::string> names, codes;
  for (const Json& kernel : report["kernels"]) {
    EXPECT_TRUE(names.insert(kernel["name"]).second) << kernel["name"];
    const auto code = kernel["code"].get<std::string>();
    EXPECT_TRUE(codes.insert(code.substr(code.find('('))).second) << kernel["name"];
  }
  std::set<size_t> units, called;
  for (const Json& step : report["steps"])
    units.insert(step["unit"].get<size_t>());
  EXPECT_EQ(units.size(), report["units"].size());
  for (const Json& unit : report["units"]) {
    for (const Json& call : unit["kernels"])
      called.insert(call[0].get<size_t>());
  }
  EXPECT_EQ(called.size(), report["kernels"].size());
}

/// The most bytes of buffers that one step of the plan sees.
int64_t most_alive(const Json& buffers) {
  std::map<int64_t, int64_t> changes;
  for (const Json& buffer : buffers) {
    changes[buffer["first"].get<int64_t>()] += buffer["bytes"].get<int64_t>();
    changes[buffer["last"].get<int64_t>() + 1] -= buffer["bytes"].get<int64_t>();
  }
  int64_t alive = 0, most = 0;
  for (const auto& [at, change] : changes)
    most = std::max(most, alive += change);
  return most;
}

void expect_plan_holds_results(const Json& report) {
  EXPECT_EQ(most_alive(report["buffers"]), report["memory"]["lower_bound"]);
  for (const Json& step : report["steps"]) {
    for (const Json& result : step["results"]) {
      const auto place = result["place"].get<std::string>();
      if (!place.starts_with("arena+")) continue;
      const int64_t offset = std::stoll(place.substr(6));
      bool found = false;
      for (const Json& b : step["writes"])
        found = found || report["buffers"][b.get<size_t>()]["offset"] == offset;
      EXPECT_TRUE(found) << step["label"] << " " << result["name"] << " at " << place;
    }
  }
}

/// The work of the graph is about what the model's tables say; kernels do no less.
void expect_work_as_told(const Json& report, const std::string& path, int64_t batch) {
  SourceSet sources;
  CompileOptions options;
  options.batch_size = batch;
  const auto model = CompiledModel::open(source(path), options, sources);
  ASSERT_TRUE(model.ok());
  // Those count some composites before they are expanded.
  const auto said = static_cast<double>((*model)->runtime_model().train_step_flops);
  EXPECT_NEAR(report["flops"].get<double>(), said, 0.01 * said);
  int64_t flops = 0;
  for (const Json& step : report["steps"])
    flops += step["flops"].get<int64_t>();
  EXPECT_GE(flops, report["flops"]);
}

/// Each parameter that a layer trains is renewed in one step, which is shown under that layer.
void expect_updates_in_their_kernels(const Json& report, const Model& model) {
  std::map<std::string, size_t> layer_of;  // by tensor
  for (const Json& step : report["steps"]) {
    EXPECT_NE(step["label"], "update");
    for (const Json& tensor : step["updates"]) {
      const bool fresh =
          layer_of.emplace(tensor.get<std::string>(), step["layers"][0].get<size_t>()).second;
      EXPECT_TRUE(fresh) << tensor;
    }
  }
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& parameter : layer.parameters) {
      const auto found = layer_of.find(layer.name + "/" + parameter.name);
      ASSERT_NE(found, layer_of.end()) << layer.name << "/" << parameter.name;
      EXPECT_LT(found->second, model.calls.size()) << layer.name << "/" << parameter.name;
    }
  }
}

struct Case {
  const char* path;
  int64_t batch;
};
constexpr Case kCases[] = {
    {"examples/mnist_mlp.json", 64},         {"examples/lenet.json", 32},
    {"examples/date_seq2seq.json", 16},  // loops
    {"benchmarks/models/gpt2_124m.json", 4}, {"examples/networks/resnet50.json", 8},
    {"examples/word_lstm.json", 4},
};

TEST(Report, HoldsTogether) {
  for (const auto& [path, batch] : kCases) {
    SCOPED_TRACE(path);
    const Json report = report_of(path, batch);
    ASSERT_TRUE(report.is_object());
    EXPECT_GT(report["steps"].size(), 5U);
    expect_links_have_targets(report);
    expect_kernels_once(report);
    expect_plan_holds_results(report);
    expect_work_as_told(report, path, batch);
    expect_updates_in_their_kernels(report, model_of(path));
  }
}

TEST(Report, RepetitionsOfABlockAreToldApart) {
  const Model model = model_of("benchmarks/models/gpt2_124m.json");
  const std::vector<std::string> locations = call_locations(model);
  EXPECT_EQ(std::set(locations.begin(), locations.end()).size(), model.calls.size());
  const Json report = report_of("benchmarks/models/gpt2_124m.json", 4);
  std::map<std::string, int> steps_of;  // by block
  for (const Json& step : report["steps"]) {
    const auto layer = report["layers"][step["layers"][0].get<size_t>()]["name"].get<std::string>();
    ++steps_of[layer.substr(0, layer.find('/'))];
  }
  for (int i = 0; i < 12; ++i) {
    const int steps = steps_of["decoder_" + std::to_string(i)];
    EXPECT_GT(steps, 30) << i;
    EXPECT_LT(steps, 50) << i;
  }
}

TEST(Report, EntriesWithoutUpdatesHaveOneToo) {
  const Model model = model_of("examples/lenet.json");
  for (const EntryPoint entry :
       {EntryPoint::kPredict, EntryPoint::kGradients, EntryPoint::kLossToAll}) {
    ReportOptions options;
    options.entry = entry;
    options.batch = 2;
    const auto report = report_data(model, options);
    ASSERT_TRUE(report.ok()) << entry_name(entry);
    expect_links_have_targets(*report);
    expect_kernels_once(*report);
  }
}

/// Room for ever more kernels is not room for a mistake: code that stands there twice.
TEST(Report, PagesOfDeepNetworksStaySmall) {
  const auto size_of = [](const std::string& path, int64_t batch) {
    return html_page(report_of(path, batch)).size();
  };
  EXPECT_LT(size_of("examples/mnist_mlp.json", 64), 100'000U);
  EXPECT_LT(size_of("benchmarks/models/gpt2_124m.json", 4), 800'000U);
  EXPECT_LT(size_of("examples/networks/resnet50.json", 256), 1'200'000U);
}

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t at = text.find(begin);
  if (at == std::string::npos) return {};
  return text.substr(at + begin.size(), text.find(end, at) - at - begin.size());
}

TEST(Report, APageIsOneFileWithItsData) {
  const Json report = report_of("examples/lenet.json", 8);
  const std::string page = html_page(report);
  const std::string data = between(page, "id=\"report\">", "</script>");
  EXPECT_EQ(Json::parse(data), report);
  for (const char* outside : {"src=", "@import", "url(", "fetch(", "innerHTML"})
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  size_t links = 0;
  for (size_t at = 0; (at = page.find("http", at)) != std::string::npos; ++at, ++links)
    EXPECT_EQ(page.substr(at, 26), "http://www.w3.org/2000/svg");
  EXPECT_EQ(links, 1U);
}

TEST(Report, TimesOfAProfileGoToTheirSteps) {
  const Scratch scratch;
  const std::string model = source("examples/lenet.json");
  const Outcome bench =
      shell(tool() + " bench " + model + " --batch-size 8 --seconds 0.1 --profile --json > " +
            (scratch / "profile.json"));
  ASSERT_EQ(bench.code, 0) << bench.output;
  const std::string inspect = "inspect " + model + " --format html --profile " +
                              (scratch / "profile.json") + " -o " + (scratch / "page.html");
  const Outcome shown = gradc(inspect + " --batch-size 8");
  ASSERT_EQ(shown.code, 0) << shown.output;
  const Json report =
      Json::parse(between(read_file(scratch / "page.html"), "id=\"report\">", "</script>"));
  EXPECT_EQ(report["profile"]["unmatched_ms"], 0.0);
  const Json given = Json::parse(read_file(scratch / "profile.json"));
  double all = 0.0, shared = 0.0;
  int64_t flops = 0, bytes = 0;
  for (const Json& row : given["profile"]["kernels"]) {
    all += row["ms"].get<double>();
    flops += row["flops"].get<int64_t>();
    bytes += row["bytes"].get<int64_t>();
  }
  for (const Json& step : report["steps"]) {
    ASSERT_TRUE(step.contains("ms")) << step["label"];
    shared += step["ms"].get<double>();
    flops -= step["flops"].get<int64_t>();
    bytes -= step["bytes"].get<int64_t>();
  }
  EXPECT_EQ(flops, 0);
  EXPECT_EQ(bytes, 0);
  EXPECT_NEAR(shared, all, 1e-9 * all);
  const Outcome other = gradc(inspect + " --batch-size 16");
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.output.find("the profile is of batches of 8, the page of 16"), std::string::npos)
      << other.output;
  EXPECT_EQ(gradc(inspect + " --batch-size 8 --entry predict").code, 2);
  EXPECT_EQ(gradc(inspect + " --batch-size 8 --measure").code, 2);
  write_text_file(scratch / "profile.json", R"({"profile": {}, "step_ms_median": "fast"})");
  const Outcome wrong = gradc(inspect);
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(wrong.output.find("/step_ms_median: a number was expected"), std::string::npos)
      << wrong.output;
}

TEST(Report, MeasuresByItself) {
  const Scratch scratch;
  const Outcome shown = gradc("inspect " + source("examples/mnist_mlp.json") +
                              " --format html --measure -o " + (scratch / "page.html"));
  ASSERT_EQ(shown.code, 0) << shown.output;
  const Json report =
      Json::parse(between(read_file(scratch / "page.html"), "id=\"report\">", "</script>"));
  EXPECT_GT(report["profile"]["step_ms"], 0.0);
  EXPECT_EQ(report["profile"]["unmatched_ms"], 0.0);
}

/// What a browser makes of the page at an address; empty without a browser.
std::string drawn(const std::string& page, const std::string& address) {
  const Scratch scratch;
  // The page tells its own height behind its script.
  write_text_file(scratch / "page.html",
                  page +
                      "<script>document.title = 'high ' + document.documentElement.scrollHeight"
                      " + ' wide ' + document.documentElement.scrollWidth</script>");
  return shell("timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir=" +
               (scratch / "user") + " --window-size=1280,800 --virtual-time-budget=3000 " +
               "--dump-dom 'file://" + (scratch / "page.html") + address + "'")
      .output;
}

TEST(Report, ABrowserDrawsIt) {
  if (shell("command -v chromium").code != 0) GTEST_SKIP() << "there is no chromium";
  const Json report = report_of("benchmarks/models/gpt2_124m.json", 4);
  const std::string page = html_page(report);
  const std::string first = drawn(page, "");
  EXPECT_NE(
      first.find(std::to_string(report["kernels"].size()) + " different kernels, the dearest"),
      std::string::npos)
      << first.substr(0, 3000);
  const std::string title = between(first, "<title>", "</title>");
  int high = 0, wide = 0;
  ASSERT_EQ(std::sscanf(title.c_str(), "high %d wide %d", &high, &wide), 2) << title;
  EXPECT_LE(high, 800);
  EXPECT_LE(wide, 1280);
  const auto count = [](const std::string& text, const std::string& what) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at)
      ++found;
    return found;
  };
  const size_t rows = count(first, "role=\"treeitem\"");
  EXPECT_EQ(rows, 17U);  // 12 blocks, 3 layers, loss, optimizer
  EXPECT_EQ(count(first, "data-buffer="), report["buffers"].size());
  for (const auto& [address, text] : std::map<std::string, std::string>{
           {"#kernel-0", "Kernel " + report["kernels"][0]["name"].get<std::string>()},
           {"#step-100", "Step 100: " + report["steps"][100]["label"].get<std::string>()},
           {"#buffer-7", "Buffer %" + report["buffers"][7]["name"].get<std::string>()},
           {"#block-decoder_3", "decoder_3/attention"}}) {
    const std::string body = drawn(page, address);
    EXPECT_NE(between(body, "<section id=\"detail\"", "</section>").find(text), std::string::npos)
        << address;
  }
}

TEST(Report, LayersAreDrawnByGraphviz) {
  const std::string text = layers_to_dot(model_of("examples/networks/resnet50.json"));
  EXPECT_NE(text.find("label=\"block_5_4\""), std::string::npos);
  const Scratch scratch;
  const std::string resnet = source("examples/networks/resnet50.json");
  const Outcome layers = gradc("inspect " + resnet + " --format dot");
  EXPECT_EQ(layers.output, text);
  const Outcome ops = gradc("inspect " + source("examples/mnist_mlp.json") +
                            " --format dot --stage optimized --entry predict");
  EXPECT_NE(ops.output.find("matmul"), std::string::npos);
  if (shell("command -v dot").code != 0) GTEST_SKIP() << "there is no dot";
  write_text_file(scratch / "layers.dot", text);
  const Outcome drawn_svg =
      shell("timeout 60 dot -Tsvg " + (scratch / "layers.dot") + " -o " + (scratch / "layers.svg"));
  EXPECT_EQ(drawn_svg.code, 0) << drawn_svg.output;
}

}  // namespace
}  // namespace gradc::test
