// Doors that need a model: data sets as --data gives them, weights, checkpoints.
#include "driver/compiled_model.h"
#include "gradc/gradc.h"
#include "runtime/commands.h"
#include "tests/fuzz/door.h"

#include <array>
#include <memory>
#include <string>

namespace gradc::fuzz {

namespace {

constexpr const char* kRegression = R"({"inputs": [{"name": "x", "shape": [2]}],
  "layers": [{"type": "dense", "units": 1, "name": "y"}],
  "training": {"loss": "mse", "optimizer": "sgd", "batch_size": 2},
  "data": {"x": {"standardize": true}}})";
constexpr const char* kClasses = R"({"inputs": [{"name": "x", "shape": [2]}],
  "layers": [{"type": "batch_normalization"}, {"type": "dense", "units": 3, "name": "y", "activation": "softmax"}],
  "training": {"loss": "sparse_categorical_crossentropy", "optimizer": "adam", "metrics": ["accuracy"],
               "batch_size": 2, "epochs": 2}})";
constexpr const char* kOneHot =
    R"({"inputs": [{"name": "x", "shape": [2]}, {"name": "c", "shape": [3]}],
  "layers": [{"type": "concatenate", "inputs": ["x", "c"]}, {"type": "dense", "units": 2, "name": "y"}],
  "training": {"loss": {"type": "categorical_crossentropy", "from_logits": true}, "optimizer": "sgd", "batch_size": 2},
  "data": {"c": {"one_hot": 3}, "y": {"one_hot": 2}}})";
constexpr const char* kText = R"({"inputs": [{"name": "x", "shape": [4], "dtype": "int32"}],
  "layers": [{"type": "embedding", "input_dim": 8, "output_dim": 2},
             {"type": "dense", "units": 8, "name": "y", "activation": "softmax"}],
  "training": {"loss": "sparse_categorical_crossentropy", "optimizer": "sgd", "batch_size": 2}})";

/// A model that is read once; its entries are compiled when something runs.
const CompiledModel& model_of(const char* json) {
  struct Known {
    const char* json;
    std::unique_ptr<CompiledModel> model;
  };
  static std::array<Known, 4> known;
  for (Known& one : known) {
    if (one.json == json) return *one.model;
    if (one.json != nullptr) continue;
    SourceSet sources;
    auto parsed = CompiledModel::parse("model.json", json, {}, sources);
    require(parsed.ok(), "the door's own model is right", parsed.message());
    one = {json, parsed.take()};
    return *one.model;
  }
  std::abort();
}

struct InstanceDeleter {
  void operator()(rt::Instance* instance) const { rt::Instance::destroy(instance); }
};
using InstancePtr = std::unique_ptr<rt::Instance, InstanceDeleter>;

InstancePtr instance_of(const CompiledModel& model) {
  rt::Instance* raw = nullptr;
  const rt::Status status = rt::Instance::create(model.runtime_model(), {1}, nullptr, 0, &raw);
  require(status.ok(), "an instance can be made", status.text.c_str());
  InstancePtr instance(raw);
  require(instance->initialize(1).ok(), "an instance can be initialised");
  return instance;
}

void check_status(const rt::Status& status) {
  require(status.ok() || !status.text.empty(), "a failure says nothing");
  require(status.code != rt::Code::kInternal, "what is wrong is the input's", status.text.c_str());
}

/// Reads, checks and prepares a data set as the training command does.
void load(const char* json, const std::string& spec) {
  const CompiledModel& model = model_of(json);
  rt::DataSource source;
  source.spec = rt::Str(spec.c_str());
  for (const rt::TargetNeed need : {rt::TargetNeed::kRequired, rt::TargetNeed::kOptional}) {
    rt::DataSet data;
    const rt::Status status = rt::load_dataset(model.runtime_model(), source, need, &data);
    check_status(status);
    if (!status.ok()) continue;
    for (rt::DataPart* part : {&data.train, &data.validation, &data.test}) {
      if (!part->present) continue;
      const rt::Status checked = rt::check_part(model.runtime_model(), *part, need);
      check_status(checked);
      if (!checked.ok()) continue;
      const InstancePtr instance = instance_of(model);
      rt::Feed feed;
      check_status(feed.prepare(*instance, *part, 0, part->rows, true, need));
    }
  }
}

}  // namespace

void csv_door(std::string_view bytes) {
  const uint8_t choice = take_byte(bytes);
  const char* json = choice % 3 == 0 ? kRegression : choice % 3 == 1 ? kClasses : kOneHot;
  constexpr std::array<const char*, 4> kOptions = {":target=y", ":target=y:drop=d", "",
                                                   ":target=y,z"};
  load(json, file_of("data.csv", bytes) + kOptions[choice / 3 % 4]);
}

void text_door(std::string_view bytes) {
  const uint8_t choice = take_byte(bytes);
  load(kText, file_of("data.txt", bytes) + (choice % 2 == 0 ? ":chars" : ":bytes"));
}

void weights_door(std::string_view bytes) {
  SourceSet sources;
  const std::string path = file_of("weights.safetensors", bytes);
  gradc_session* session = gradc_session_parse(kClasses, nullptr, nullptr, 0);
  require(session != nullptr, "the door's own model is right");
  const gradc_status status = gradc_session_load_weights(session, path.c_str());
  require(status == GRADC_OK || gradc_last_error(session)[0] != '\0', "a failure says nothing");
  gradc_session_destroy(session);
}

void checkpoint_door(std::string_view bytes) {
  static const std::string data = file_of("data.csv", "a,b,y\n1,2,0\n3,4,1\n5,7,2\n2,2,1\n");
  const std::string path = file_of("checkpoint.safetensors", bytes);
  const InstancePtr instance = instance_of(model_of(kClasses));
  rt::TrainCommand command;
  const std::string spec = data + ":target=y";
  command.data.spec = rt::Str(spec.c_str());
  command.checkpoint = path.c_str();
  command.resume = true;
  command.quiet = true;
  command.handle_signals = false;
  rt::TrainResult result;
  check_status(rt::run_train(*instance, command, &result));
}

}  // namespace gradc::fuzz
