#include "tests/random_models/random_model.h"

#include "frontend/families.h"
#include "tests/random_models/random_component.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace gradc::testing {

namespace {

using Shape = std::vector<int64_t>;

bool has_option(const ComponentDef& def, std::string_view name) {
  return std::any_of(def.options.begin(), def.options.end(),
                     [&](const OptionDef& option) { return option.name == name; });
}

int64_t elements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

class ModelMaker {
 public:
  explicit ModelMaker(uint64_t seed)
      : random_(seed * 1000003 + 17), recurrent_(seed >= kFirstRecurrentSeed) {
    model_["name"] = fmt::format("m{}", seed);
  }

  Json make() {
    start();
    if (recurrent_) recurrence();
    const int64_t depth = random_.between(2, 6);
    for (int64_t i = 0; i < depth; ++i)
      step();
    if (random_.chance(0.25)) {
      const Value first = at_;
      step();
      const Value second = at_;
      finish(first, "side");
      at_ = second;
    }
    finish(at_, "main");
    train();
    return std::move(model_);
  }

 private:
  /// Something a layer can take as its input: a name and the shape of one example.
  struct Value {
    std::string name;
    Shape shape;
  };

  // ---- adding layers
  std::string fresh(std::string_view stem) { return fmt::format("{}{}", stem, ++count_); }

  /// A layer on the current value; what it makes is the current value then.
  void add(Json layer, Shape result) {
    const std::string name = fresh("l");
    layer["name"] = name;
    if (!layer.contains("inputs")) layer["inputs"] = at_.name;
    model_["layers"].push_back(std::move(layer));
    at_ = {name, std::move(result)};
  }
  Json with_parameters(Json layer, std::string_view prefix) {
    // Kernels of equal numbers make equal sums, whose order fp32 cannot tell.
    static const std::set<std::string_view> kForKernels = {"zeros", "ones", "constant"};
    static const std::set<std::string_view> kForVectors = {"identity", "orthogonal"};
    static const std::set<std::string> kOfMatrices = {"dense", "embedding", "simple_rnn", "lstm",
                                                      "gru"};
    if (random_.chance(0.2)) {
      layer[fmt::format("{}_initializer", prefix)] =
          random_component(random_, Family::kInitializer,
                           kOfMatrices.contains(layer["type"]) ? kForKernels
                           : layer["type"] == "conv2d"
                               ? std::set<std::string_view>{"zeros", "ones", "constant", "identity"}
                               : kForVectors);
    }
    if (random_.chance(0.15))
      layer[fmt::format("{}_regularizer", prefix)] =
          random_component(random_, Family::kRegularizer,
                           kOfMatrices.contains(layer["type"])
                               ? std::set<std::string_view>{}
                               : std::set<std::string_view>{"orthogonal_regularizer"});
    if (random_.chance(0.08)) layer["trainable"] = false;
    return layer;
  }
  Json activation() { return random_component(random_, Family::kActivation, {"glu"}); }
  Json dense(int64_t units) {
    Json layer = with_parameters({{"type", "dense"}, {"units", units}}, "kernel");
    if (random_.chance(0.4)) layer["activation"] = activation();
    if (random_.chance(0.2)) layer["use_bias"] = false;
    return layer;
  }

  // ---- inputs
  void start() {
    model_["layers"] = Json::array();
    static const std::vector<Shape> kShapes = {{5},       {8},       {3, 4},   {6, 5},
                                               {6, 6, 1}, {7, 5, 2}, {8, 8, 3}};
    Shape shape = random_.pick(kShapes);
    if (recurrent_) shape = {random_.between(1, 6), random_.between(1, 5)};
    if (random_.chance(0.15)) {
      const int64_t rows = random_.between(3, 9);
      add_input("ids", {random_.between(2, 6)}, "int32");
      const int64_t width = random_.between(2, 6);
      Json layer = {{"type", "embedding"}, {"input_dim", rows}, {"output_dim", width}};
      add(with_parameters(std::move(layer), "embeddings"), {at_.shape[0], width});
    } else {
      add_input("x", shape, "float32");
    }
    if (random_.chance(0.25)) {
      const Value first = at_;
      add_input("z", first.shape, "float32");
      merge(first);
    }
  }
  void add_input(const std::string& name, const Shape& shape, const char* dtype) {
    model_["inputs"].push_back({{"name", name}, {"shape", shape}, {"dtype", dtype}});
    at_ = {name, shape};
  }

