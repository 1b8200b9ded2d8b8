// gradc's C++ host API: load a model description, have its training step compiled in this process,
// and call it on your own buffers.
//
//   gradc::SessionStatus status;
//   auto session = gradc::Session::load("mnist.json", {.threads = 2}, &status);
//   if (!session) { std::cerr << status.message; return 1; }
//   const void* images[] = {image_batch};   // f32[64x28x28], row-major
//   const void* labels[] = {label_batch};   // i32[64]
//   for (...) status = session->step(images, labels, &loss);
//   status = session->save("weights.safetensors");
//
// Buffers hold what the network is given: the model's "data" section (scale, one_hot, ...) is for
// files, train() applies it and step() does not.
// A Session is used by one caller at a time; several sessions live side by side and share nothing.
// Nothing here ends the process: running out of memory or of threads is a status, and no exception
// leaves a function that gives one. In a child of fork() a session with threads of its own says
// that it cannot be used. After warm_up() a step, an evaluation and a prediction allocate nothing
// and copy nothing but what they compute.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gradc {

/// What went wrong, rendered as the command would print it; ok() when nothing did.
struct SessionStatus {
  std::string message;
  bool ok() const { return message.empty(); }
};

struct SessionOptions {
  int64_t batch_size = 0;  ///< 0: the model's own
  int threads = 1;         ///< 0: one per core
  uint64_t seed = 0;       ///< for initial weights, dropout and shuffling
  bool has_seed = false;   ///< false: the model's own seed
  bool checked = false;    ///< see Session::set_checked
  bool cache = false;      ///< keep compiled code between processes, where the command does
};

enum class TensorKind : uint8_t {
  kParameter,
  kState,
  kOptimizerState,
  kInput,
  kTarget,
  kOutput,
  kLoss,
  kMetric,
  kGradient,
  kCarried,  ///< what a stateful layer hands from one batch to the next
};

/// One named tensor of a model. Dense, row-major, channels-last; names are Keras's
/// ("dense_1/kernel").
struct TensorInfo {
  std::string name;
  TensorKind kind{};
  std::string dtype;           ///< "f32", "i32", ...
  std::vector<int64_t> shape;  ///< inputs, targets and outputs: with the batch first
  int64_t bytes = 0;
};

struct TrainOptions {
  std::string data;    ///< as --data of the command: a folder of IDX files, .npz, .safetensors,
                       ///< file.csv:target=COLUMN
  int64_t epochs = 0;  ///< 0: the model's own
  double validation_split = -1.0;  ///< negative: the model's own
  std::string weights{};           ///< start from this file; empty: from initial weights
  std::string out{};               ///< the trained weights go here; empty: nowhere
  std::string checkpoint{};        ///< written after each epoch; empty: none
  bool resume = false;             ///< go on from the checkpoint if it exists, with the same bits
  bool overwrite = false;  ///< start anew and replace an existing checkpoint; else that is refused
  std::string log{};       ///< one JSON object per epoch and line; empty: none
};

class Session {
 public:
  /// Reads and checks a model file. On failure returns null and puts all its problems into *status.
  static std::unique_ptr<Session> load(const std::string& path, const SessionOptions& options = {},
                                       SessionStatus* status = nullptr);
  /// The same from JSON text; `name` stands for the file in messages.
  static std::unique_ptr<Session> parse(const std::string& json, const std::string& name,
                                        const SessionOptions& options = {},
                                        SessionStatus* status = nullptr);
  virtual ~Session() = default;

  /// Compiles train_step, evaluate and predict now (else each is compiled at its first use) and
  /// allocates their memory. What batches of fewer rows need is compiled when the first one comes.
  virtual SessionStatus warm_up() = 0;
  virtual int64_t batch_size() const = 0;
  virtual std::vector<TensorInfo> tensors() const = 0;
  /// Milliseconds spent compiling so far.
  virtual double compile_milliseconds() const = 0;

  /// One training step. inputs and targets are in the model's order; a whole batch is read in
  /// place. rows is 1 to batch_size(), or 0 for a whole batch; buffers hold that many rows of what
  /// tensors() states. *loss (may be null) gets the loss before the update, the mean over the rows.
  /// A label or index outside its range, or a NaN, is the caller's mistake: unless the session is
  /// checked, an index takes the nearest row that exists, and the loss of such a label is infinite.
  virtual SessionStatus step(std::span<const void* const> inputs,
                             std::span<const void* const> targets, float* loss = nullptr,
                             int64_t rows = 0) = 0;
  /// Checked: step, evaluate and predict first look at every value they are given; a label or index
  /// outside its range, a NaN or an infinity is an error that names tensor and row, and nothing
  /// changes. Reads all buffers once more.
  virtual void set_checked(bool checked) = 0;
  /// Loss and metrics (in the order of tensors()) of any number of rows, in inference mode and in
  /// batches; metrics are those of all rows together, not means of batches.
  virtual SessionStatus evaluate(std::span<const void* const> inputs,
                                 std::span<const void* const> targets, float* loss,
                                 std::span<float> metrics = {}, int64_t rows = 0) = 0;
  /// Outputs of any number of rows, in inference mode and in batches, written to the caller's
  /// buffers.
  virtual SessionStatus predict(std::span<const void* const> inputs, std::span<void* const> outputs,
                                int64_t rows = 0) = 0;
  /// Trains as the command does, from files; *history (may be null) gets one training loss per
  /// epoch.
  virtual SessionStatus train(const TrainOptions& options,
                              std::vector<double>* history = nullptr) = 0;

  /// The memory of a parameter or state, to read or write in place between calls; empty for an
  /// unknown name.
  virtual std::span<std::byte> tensor_memory(const std::string& name) = 0;
  /// The same as floats, for f32 tensors; empty for other types or an unknown name.
  virtual std::span<float> parameter(const std::string& name) = 0;

  /// Sets all parameters and states to their initial values.
  virtual SessionStatus initialize(uint64_t seed) = 0;
  /// Stateful layers begin anew: what they carry from batch to batch becomes zeros. train() and the
  /// data set calls do so themselves, at every epoch's start.
  virtual SessionStatus reset_states() = 0;
  /// safetensors: parameters and states; with_optimizer adds the optimizer's, to go on training
  /// later.
  virtual SessionStatus save(const std::string& path, bool with_optimizer = false) = 0;
  /// All that the file has, or without the optimizer's state and iteration, which then stay as they
  /// are. With them training goes on where it was saved.
  virtual SessionStatus load_weights(const std::string& path, bool with_optimizer = true) = 0;

  /// What numbers stand for, in their order, as the training data or the weights file told it:
  /// classes of an output, columns of an input from a table, the bytes of a text's characters.
  /// Empty where nothing is known, or for an unknown name. save() keeps them.
  virtual std::vector<std::string> classes(const std::string& output) const = 0;
  virtual std::vector<std::string> columns(const std::string& input) const = 0;
  virtual std::vector<std::string> characters(const std::string& input) const = 0;
  /// Loss and metrics (may be empty) over a data set, as the command's eval: columns, classes and
  /// characters are matched by name with what the session knows, or refused.
  virtual SessionStatus evaluate_data(const std::string& data, double* loss,
                                      std::span<double> metrics = {}) = 0;
  /// Outputs for a data set, matched likewise, into a .npy, .safetensors or .csv file.
  virtual SessionStatus predict_data(const std::string& data, const std::string& out) = 0;
};

}  // namespace gradc
