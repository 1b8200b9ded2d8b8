// Doors that need a model: data sets as --data gives them, weights, checkpoints. The model is the
// hand-written one of the runtime's tests, so that no compiler stands between the bytes and the
// door.
#include "runtime/commands.h"
#include "runtime/feed.h"
#include "runtime/library.h"
#include "tests/fuzz/door.h"
#include "tests/unit/runtime/fake_model.h"

#include <array>
#include <string>

namespace gradc::fuzz {

namespace {

using rt::testing::FakeModel;

void check_status(const rt::Status& status) {
  require(status.ok() || !status.text.empty(), "a failure says nothing");
  require(status.code != rt::Code::kInternal, "what is wrong is the input's", status.text.c_str());
}

/// Reads, checks and prepares a data set as the training command does.
void load(const FakeModel& model, const std::string& spec) {
  rt::DataSource source;
  source.spec = rt::Str(spec.c_str());
  for (const rt::TargetNeed need : {rt::TargetNeed::kRequired, rt::TargetNeed::kOptional}) {
    rt::DataSet data;
    const rt::Status status = rt::load_dataset(model.get(), source, need, &data);
    check_status(status);
    if (!status.ok()) continue;
    for (rt::DataPart* part : {&data.train, &data.validation, &data.test}) {
      if (!part->present) continue;
      const rt::Status checked = rt::check_part(model.get(), *part, need);
      check_status(checked);
      if (!checked.ok()) continue;
      const rt::testing::OwnedInstance instance(model.get());
      rt::Feed feed;
      check_status(feed.prepare(*instance, *part, 0, part->rows, true, need));
    }
  }
}

}  // namespace

/// The first byte chooses the model, what happens to its values, and the columns.
void csv_door(std::string_view bytes) {
  const uint8_t choice = take_byte(bytes);
  FakeModel model({.batch = 2, .features = 2, .classes = choice % 2 == 1});
  if (choice % 3 == 1) {
    model.input_data().standardize = GRADC_RT_STANDARDIZE_FROM_DATA;
    model.input_data().stat_count = 2;
  }
  if (choice % 2 == 1) model.target_data().value_count = 3;
  constexpr std::array<const char*, 4> kOptions = {":target=y", ":target=y:drop=d", "",
                                                   ":target=y,z"};
  load(model, file_of("data.csv", bytes) + kOptions[choice / 6 % 4]);
}

void text_door(std::string_view bytes) {
  const uint8_t choice = take_byte(bytes);
  FakeModel model({.batch = 2, .features = 4, .classes = true});
  model.tensor("input/x").dtype = GRADC_RT_I32;
  model.input_data().value_count = 8;
  gradc_rt_tensor& target = model.tensor("target/y");  // a class for each place of the window
  target.rank = 2;
  target.dims[1] = 4;
  target.bytes *= 4;
  load(model, file_of("data.txt", bytes) + (choice % 2 == 0 ? ":chars" : ":bytes"));
}

void weights_door(std::string_view bytes) {
  const FakeModel model;
  const std::string path = file_of("weights.safetensors", bytes);
  gradc_rt_handle* handle = nullptr;
  require(gradc_rt_create(&model.get(), nullptr, 0, 1, &handle) == GRADC_RT_OK,
          "an instance can be made");
  const int status = gradc_rt_load(handle, path.c_str());
  require(status == GRADC_RT_OK || gradc_rt_last_error(handle)[0] != '\0',
          "a failure says nothing");
  gradc_rt_destroy(handle);
}

void checkpoint_door(std::string_view bytes) {
  static const std::string data = file_of("data.csv", "a,b,c,y\n1,2,0,3\n3,4,1,1\n5,7,2,2\n");
  const FakeModel model;
  const std::string path = file_of("checkpoint.safetensors", bytes);
  const rt::testing::OwnedInstance instance(model.get());
  require(instance->initialize(1).ok(), "an instance can be initialised");
  rt::TrainCommand command;
  const std::string spec = data + ":target=y";
  command.data.spec = rt::Str(spec.c_str());
  command.epochs = 2;
  command.checkpoint = path.c_str();
  command.resume = true;
  command.quiet = true;
  command.handle_signals = false;
  rt::TrainResult result;
  check_status(rt::run_train(*instance, command, &result));
}

}  // namespace gradc::fuzz