  // ---- one step of the network
  void step() {
    if (elements(at_.shape) > 400) return shrink();
    const int64_t choice = random_.below(10);
    if (choice == 0) return branch();
    if (choice == 1) return block();
    if (choice == 2) return shared();
    if (choice == 3) return anywhere();
    if (at_.shape.size() == 3 && choice < 9) return image();
    if (at_.shape.size() == 2 && choice < 6) return sequence();
    return vector();
  }
  void shrink() {
    if (at_.shape.size() == 3 && at_.shape[0] > 2 && at_.shape[1] > 2) return pool();
    if (at_.shape.size() > 1) return add({{"type", "flatten"}}, {elements(at_.shape)});
    add(dense(random_.between(2, 8)), {0});
    at_.shape = {model_["layers"].back()["units"].get<int64_t>()};
  }
  void vector() {
    const int64_t units = random_.between(2, 9);
    Shape result = at_.shape;
    result.back() = units;
    add(dense(units), std::move(result));
  }
  /// Layers that keep any shape.
  void anywhere() {
    switch (random_.below(7)) {
      case 0:
        return add({{"type", "dropout"}, {"rate", random_.chance(0.8) ? 0.25 : 0.0}}, at_.shape);
      case 1:
        return add({{"type", "activation"}, {"activation", activation()}}, at_.shape);
      case 2:
        return add(with_parameters({{"type", "layer_norm"}}, "gamma"), at_.shape);
      case 3:
        return add(with_parameters({{"type", "batch_norm"}, {"momentum", 0.75}}, "gamma"),
                   at_.shape);
      case 4:
        return add(with_parameters({{"type", "prelu"}}, "alpha"), at_.shape);
      case 5:
        return add({{"type", "leaky_relu"}}, at_.shape);
      default: {
        if (at_.shape.back() % 2 != 0) return vector();
        Shape half = at_.shape;
        half.back() /= 2;
        return add({{"type", "glu"}}, std::move(half));
      }
    }
  }
  /// A recurrent layer, maybe in both directions; its state is the current value then.
  void recurrence() {
    static const std::vector<std::string> kTypes = {"simple_rnn", "lstm", "gru"};
    static const std::vector<std::string> kActivations = {"tanh", "sigmoid", "softsign", "relu"};
    const int64_t units = random_.between(1, 6);
    Json layer = {{"type", random_.pick(kTypes)}, {"units", units}};
    const bool all = random_.chance(0.6);
    if (all) layer["return_sequences"] = true;
    if (random_.chance(0.3)) layer["go_backwards"] = true;
    if (random_.chance(0.2)) layer["use_bias"] = false;
    if (random_.chance(0.3)) layer["activation"] = random_.pick(kActivations);
    if (random_.chance(0.3)) layer["dropout"] = 0.25;
    if (random_.chance(0.3)) layer["recurrent_dropout"] = 0.25;
    if (layer["type"] == "gru" && random_.chance(0.5)) layer["reset_after"] = false;
    if (random_.chance(0.2)) layer["stateful"] = true;
    const bool states = !all && random_.chance(0.3);
    if (states) layer["return_state"] = true;
    if (random_.chance(0.2)) return cells(units, all);
    const int64_t steps = at_.shape[0];
    int64_t width = units;
    if (!layer.contains("go_backwards") && random_.chance(0.3)) {
      const std::string mode =
          random_.pick(std::vector<std::string>{"concat", "sum", "mul", "ave"});
      layer = {{"type", "bidirectional"}, {"layer", layer}, {"merge_mode", mode}};
      if (mode == "concat") width *= 2;
      if (states) {
        add(std::move(layer), {width});
        return merge_with("concatenate", at_.name + ".backward_state_h", {width + units});
      }
    } else {
      layer = with_parameters(std::move(layer), "kernel");
    }
    add(std::move(layer), all ? Shape{steps, width} : Shape{width});
    if (states) merge_with("multiply", at_.name + ".state_h", at_.shape);
  }
  void merge_with(const char* type, const std::string& other, Shape result) {
    add({{"type", type}, {"inputs", {at_.name, other}}}, std::move(result));
  }
  /// One or two cells in a loop.
  void cells(int64_t units, bool all) {
    static const std::vector<std::string> kTypes = {"simple_rnn_cell", "lstm_cell", "gru_cell"};
    Json list = Json::array();
    for (int64_t n = random_.between(1, 2); n > 0; --n)
      list.push_back({{"type", random_.pick(kTypes)}, {"units", n == 1 ? units : 3}});
    Json layer = {{"type", "rnn"}, {"cell", std::move(list)}, {"return_sequences", all}};
    add(std::move(layer), all ? Shape{at_.shape[0], units} : Shape{units});
  }
  /// There by a matrix and back by the same.
  void tied() {
    const Shape root = at_.shape;
    Shape result = root;
    result.back() = random_.between(2, 6);
    Json there = {{"type", "dense"}, {"units", result.back()}};
    if (random_.chance(0.5)) there["activation"] = "tanh";
    add(std::move(there), result);
    add({{"type", "dense"}, {"units", root.back()}, {"tied_to", at_.name}}, root);
  }
  /// Every step sees every step, or those before it.
  void attention() {
    Json layer;
    switch (random_.below(4)) {
      case 0:
      case 1:
        layer = {{"type", "multi_head_attention"},
                 {"num_heads", random_.between(1, 3)},
                 {"key_dim", random_.between(1, 4)}};
        break;
      case 2:
        layer = {{"type", "group_query_attention"},
                 {"num_query_heads", 4},
                 {"num_key_value_heads", random_.between(1, 2)},
                 {"head_dim", 2},
                 {"rope_max_wavelength", 100}};
        break;
      default:
        layer = {{"type", random_.chance(0.5) ? "attention" : "additive_attention"}};
        if (random_.chance(0.5)) layer["use_scale"] = true;
    }
    if (random_.chance(0.5)) layer["use_causal_mask"] = true;
    if (random_.chance(0.3)) layer["dropout"] = 0.25;
    if (random_.chance(0.2)) layer["return_attention_scores"] = true;
    if (layer.contains("key_dim") && random_.chance(0.3)) layer["use_bias"] = false;
    add(std::move(layer), at_.shape);
  }
  void sequence() {
    if (recurrent_ && random_.chance(0.5)) {
      if (random_.chance(0.6)) return recurrence();
      if (random_.chance(0.6)) return attention();
      if (random_.chance(0.4)) return tied();
      const int64_t units = random_.between(1, 5);
      return add({{"type", "time_distributed"}, {"layer", dense(units)}}, {at_.shape[0], units});
    }
    switch (random_.below(4)) {
      case 0:
        return add({{"type", "permute"}, {"dims", {2, 1}}}, {at_.shape[1], at_.shape[0]});
      case 1:
        return add({{"type", "flatten"}}, {elements(at_.shape)});
      case 2: {
        const Value first = at_;
        vector();
        const Shape result = {first.shape[1], at_.shape[1]};
        return add({{"type", "dot"},
                    {"axes", 1},
                    {"normalize", random_.chance(0.3)},
                    {"inputs", {first.name, at_.name}}},
                   result);
      }
      default:
        return add({{"type", "reshape"}, {"target_shape", {at_.shape[0], -1, 1}}},
                   {at_.shape[0], at_.shape[1], 1});
    }
  }
  void image() {
    switch (random_.below(6)) {
      case 0:
      case 1:
        return convolution();
      case 2:
        return pool();
      case 3: {
        const bool keep = random_.chance(0.3);
        const char* type =
            random_.chance(0.5) ? "global_max_pooling2d" : "global_average_pooling2d";
        return add({{"type", type}, {"keepdims", keep}},
                   keep ? Shape{1, 1, at_.shape[2]} : Shape{at_.shape[2]});
      }
      case 4: {
        const int64_t a = random_.below(3), b = random_.below(3), c = random_.below(3),
                      d = random_.below(3);
        return add({{"type", "zero_padding2d"}, {"padding", {{a, b}, {c, d}}}},
                   {at_.shape[0] + a + b, at_.shape[1] + c + d, at_.shape[2]});
      }
      default:
        return add({{"type", "permute"}, {"dims", {3, 1, 2}}},
                   {at_.shape[2], at_.shape[0], at_.shape[1]});
    }
  }
  struct Window {
    int64_t size, stride, reach;
    bool same;
    int64_t result(int64_t extent) const {
      return same ? (extent + stride - 1) / stride : (extent - reach) / stride + 1;
    }
    bool fits(int64_t extent) const { return same || extent >= reach; }
  };
  Window window(int64_t dilation) {
    Window w{random_.between(1, 3), random_.between(1, 2), 0, random_.chance(0.5)};
    w.reach = (w.size - 1) * dilation + 1;
    if (!w.fits(at_.shape[0]) || !w.fits(at_.shape[1])) w.same = true;
    return w;
  }
  Shape after(const Window& w, int64_t channels) const {
    return {w.result(at_.shape[0]), w.result(at_.shape[1]), channels};
  }
  void convolution() {
    const int64_t channels = at_.shape[2];
    const int64_t dilation = random_.chance(0.25) ? 2 : 1;
    Window w = window(dilation);
    if (dilation > 1) w.stride = 1;  // Keras allows one of the two
    const int64_t groups = random_.chance(0.3) ? channels : 1;
    const int64_t filters = groups * random_.between(1, groups > 1 ? 2 : 5);
    Json layer = {{"type", "conv2d"},
                  {"filters", filters},
                  {"kernel_size", w.size},
                  {"strides", w.stride},
                  {"padding", w.same ? "same" : "valid"},
                  {"dilation_rate", dilation},
                  {"groups", groups}};
    if (random_.chance(0.4)) layer["activation"] = activation();
    if (random_.chance(0.3)) layer["use_bias"] = false;
    add(with_parameters(std::move(layer), "kernel"), after(w, filters));
  }
  void pool() {
    Window w = window(1);
    w.stride = random_.between(1, 3);
    const char* type = random_.chance(0.5) ? "max_pooling2d" : "average_pooling2d";
    add({{"type", type},
         {"pool_size", w.size},
         {"strides", w.stride},
         {"padding", w.same ? "same" : "valid"}},
        after(w, at_.shape[2]));
  }

