// Views of a host's buffers, checked, by name and by position; and training on a host's arrays: the
// bits of the same numbers in a file.
#include "gradc/gradc.h"
#include "gradc/session.h"
#include "tests/unit/driver/c_view.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace gradc::test {
namespace {

constexpr int64_t kRows = 45;

/// Two inputs, one of them whole numbers; dropout, so that draws count; a schedule; a metric.
std::string model_with(const std::string& more = "", const std::string& data = "") {
  return R"({"name": "m", "inputs": [{"name": "x", "shape": [2, 3]}, {"name": "n", "shape": [1], "dtype": "int32"}],
    "layers": [{"type": "flatten", "inputs": ["x"], "name": "flat"},
               {"type": "dense", "units": 9, "activation": "tanh", "name": "a"}, {"type": "dropout", "rate": 0.2, "name": "d"},
               {"type": "embedding", "inputs": ["n"], "input_dim": 5, "output_dim": 3, "name": "e"},
               {"type": "flatten", "name": "f"}, {"type": "concatenate", "inputs": ["d", "f"], "name": "c"},
               {"type": "dense", "units": 3, "name": "y"}],
    "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true}, "metrics": ["accuracy"],
                 "batch_size": 8, "epochs": 3, "seed": 5,
                 "optimizer": {"type": "adam", "learning_rate": {"type": "exponential_decay", "initial_learning_rate": 0.01,
                               "decay_steps": 3, "decay_rate": 0.9}})" +
         more + "}" + data + "}";
}

std::unique_ptr<Session> open(const std::string& text, SessionOptions options = {}) {
  SessionStatus status;
  auto session = Session::parse(text, "m.json", options, &status);
  EXPECT_NE(session, nullptr) << status.message;
  return session;
}

struct Data {
  std::vector<float> x = std::vector<float>(kRows * 6);
  std::vector<int32_t> n = std::vector<int32_t>(kRows), y = std::vector<int32_t>(kRows);
  Data() {
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(0.7F * static_cast<float>(i));
    for (size_t i = 0; i < n.size(); ++i) {
      n[i] = static_cast<int32_t>(i * 7 % 5);
      y[i] = static_cast<int32_t>((i + static_cast<size_t>(n[i])) % 3);
    }
  }
  std::vector<View> inputs(int64_t rows = kRows, int64_t first = 0) const {
    return {View(&x[static_cast<size_t>(first) * 6], {rows, 2, 3}),
            View(&n[static_cast<size_t>(first)], {rows, 1})};
  }
  std::vector<View> targets(int64_t rows = kRows, int64_t first = 0) const {
    return {View(&y[static_cast<size_t>(first)], {rows})};
  }
};

/// Every parameter, state and optimizer state.
std::string everything(Session& session) {
  std::string bytes;
  for (const TensorInfo& tensor : session.tensors()) {
    const auto memory = session.tensor_memory(tensor.name);
    if (tensor.kind != TensorKind::kGradient)
      bytes.append(reinterpret_cast<const char*>(memory.data()), memory.size());
  }
  return bytes;
}

void expect_ok(const SessionStatus& status) {
  EXPECT_TRUE(status.ok()) << status.message;
}

template <class T>
void write_npy(const std::string& path, const char* type, const std::string& shape,
               const std::vector<T>& values) {
  std::string header =
      std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
  while ((10 + header.size() + 1) % 64 != 0)
    header += ' ';
  header += '\n';
  std::ofstream file(path, std::ios::binary);
  file.write("\x93NUMPY\x01\x00", 8);
  const char size[] = {static_cast<char>(header.size() & 255),
                       static_cast<char>(header.size() >> 8)};
  file.write(size, 2);
  file << header;
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(T)));
}

