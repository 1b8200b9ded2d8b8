#include "tests/bits/nets.h"

#include "codegen/object_writer.h"
#include "driver/compiled_model.h"
#include "driver/gir_program.h"
#include "frontend/native_reader.h"
#include "ir/parser.h"
#include "ir/step_rule.h"
#include "support/check.h"
#include "support/diagnostic_render.h"
#include "tests/bits/twenty_steps.h"
#include "tests/unit/driver/command.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace gradc::bits {

namespace {

/// Convolutions of three kinds, both normalisations, a shortcut with weights and one without,
/// weights from normal numbers.
constexpr const char* kResidual =
    R"({"name": "residual", "inputs": [{"name": "image", "shape": [12, 12, 3]}], "layers": [
    {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same", "use_bias": false,
     "kernel_initializer": "he_normal", "name": "stem"},
    {"type": "batch_normalization", "name": "stem_norm"}, {"type": "activation", "activation": "relu", "name": "x0"},
    {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same", "use_bias": false},
    {"type": "batch_normalization"}, {"type": "activation", "activation": "relu"},
    {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same", "use_bias": false},
    {"type": "batch_normalization", "name": "y0"},
    {"type": "add", "inputs": ["x0", "y0"]}, {"type": "activation", "activation": "relu", "name": "x1"},
    {"type": "conv2d", "filters": 24, "kernel_size": 3, "strides": 2, "padding": "same", "use_bias": false},
    {"type": "batch_normalization"}, {"type": "activation", "activation": "relu"},
    {"type": "conv2d", "filters": 24, "kernel_size": 3, "padding": "same", "use_bias": false},
    {"type": "batch_normalization", "name": "y1"},
    {"type": "conv2d", "filters": 24, "kernel_size": 1, "strides": 2, "inputs": "x1", "name": "shortcut"},
    {"type": "add", "inputs": ["y1", "shortcut"]}, {"type": "activation", "activation": "relu"},
    {"type": "average_pooling2d", "pool_size": 2}, {"type": "flatten"}, {"type": "layer_normalization"},
    {"type": "dropout", "rate": 0.2}, {"type": "dense", "units": 10, "name": "logits"}],
    "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
                 "optimizer": {"type": "momentum", "learning_rate": 0.05}, "metrics": ["accuracy"], "batch_size": 16}})";

/// Forwards a gated recurrence whose state and outputs are both used, of odd sizes.
constexpr const char* kRecurrence = R"(graph @recurrence {
  input %x : f32[17x9x20] {name=input/x}
  input %target : f32[17x9x3] {name=target/y}
  param %h0 : f32[9x33] {name=cell/start, init=zeros}
  param %w : f32[20x33] {name=cell/kernel, init=random_uniform(a=-0.3, b=0.3, stream=1)}
  param %u : f32[33x33] {name=cell/recurrent_kernel, init=random_uniform(a=-0.3, b=0.3, stream=2)}
  param %g : f32[33x33] {name=cell/gate_kernel, init=random_uniform(a=-0.3, b=0.3, stream=3)}
  param %b : f32[33] {name=cell/bias, init=zeros}
  param %v : f32[33x3] {name=out/kernel, init=random_uniform(a=-0.3, b=0.3, stream=4)}
  %last, %ys = scan(%h=%h0, %x, %w, %u, %g, %b, %v) {steps=17, carries=1, slices=1} : f32[9x33], f32[17x9x3] {
    %0 = matmul %x, %w : f32[9x33]
    %1 = matmul %h, %u : f32[9x33]
    %2 = broadcast %b {dims=[1]} : f32[9x33]
    %3 = add %0, %1 : f32[9x33]
    %4 = add %3, %2 : f32[9x33]
    %5 = tanh %4 : f32[9x33]
    %6 = matmul %h, %g : f32[9x33]
    %7 = sigmoid %6 : f32[9x33]
    %8 = sub %5, %h : f32[9x33]
    %9 = mul %7, %8 : f32[9x33]
    %next = add %h, %9 : f32[9x33]
    %y = matmul %next, %v : f32[9x3]
    yield %next, %y
  }
  %difference = sub %ys, %target : f32[17x9x3]
  %square = mul %difference, %difference : f32[17x9x3]
  %sum = reduce_sum %square {axes=[0, 1, 2]} : f32[]
  %size = mul %last, %last : f32[9x33]
  %much = reduce_sum %size {axes=[0, 1]} : f32[]
  %loss = add %sum, %much : f32[]
  %rate = constant {value=0.01} : f32[]
  return loss=%loss, "optimizer/learning_rate"=%rate
}
)";