  // ---- structure
  /// The current value with an earlier one of the same shape.
  void merge(const Value& first) {
    static const std::vector<std::string> kTypes = {"add",     "subtract", "multiply",   "average",
                                                    "maximum", "minimum",  "concatenate"};
    const std::string type = random_.pick(kTypes);
    Shape result = at_.shape;
    if (type == "concatenate") result.back() *= 2;
    add({{"type", type}, {"inputs", {first.name, at_.name}}}, std::move(result));
  }
  void branch() {
    const Value root = at_;
    add(dense(root.shape.back()), root.shape);
    const Value left = at_;
    at_ = root;
    anywhere();
    if (at_.shape != left.shape) add(dense(root.shape.back()), root.shape);
    merge(left);
  }
  void block() {
    const int64_t width = at_.shape.back();
    const std::string name = fresh("b");
    Json inner = {{{"type", "layer_norm"}},
                  {{"type", "dense"}, {"units", "$width"}, {"activation", "$activation"}},
                  {{"type", "dense"}, {"units", "$width"}, {"name", "out"}},
                  {{"type", "add"}, {"inputs", {"input", "out"}}}};
    model_["blocks"][name] = {{"parameters", {{"width", width}, {"activation", "gelu"}}},
                              {"layers", std::move(inner)}};
    add({{"type", "block"},
         {"block", name},
         {"repeat", random_.between(1, 3)},
         {"with", {{"activation", activation()}}}},
        at_.shape);
  }
  void shared() {
    const Value root = at_;
    add(dense(root.shape.back()), root.shape);
    const Value once = at_;
    if (random_.chance(0.5)) anywhere();
    if (at_.shape != root.shape) at_ = root;
    add({{"type", "shared"}, {"layer", once.name}}, root.shape);
    merge(once);
  }