/// The weights that the command trains on these numbers, in files.
std::string trained_by_command(const Scratch& folder, const std::string& model, const Data& data,
                               const std::string& options) {
  std::ofstream(folder / "m.json") << model;
  write_npy(folder / "x.npy", "<f4", "(45, 2, 3)", data.x);
  write_npy(folder / "n.npy", "<i4", "(45, 1)", data.n);
  write_npy(folder / "y.npy", "<i4", "(45,)", data.y);
  const std::string out = folder / "command.safetensors";
  const Outcome run = gradc("train " + (folder / "m.json") + " --input x=" + (folder / "x.npy") +
                            " --input n=" + (folder / "n.npy") +
                            " --target y=" + (folder / "y.npy") + " --out " + out + " " + options);
  EXPECT_EQ(run.code, 0) << run.output;
  return read_file(out);
}

std::string saved(Session& session, const Scratch& folder) {
  const std::string path = folder / "session.safetensors";
  expect_ok(session.save(path));
  return read_file(path);
}

/// Batches of 8 of 45 rows, or of the 36 that a split leaves: a smaller last batch in both.
TEST(Arrays, TrainAsTheCommandDoesOnTheSameNumbersInFiles) {
  const Data data;
  for (const std::string split : {"", "--validation-split 0.2"}) {
    const Scratch folder;
    const std::string expected = trained_by_command(folder, model_with(), data, split);
    const auto session = open(model_with(), {.threads = 2});
    TrainOptions options{.inputs = data.inputs(), .targets = data.targets()};
    if (!split.empty()) options.validation_split = 0.2;
    std::vector<TrainReport> history;
    options.history = &history;
    expect_ok(session->train(options));
    EXPECT_EQ(saved(*session, folder), expected) << split;
    ASSERT_EQ(history.size(), 3U);
    EXPECT_EQ(history[2].step, split.empty() ? 18 : 15);
    EXPECT_EQ(history[2].has_validation, !split.empty());
    EXPECT_EQ(history[2].metrics.size(), 1U);
  }
}

/// The "data" section, statistics of the rows that are trained on among it, and bytes.
TEST(Arrays, AreAsInFilesWhereThatIsAskedFor) {
  const std::string model = model_with("", R"(, "data": {"x": {"standardize": true}})");
  const Data data;
  const Scratch folder;
  const std::string expected =
      trained_by_command(folder, model, data, "--validation-split 0.2 --epochs 2");
  const auto session = open(model);
  TrainOptions options{.inputs = data.inputs(),
                       .targets = data.targets(),
                       .as_in_files = true,
                       .epochs = 2,
                       .validation_split = 0.2};
  expect_ok(session->train(options));
  EXPECT_EQ(saved(*session, folder), expected);
  // Else they are what the network is given: other numbers.
  options.as_in_files = false;
  expect_ok(session->train(options));
  EXPECT_NE(saved(*session, folder), expected);
  // f64 is for files alone.
  const std::vector<double> wide(data.x.begin(), data.x.end());
  options.inputs[0] = View(wide.data(), {kRows, 2, 3});
  EXPECT_NE(session->train(options).message.find("input \"x\" is of type f64, f32 was expected"),
            std::string::npos);
  options.as_in_files = true;
  expect_ok(session->train(options));
  EXPECT_EQ(saved(*session, folder), expected);
}

/// A loop of steps by hand is the same training: what go_on begins with is what the session has.
TEST(Arrays, GoOnFromTheWeightsOfTheSession) {
  const Data data;
  const auto by_hand = open(model_with()), by_train = open(model_with());
  const TrainOptions options{.inputs = data.inputs(),
                             .targets = data.targets(),
                             .epochs = 1,
                             .shuffle = false,
                             .go_on = true};
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (int64_t first = 0; first < kRows; first += 8) {
      const int64_t rows = std::min<int64_t>(8, kRows - first);
      expect_ok(by_hand->step(data.inputs(rows, first), data.targets(rows, first)));
    }
    expect_ok(by_train->train(options));
    EXPECT_EQ(everything(*by_hand), everything(*by_train)) << epoch;
  }
}