/// Attention in tiles: several blocks and a rest, of queries and of keys, causal and masked, with
/// grouped heads, dropped weights and slopes.
constexpr const char* kLongAttention =
    R"({"name": "long_attention", "inputs": [{"name": "x", "shape": [131, 6]}], "layers": [
    {"type": "masking", "mask_value": 0.25, "name": "seen"},
    {"type": "multi_head_attention", "num_heads": 3, "key_dim": 5, "use_causal_mask": true, "name": "first",
     "dropout": 0.25},
    {"type": "add", "inputs": ["seen", "first"], "name": "sum"},
    {"type": "group_query_attention", "head_dim": 7, "num_query_heads": 4, "num_key_value_heads": 2,
     "use_alibi": true, "dropout": 0.1},
    {"type": "gru", "units": 3}],
    "training": {"loss": "mean_squared_error", "optimizer": "adam", "batch_size": 4}})";

/// The model with a dtype policy.
std::string with_policy(const std::string& policy, const std::string& text) {
  return "{\"dtype\": \"" + policy + "\", " + text.substr(text.find('{') + 1);
}

std::string example(const std::string& name) {
  return test::read_file(test::source("examples/" + name + ".json"));
}

template <class T>
T checked(Result<T> result, const Net& net) {
  GRADC_CHECK(result.ok(), "{}: {}", net.name, result.message());
  return result.take();
}

Model model_of(const Net& net) {
  SourceSet sources;
  auto model = read_model_text(net.name + ".json", net.text, sources);
  GRADC_CHECK(model.ok(), "{}", render_diagnostics(model.diagnostics(), sources));
  return model.take();
}

/// The recurrence's training step by Adam, as a program of one entry.
std::unique_ptr<GirProgram> program_of(const Net& net, const TargetInfo& target) {
  GirFile file;
  file.path = net.name + ".gir";
  file.stage = PipelineStage::kGradient;
  file.graph = checked(parse_graph(net.text, file.path), net);
  PassContext context;
  context.options.optimizer = OptimizerSpec{.step = find_step_rule("adam")->samples().front()};
  const Status status = run_passes(
      *file.graph, pipeline_text(PipelineKind::kTrainStep, PipelineStage::kGradient), context);
  GRADC_CHECK(status.ok(), "{}", status.message());
  GirOptions options;
  options.target = target;
  return checked(GirProgram::create(file, options), net);
}

/// In this process.
class Printout {
 public:
  Printout() : file_(open_memstream(&text_, &size_)) { GRADC_CHECK(file_ != nullptr, "no memory"); }
  ~Printout() {
    std::fclose(file_);
    std::free(text_);
  }
  Printout(const Printout&) = delete;
  Printout& operator=(const Printout&) = delete;
  std::FILE* file() { return file_; }
  std::string text() {
    std::fflush(file_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  size_t size_ = 0;
  std::FILE* file_;
};

}  // namespace

void PrintTo(const Net& net, std::ostream* out) {
  *out << net.name;
}

std::vector<Net> four_nets() {
  return {{"mlp", example("fashion_mnist_mlp"), false, 0, 8},
          {"lenet", example("lenet"), false, 0, 2},
          {"residual", kResidual, false, 0, 3},
          {"recurrence", kRecurrence, true, 0, 0}};
}

std::vector<Net> bf16_nets() {
  return {{"lenet_bf16", with_policy("mixed_bfloat16", example("lenet")), false, 0, 2},
          {"residual_bf16", with_policy("mixed_bfloat16", kResidual), false, 0, 3}};
}

std::vector<Net> example_nets() {
  std::vector<Net> nets;
  for (const auto& entry : std::filesystem::directory_iterator(test::source("examples"))) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() == ".json") nets.push_back({name, example(name), false, 0, 0});
  }
  std::sort(nets.begin(), nets.end(), [](const Net& a, const Net& b) { return a.name < b.name; });
  return nets;
}