  // ---- outputs and training
  struct Output {
    std::string name;
    Shape shape;
    bool probabilities;
  };
  void finish(const Value& from, const char* name) {
    at_ = from;
    if (at_.shape.size() > 1 && random_.chance(recurrent_ ? 0.4 : 0.8))
      add({{"type", "flatten"}}, {elements(at_.shape)});
    else if (recurrent_ && at_.shape.size() == 2 && random_.chance(0.5))
      add({{"type", "masking"}}, at_.shape);
    Json layer = {{"type", "dense"}, {"units", random_.between(1, 5)}};
    const bool probabilities = random_.chance(0.6);
    if (probabilities) layer["activation"] = layer["units"] == 1 ? "sigmoid" : "softmax";
    Shape result = at_.shape;
    result.back() = layer["units"].get<int64_t>();
    add(std::move(layer), result);
    model_["layers"].back()["name"] = name;
    model_["outputs"].push_back(name);
    outputs_.push_back({name, result, probabilities});
  }
  /// A loss that suits the output. Without probabilities only losses on logits or differences: the
  /// logarithm of anything has gradients of 1e7.
  Json loss_for(const Output& output) {
    while (true) {
      Json loss = random_component(random_, Family::kLoss, {"formula", "gir"});
      if (loss.is_string()) loss = {{"type", loss}};
      const ComponentDef* def = find_member(Family::kLoss, loss["type"].get<std::string>());
      if (has_option(*def, "from_logits")) loss["from_logits"] = !output.probabilities;
      if (has_option(*def, "axis") && !output.probabilities) continue;  // shares of sums
      if (has_option(*def, "zero_infinity")) loss["zero_infinity"] = true;
      if (random_.chance(0.3)) loss["reduction"] = random_.chance(0.5) ? "sum" : "mean";
      std::string problem;
      const Component component = default_component(Family::kLoss, def->type);
      if (loss_fits(component, output.shape, problem)) return loss;
    }
  }
  /// Metrics name classes that the output has.
  static void keep_classes(Json& metric, int64_t classes) {
    metric.erase("target_class_ids");
    for (const auto& [option, first] : {std::pair("class_id", 0), std::pair("top_k", 1)}) {
      const auto named = metric.find(option);
      if (named == metric.end()) continue;
      const bool fits = named->is_number_integer() && classes > 1;
      if (fits) *named = first + named->get<int64_t>() % classes;
      if (!fits) metric.erase(option);
    }
  }