TEST(Arrays, AnotherBatchSizeSharesWeights) {
  const Data data;
  const auto session = open(model_with()), exact = open(model_with(), {.batch_size = 11});
  for (Session* one : {session.get(), exact.get()}) {
    expect_ok(one->set_hyperparameter("beta_1", 0.8));
    expect_ok(one->train({.inputs = data.inputs(),
                          .targets = data.targets(),
                          .epochs = 2,
                          .batch_size = 11,
                          .seed = 9}));
    expect_ok(one->train({.inputs = data.inputs(),
                          .targets = data.targets(),
                          .epochs = 1,
                          .batch_size = 11,
                          .go_on = true}));
  }
  EXPECT_EQ(everything(*session), everything(*exact));
  EXPECT_EQ(session->batch_size(), 8);
  EXPECT_FALSE(
      session->train({.inputs = data.inputs(), .targets = data.targets(), .batch_size = -1}).ok());
}

/// Rows of validation of their own; early stopping, callbacks and the seed as for files.
TEST(Arrays, ValidateAndStop) {
  const Data data;
  const auto session = open(model_with(R"(, "early_stopping": {"patience": 2, "min_delta": 100})"));
  std::vector<TrainReport> history;
  TrainOptions options{.inputs = data.inputs(30),
                       .targets = data.targets(30),
                       .validation_inputs = data.inputs(15, 30),
                       .validation_targets = data.targets(15, 30),
                       .epochs = 50};
  options.history = &history;
  expect_ok(session->train(options));
  EXPECT_EQ(history.size(), 3U);  // the first is the best, two more are waited for
  float loss = 0, accuracy = 0;
  expect_ok(session->evaluate(data.inputs(15, 30), data.targets(15, 30), &loss, {&accuracy, 1}));
  EXPECT_FLOAT_EQ(static_cast<float>(history.back().validation_loss), loss);
  EXPECT_FLOAT_EQ(static_cast<float>(history.back().validation_metrics[0]), accuracy);
  int steps = 0;
  options.on_step = [&](const TrainReport& report) { return ++steps < 3 && report.step < 9; };
  expect_ok(session->train(options));
  EXPECT_EQ(steps, 3);
}

TEST(Arrays, OfADataSetAreCheckedBeforeTraining) {
  const Data data;
  const auto session = open(model_with());
  const std::string before = everything(*session);
  const auto told = [&](const TrainOptions& options, const std::string& text) {
    const SessionStatus status = session->train(options);
    EXPECT_EQ(status.code, SessionCode::kError);
    EXPECT_NE(status.message.find(text), std::string::npos) << status.message;
    EXPECT_EQ(everything(*session), before);
  };
  told({.data = "d.csv", .inputs = data.inputs(), .targets = data.targets()}, "both were given");
  told({.data = "d.csv", .validation_inputs = data.inputs()}, "both were given");
  told({}, "there is nothing to train on");
  told({.inputs = data.inputs()}, "0 targets were given, the model has 1");
  told({.inputs = data.inputs(), .targets = data.targets(30)},
       "target \"y\" has 30 rows, input \"x\" has 45");
  told({.inputs = data.inputs(), .targets = data.targets(), .validation_inputs = data.inputs()},
       "of the validation arrays");
  Data bad;
  bad.y[41] = 3;
  bad.x[12] = std::nanf("");
  told({.inputs = bad.inputs(), .targets = bad.targets(), .go_on = true},
       "input \"x\": example 2, value 0 is nan");
  told({.inputs = bad.inputs(), .targets = bad.targets(), .go_on = true},
       "target \"y\": example 41 is 3");
}

TEST(Views, AreByNameOrByPosition) {
  const Data data;
  const auto session = open(model_with());
  std::vector<float> one(8 * 3), other(8 * 3);
  const View x("x", data.x.data(), {8, 2, 3}), n("input/n", data.n.data(), {8, 1});
  expect_ok(session->predict({n, x}, {MutableView("y", one.data(), {8, 3})}));
  expect_ok(session->predict(data.inputs(8), {MutableView(other.data(), {8, 3})}));
  EXPECT_EQ(one, other);
  expect_ok(session->predict(std::vector<const void*>{data.x.data(), data.n.data()},
                             std::vector<void*>{other.data()}));
  EXPECT_EQ(one, other);
  const MutableView kernel = session->tensor("a/kernel");
  EXPECT_EQ(kernel.dtype, "f32");
  ASSERT_EQ(kernel.shape.count(), 2U);
  EXPECT_EQ(kernel.shape.values()[1], 9);
  EXPECT_EQ(kernel.as<float>().data(), session->parameter("a/kernel").data());
  EXPECT_TRUE(kernel.as<int32_t>().empty());
  EXPECT_EQ(session->tensor("nobody").data, nullptr);
}