std::vector<Net> all_nets() {
  std::vector<Net> nets = example_nets();
  for (const Net& net : four_nets()) {
    const bool known = std::any_of(nets.begin(), nets.end(),
                                   [&](const Net& other) { return other.text == net.text; });
    if (!known) nets.push_back(net);
  }
  for (Net& net : bf16_nets())
    nets.push_back(std::move(net));
  nets.push_back({"long_attention", kLongAttention, false, 0, 0});
  nets.push_back({"residual_f64", with_policy("float64", kResidual), false, 0, 0});
  return nets;
}

bool evaluates_as_it_trains(const Net& net) {
  return !net.is_graph && net.text.find("dropout") == std::string::npos &&
         net.text.find("batch_normalization") == std::string::npos;
}

Narrower narrower_than_host() {
  const TargetInfo host = TargetInfo::host();
  Narrower result{TargetInfo::generic_avx2(), ""};
  if (host.triple.substr(0, 6) != "x86_64")
    result.missing = "AVX2 is of x86-64";
  else if (host.vector_bytes <= result.target.vector_bytes)
    result.missing = "this processor has nothing beyond AVX2";
  return result;
}

std::string trained(const Net& net, const TargetInfo& target, int threads) {
  Printout out;
  int failed = 1;
  if (net.is_graph) {
    const auto program = program_of(net, target);
    const Status status = program->compile();
    GRADC_CHECK(status.ok(), "{}", status.message());
    failed = twenty_steps(program->runtime_model(), threads, out.file());
  } else {
    CompileOptions options;
    options.batch_size = net.batch;
    options.target = target;
    const auto model = checked(CompiledModel::create(model_of(net), options), net);
    failed = twenty_steps(model->runtime_model(), threads, out.file());
  }
  GRADC_CHECK(failed == 0, "{}: {}", net.name, out.text());
  return out.text();
}

std::string object_of(const Net& net, const TargetInfo& target) {
  ObjectOptions options;
  options.model_symbol = "model_under_test";
  if (net.is_graph) {
    const auto program = program_of(net, target);
    gradc_rt_model model = program->runtime_model();
    std::vector<gradc_rt_entry> entries(model.entries, model.entries + GRADC_RT_ENTRY_COUNT);
    entries[GRADC_RT_PREDICT].name = program->entry().name.c_str();
    model.entries = entries.data();
    options.model = &model;
    return checked(write_object(program->program(), target, options), net).bytes;
  }
  const Model model = model_of(net);
  std::vector<Diagnostic> warnings;
  const auto tables = checked(make_tables(model, net.small_batch, warnings), net);
  const std::vector<EntryPoint> kinds = {EntryPoint::kPredict, EntryPoint::kEvaluate,
                                         EntryPoint::kTrainStep};
  CompileOptions compile;
  compile.target = target;
  const kernel::Program program =
      checked(lower_entries(model, kinds, *tables, compile, nullptr), net);
  options.model = &tables->model();
  return checked(write_object(program, target, options), net).bytes;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);)
    lines.push_back(line);
  return lines;
}

std::string first_difference(const std::string& actual, const std::string& expected) {
  const std::vector<std::string> a = lines_of(actual), b = lines_of(expected);
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string left = i < a.size() ? a[i] : "nothing",
                      right = i < b.size() ? b[i] : "nothing";
    if (left != right) return left + " where " + right + " was expected";
  }
  return "";
}

std::string name_in(const std::string& line) {
  const std::string rest = line.substr(line.find(": ") + 2);
  return rest.substr(0, rest.find(' '));
}

namespace {

std::string rest_of_line(const std::string& text, const std::string& when,
                         const std::string& name) {
  const std::string begin = when + ": " + name + " ";
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with(begin)) return line.substr(begin.size());
  }
  GRADC_CHECK(false, "no line \"{}\"", begin);
}

}  // namespace

double number_in(const std::string& text, const std::string& when, const std::string& name) {
  const std::string rest = rest_of_line(text, when, name);
  return std::strtod(rest.substr(rest.find('=') + 1).c_str(), nullptr);
}

std::string digest_in(const std::string& text, const std::string& when, const std::string& name) {
  return rest_of_line(text, when, name).substr(0, 16);
}

}  // namespace gradc::bits