  Json metrics_for(const Output& output, const Json& loss) {
    const std::string type = loss["type"];
    const TargetKind target = loss_target(default_component(Family::kLoss, type));
    Json metrics = Json::array();
    for (int i = 0; i < 3; ++i) {
      Json metric = random_component(random_, Family::kMetric);
      if (metric.is_string()) metric = {{"type", metric}};
      metric["name"] = fmt::format("{}_{}", metric["type"].get<std::string>(), ++count_);
      std::string problem;
      const Component component =
          default_component(Family::kMetric, metric["type"].get<std::string>());
      if (resolve_metric(component, output.shape, target, problem) == nullptr) continue;
      if (has_option(*component.def, "from_logits")) metric["from_logits"] = !output.probabilities;
      keep_classes(metric, output.shape.back());
      metrics.push_back(std::move(metric));
    }
    return metrics;
  }
  void train() {
    Json& training = model_["training"];
    for (const Output& output : outputs_) {
      const Json loss = loss_for(output);
      training["losses"][output.name] = loss;
      if (random_.chance(0.3)) training["loss_weights"][output.name] = 0.5;
      training["metrics"][output.name] = metrics_for(output, loss);
    }
    if (recurrent_) training["shuffle"] = false;  // some of the layers are stateful
    // Muon gives rounding in a gradient that is nearly of less rank the length of the rest: after a
    // few steps f32 and double are not near each other. tests/peer has it, one step at a time.
    do
      training["optimizer"] = random_component(random_, Family::kOptimizer);
    while (training["optimizer"].is_object() && training["optimizer"]["type"] == "muon");
  }

  Random random_;
  bool recurrent_;
  Json model_;
  Value at_;
  std::vector<Output> outputs_;
  int count_ = 0;
};

}  // namespace

Json random_model(uint64_t seed) {
  return ModelMaker(seed).make();
}

}  // namespace gradc::testing