/// What does not fit names the tensor, what it needs and what it was given; nothing changes.
TEST(Views, ThatDoNotFitAreTold) {
  const Data data;
  const auto session = open(model_with());
  const std::string before = everything(*session);
  const std::vector<double> wide(8 * 6);
  const View x(data.x.data(), {8, 2, 3}), n(data.n.data(), {8, 1}), y(data.y.data(), {8});
  const View x_by_name("x", data.x.data(), {8, 2, 3});
  std::vector<float> out(8 * 3);
  const auto told = [&](const SessionStatus& status, const std::string& text) {
    EXPECT_EQ(status.code, SessionCode::kError);
    EXPECT_NE(status.message.find(text), std::string::npos) << status.message;
  };
  told(session->step({View(wide.data(), {8, 2, 3}), n}, {y}),
       "error: input \"x\" is of type f64, f32 was expected\n");
  told(session->step({View(data.x.data(), {8, 6}), n}, {y}),
       "error: input \"x\" has the shape [8, 6], [rows, 2, 3] was expected\n");
  told(session->step({x, View(data.x.data(), {8})}, {y}), "input \"n\" is of type f32, i32 was");
  told(session->step({x, View(data.x.data(), {8})}, {y}),
       "input \"n\" has the shape [8], [rows, 1]");
  told(session->step({x, n}, {View(data.y.data(), {7})}),
       "error: target \"y\" has 7 rows, input \"x\" has 8\n");
  told(session->step({x_by_name, View("m", data.n.data(), {8, 1})}, {y}),
       "error: there is no input \"m\", the model has \"x\", \"n\"\n");
  told(session->step({x_by_name, View("m", data.n.data(), {8, 1})}, {y}), "input \"n\" is missing");
  told(session->step({x_by_name, x_by_name}, {y}), "the input \"x\" is given twice");
  told(session->step({x_by_name, n}, {y}), "some of the inputs are named and some are not");
  told(session->step({x}, {y}), "1 inputs were given, the model has 2");
  told(session->step({View(data.x.data(), {9, 2, 3}), View(data.n.data(), {9, 1})},
                     {View(data.y.data(), {9})}),
       "rows is 9");
  told(session->step({View(data.x.data(), {-1, 2, 3}), n}, {y}), "has the shape [-1, 2, 3]");
  told(session->step({View(static_cast<const float*>(nullptr), {8, 2, 3}), n}, {y}),
       "input \"x\" is NULL");
  told(session->predict({x, n}, {MutableView(out.data(), {8, 4})}),
       "output \"y\" has the shape [8, 4], [rows, 3] was expected");
  told(session->predict({x, n}, {MutableView(out.data(), {5, 3})}), "output \"y\" has 5 rows");
  told(session->forward({x, n}, {MutableView(out.data(), {5, 3})}), "output \"y\" has 5 rows");
  told(session->backward({x, n}, {View(data.y.data(), {8, 3})}),
       "gradient of the output \"y\" is of type i32, f32 was expected");
  told(session->gradients({x, n}, {y}, nullptr, {.inputs = {MutableView(out.data(), {8, 3})}}),
       "gradient of the input \"x\" has the shape [8, 3], [rows, 2, 3] was expected");
  const int64_t nine[] = {8, 2, 3, 1, 1, 1, 1, 1, 1};
  told(session->step({View(data.x.data(), Extents(std::span<const int64_t>(nine))), n}, {y}),
       "input \"x\" has the shape");
  EXPECT_EQ(everything(*session), before);
  expect_ok(session->step({x, n}, {y}));
}

