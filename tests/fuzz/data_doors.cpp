// Doors that need a model: data sets as --data gives them, weights, checkpoints. The model is the
// hand-written one of the runtime's tests, so that no compiler stands between the bytes and the
// door.
#include "runtime/commands.h"
#include "runtime/dates.h"
#include "runtime/dtype.h"
#include "runtime/epoch_log.h"
#include "runtime/feed.h"
#include "runtime/library.h"
#include "tests/fuzz/door.h"
#include "tests/unit/runtime/fake_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
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

namespace {

/// Everything up to the next line break, which is left out.
std::string take_line(std::string_view& bytes) {
  const size_t size = std::min(bytes.find('\n'), bytes.size());
  std::string line(bytes.substr(0, size));
  bytes.remove_prefix(std::min(size + 1, bytes.size()));
  return line;
}

}  // namespace

/// Columns by a rule: moments "d" in all their parts, names "k", numbers "n" with a flag. The first
/// byte chooses what missing cells become, and whether weights know that already; a line is the
/// format of moments (an empty one: ISO 8601), the next what weights say of missing cells.
void table_door(std::string_view bytes) {
  const uint8_t choice = take_byte(bytes);
  const std::string format = take_line(bytes), fill = take_line(bytes);
  const int64_t missing = choice % 2 == 0 ? GRADC_RT_MISSING_MEAN : GRADC_RT_MISSING_MEDIAN;
  constexpr int64_t kAllParts = 0xA987654321;
  const std::array<gradc_rt_column, 3> columns = {{
      {"d", 0, choice % 4 == 3 ? int64_t{GRADC_RT_MISSING_REFUSED} : missing, 0, nullptr, 1,
       kAllParts, choice / 4 % 2, format.empty() ? nullptr : format.c_str()},
      {"k", 3, GRADC_RT_MISSING_GIVEN, 0, "none", 1, 0, 0, nullptr},
      {"n", 0, missing, 0, nullptr, 1, 0, 0, nullptr},
  }};
  FakeModel model({.batch = 2, .features = 7 + static_cast<int64_t>(rt::date_values(columns[0]))});
  model.input_data().num_columns = std::ssize(columns);
  model.input_data().columns = columns.data();
  rt::DataSource source;
  source.spec = rt::Str((file_of("table.csv", bytes) + ":target=y").c_str());
  rt::Vec<rt::TensorMeaning> known(static_cast<size_t>(model.get().num_tensors));
  for (const char* name : {"d", "k", "n"})
    known[0].columns.push(rt::Str(name));
  for (const char* name : {"a", "", "none"})
    known[0].categories.push(rt::Str(name));
  for (const std::string& text : {fill, std::string(), fill})
    known[0].fill.push(rt::Str(text.c_str(), text.size()));
  rt::DataSet data;
  const rt::Status status = rt::load_dataset(model.get(), source, rt::TargetNeed::kOptional, &data,
                                             choice / 8 % 2 == 1 ? &known : nullptr);
  check_status(status);
  if (!status.ok() || !data.train.present) return;
  const rt::Status checked = rt::check_part(model.get(), data.train, rt::TargetNeed::kOptional);
  check_status(checked);
  if (!checked.ok()) return;
  const rt::Array& table = data.train.arrays[0];
  for (size_t i = 0; i < table.count(); ++i) {
    require(std::isfinite(rt::load_f64(table.data.data(), table.dtype, i)),
            "what is made of cells is a number", bytes);
  }
}

/// What stands in a log when a training of so many epochs goes on: a line is added, whatever stood
/// there, and nothing of what a person wrote is lost; once more changes nothing.
void log_door(std::string_view bytes) {
  const int64_t epochs = take_byte(bytes) % 8;
  const std::string path = file_of("log.jsonl", bytes);
  const auto go_on = [&](int64_t done, const char* line) {
    rt::EpochLog log;
    check_status(log.open(path.c_str(), done, false));
    if (line != nullptr) log.write(rt::Str(line));
    if (line != nullptr) log.amend(rt::Str("\"test_loss\":1"));
    check_status(log.status());
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string line = "{\"epoch\":" + std::to_string(epochs + 1) + "}";
  const std::string once = go_on(epochs, line.c_str());
  const std::string last = line.substr(0, line.size() - 1) + ",\"test_loss\":1}\n";
  require(once.ends_with(last), "the line stands at the end", once);
  require(go_on(epochs + 1, nullptr) == once, "a log that fits stays as it is", once);
  for (std::string_view rest = bytes; rest.find('\n') != std::string_view::npos;) {
    const std::string one = take_line(rest) + "\n";
    const size_t begin = one.find_first_not_of(" \t\r");  // as JSON has it
    require(
        one[begin == std::string::npos ? 0 : begin] == '{' || once.find(one) != std::string::npos,
        "what is not ours is kept", one);
  }
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