/// The C door: the same function, the same bits and texts.
TEST(Arrays, TrainThroughTheCDoor) {
  const Data data;
  const auto same = open(model_with());
  expect_ok(same->train({.inputs = data.inputs(30),
                         .targets = data.targets(30),
                         .validation_inputs = data.inputs(15, 30),
                         .validation_targets = data.targets(15, 30),
                         .epochs = 2,
                         .batch_size = 10,
                         .shuffle = false,
                         .seed = 4,
                         .go_on = true}));
  char error[1024] = "";
  gradc_session* session = gradc_session_parse(model_with().c_str(), nullptr, error, sizeof error);
  ASSERT_NE(session, nullptr) << error;
  const int64_t shapes[][3] = {{30, 2, 3}, {30, 1, 0}, {15, 2, 3}, {15, 1, 0}};
  const auto view = [](const char* name, const char* dtype, const int64_t* shape, int32_t rank,
                       const void* data_of) {
    return gradc_view{name, dtype, shape, rank, const_cast<void*>(data_of)};
  };
  const gradc_view inputs[] = {view("n", "i32", shapes[1], 2, data.n.data()),
                               view("x", "f32", shapes[0], 3, data.x.data())};
  const gradc_view targets[] = {view(nullptr, "i32", shapes[1], 1, data.y.data())};
  const gradc_view held[] = {view(nullptr, "f32", shapes[2], 3, &data.x[30 * 6]),
                             view(nullptr, "i32", shapes[3], 2, &data.n[30])};
  const gradc_view held_targets[] = {view("y", "i32", shapes[3], 1, &data.y[30])};
  gradc_train_options options = {};
  options.inputs = inputs;
  options.targets = targets;
  options.validation_inputs = held;
  options.validation_targets = held_targets;
  options.num_inputs = options.num_validation_inputs = 2;
  options.num_targets = options.num_validation_targets = 1;
  options.epochs = 2;
  options.batch_size = 10;
  options.has_shuffle = options.has_seed = options.go_on = 1;
  options.seed = 4;
  double validation = 0;
  options.user = &validation;
  options.on_epoch = [](void* user, const gradc_train_report* report) -> int32_t {
    *static_cast<double*>(user) = report->validation_loss;
    return report->has_validation;
  };
  double losses[2] = {};
  size_t epochs = 0;
  EXPECT_EQ(gradc_session_train(session, &options, losses, 2, &epochs), GRADC_OK)
      << gradc_last_error(session);
  EXPECT_EQ(epochs, 2U);
  EXPECT_GT(validation, 0);
  size_t bytes = 0;
  const void* kernel = gradc_session_memory(session, "a/kernel", &bytes);
  const auto expected = same->tensor_memory("a/kernel");
  ASSERT_EQ(bytes, expected.size());
  EXPECT_EQ(std::memcmp(kernel, expected.data(), bytes), 0);
  options.num_inputs = 1;
  EXPECT_EQ(gradc_session_train(session, &options, losses, 2, &epochs), GRADC_ERROR);
  EXPECT_STREQ(gradc_last_error(session), "error: the input \"x\" is missing\n");
  gradc_session_destroy(session);
}

/// Code for another machine is looked at, and running it is refused.
TEST(Options, ATargetBesideThisMachineIsLookedAt) {
  const Data data;
  const auto session = open(model_with(), {.target = "riscv64-linux-gnu"});
  ASSERT_NE(session, nullptr);
  SessionStatus status;
  EXPECT_NE(session->dump("llvm", "predict", &status).find("target triple = \"riscv64"),
            std::string::npos)
      << status.message;
  EXPECT_NE(session->dump("asm", "train_step", &status).find(".attribute"), std::string::npos);
  for (const SessionStatus& refused :
       {session->step(data.inputs(8), data.targets(8)), session->warm_up(),
        session->train({.inputs = data.inputs(), .targets = data.targets()})}) {
    EXPECT_EQ(refused.code, SessionCode::kError);
    EXPECT_NE(refused.message.find("does not run on this machine"), std::string::npos)
        << refused.message;
  }
  EXPECT_EQ(Session::parse(model_with(), "m.json", {.target = "vax-dec-ultrix"}, &status), nullptr);
  EXPECT_NE(status.message.find("vax"), std::string::npos) << status.message;
}

}  // namespace
}  // namespace gradc::test
