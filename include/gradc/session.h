// gradc's C++ host API: load a model description, have its training step compiled in this process,
// and call it on your own buffers.
//
//   gradc::SessionStatus status;
//   auto session = gradc::Session::load("mnist.json", {.threads = 2}, &status);
//   if (!session) { std::cerr << status.message; return 1; }
//   const gradc::View images(image_batch, {64, 28, 28});  // f32, row-major
//   const gradc::View labels(label_batch, {64});          // i32
//   for (...) status = session->step({images}, {labels}, &loss);
//   status = session->save("weights.safetensors");
//
// Buffers are views (view.h): with type and shape, which are compared with the model's before
// anything is done, and by name or in the model's order; what does not fit is a status that names
// the tensor, what it needs and what it was given. They hold what the network is given: the model's
// "data" section (scale, one_hot, ...) is for files, and for train() where it is asked for.
// A Session is used by one caller at a time; several sessions live side by side, each on a thread
// of its own. They share nothing, unless another() made one of the other. Nothing here ends the
// process: running out of memory or of threads is a status, and no exception leaves a function that
// gives one. In a child of fork() a session with threads of its own says that it cannot be used.
// After warm_up() a step, an evaluation and a prediction allocate nothing and copy nothing but what
// they compute.
#pragma once

#include "gradc/view.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gradc {

/// What kind of thing went wrong: whether another input, another call, or nothing can help.
enum class SessionCode : uint8_t {
  kOk,
  kError,        ///< a diagnosed error in what was given: model, data, files, buffers
  kOutOfMemory,  ///< nothing has changed; the call can be made again
  kInternal,     ///< a defect of gradc's own, to be reported
  kAfterFork,    ///< the session belongs to the process that forked this one
};

/// What went wrong, rendered as the command would print it; ok() when nothing did.
struct SessionStatus {
  std::string message;
  SessionCode code = SessionCode::kOk;
  bool ok() const { return code == SessionCode::kOk; }
};

/// The host's own threads: calls work(i) for each i from 0 to threads - 1, on threads that run at
/// the same time, since they wait for each other within a step, and returns when all have returned.
/// It must not throw.
using RunOnThreads = std::function<void(int threads, const std::function<void(int thread)>& work)>;

struct SessionOptions {
  int64_t batch_size = 0;  ///< 0: the model's own
  int threads = 1;         ///< 0: one per core
  uint64_t seed = 0;       ///< for initial weights, dropout and shuffling
  bool has_seed = false;   ///< false: the model's own seed
  bool checked = false;    ///< see Session::set_checked
  bool cache = false;      ///< keep compiled code between processes, where the command does
  /// Use no instructions beyond this CPU's, as LLVM names it ("x86-64-v3"); empty: all there are.
  std::string cpu{};
  /// Code for this triple ("riscv64-linux-gnu"), of `cpu` on it; empty: this machine. Another's can
  /// be looked at (dump) and not run: what would run it is a status.
  std::string target{};
  /// Bytes that the arena of each entry may have; where it is not enough for a training step, parts
  /// of the forward pass are computed again. 0: as many as are fastest.
  int64_t memory_budget = 0;
  RunOnThreads run{};  ///< in place of threads of the session's own
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
  kCarried,         ///< what a stateful layer hands from one batch to the next
  kInputGradient,   ///< of each input of floating point: what gradients() and backward() write
  kOutputGradient,  ///< of each output of floating point: what backward() reads
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

/// Training up to the end of a step, or of an epoch; numbers are means over the epoch.
struct TrainReport {
  int64_t epoch = 0;   ///< from 1
  int64_t epochs = 0;  ///< planned
  int64_t step = 0;    ///< of a step: in its epoch, from 1; of an epoch: over all of them
  double loss = 0.0;
  std::vector<double> metrics{};  ///< in the order of tensors()
  bool has_validation = false;    ///< epochs only
  double validation_loss = 0.0;
  std::vector<double> validation_metrics{};
  double seconds = 0.0;  ///< of this epoch
  double examples_per_second = 0.0;
};

struct TrainOptions {
  std::string data{};  ///< as --data of the command: a folder of IDX files, .npz, .safetensors,
                       ///< file.csv:target=COLUMN
  /// Or the host's arrays, in place of `data`: each input and target, of any number of rows, read
  /// where they lie.
  std::vector<View> inputs{};
  std::vector<View> targets{};
  std::vector<View> validation_inputs{};  ///< of them too; none: validation_split of the rows
  std::vector<View> validation_targets{};
  /// The arrays are as a file would hold them: the model's "data" section is applied to them, and
  /// types and shapes may be what files may have. Else they are what the network is given.
  bool as_in_files = false;
  int64_t epochs = 0;      ///< 0: the model's own
  int64_t batch_size = 0;  ///< 0: batch_size(); another has code of its own, kept for the next call
  std::optional<bool> shuffle{};   ///< else the model's own
  std::optional<uint64_t> seed{};  ///< of what is drawn; the session's from then on
  /// From the weights, the optimizer's state and the iteration that the session has; else from
  /// initial ones.
  bool go_on = false;
  double validation_split = -1.0;  ///< negative: the model's own
  std::string weights{};           ///< start from this file; empty: from initial weights
  std::string out{};               ///< the trained weights go here; empty: nowhere
  std::string checkpoint{};        ///< written after each epoch; empty: none
  bool resume = false;             ///< go on from the checkpoint if it exists, with the same bits
  bool overwrite = false;  ///< start anew and replace an existing checkpoint; else that is refused
  std::string log{};       ///< one JSON object per epoch and line; empty: none
  /// After every step and every epoch; false ends training there, in order: files are written, and
  /// that is no error. Empty: not asked. The session must not be used in them, and nothing thrown.
  std::function<bool(const TrainReport&)> on_step{};
  std::function<bool(const TrainReport&)> on_epoch{};
  std::vector<TrainReport>* history = nullptr;  ///< gets every epoch's report; may be null
};

/// Which gradients gradients() and backward() give, and of how many rows.
struct GradientOptions {
  /// Of all parameters, into the session's memory: tensor_memory("gradient/<parameter>"). Moving
  /// averages and carried states then change as in step().
  bool parameters = true;
  /// Of the inputs of floating point, in the order of tensors() or by name, into these buffers of
  /// as many rows as the inputs have; empty: not asked for. If nothing else is, nothing of the
  /// session changes.
  MutableBuffers inputs{};
  int64_t rows = 0;  ///< of bare pointers: 1 to batch_size(); 0: a whole batch
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

  /// One training step, of 1 to batch_size() rows; a whole batch is read in place. *loss (may be
  /// null) gets the loss before the update, the mean over the rows.
  /// A label or index outside its range, or a NaN, is the caller's mistake: unless the session is
  /// checked, an index takes the nearest row that exists, and the loss of such a label is infinite.
  virtual SessionStatus step(const Buffers& inputs, const Buffers& targets,
                             float* loss = nullptr) = 0;

  // ---- training by hand -------------------------------------------------------------------------
  // gradients() and apply_gradients() after it are step(), to the last bit; between them the host
  // may read the gradients, clip them, add or average those of several sessions. What these calls
  // run is compiled when they are first made.

  /// Loss (may be null) and its gradients, in training mode, for rows as step() takes them.
  virtual SessionStatus gradients(const Buffers& inputs, const Buffers& targets,
                                  float* loss = nullptr, const GradientOptions& options = {}) = 0;
  /// The optimizer's step from the gradients of the parameters that are in the session's memory, as
  /// gradients() or backward() left them or the host put them there: clipping, weight decay,
  /// constraints, schedule, and one more optimizer/iteration.
  virtual SessionStatus apply_gradients() = 0;
  /// Outputs in training mode (dropout drawn, normalised by the batch) of at most a batch, for a
  /// loss of the host's own. Changes nothing: backward() on the same rows draws the same.
  virtual SessionStatus forward(const Buffers& inputs, const MutableBuffers& outputs) = 0;
  /// The gradients of what a host makes of the outputs, from its gradients of the outputs of
  /// floating point, in order. The model's loss, its regularizers among it, is left out; a
  /// "training" section is needed for apply_gradients() only.
  virtual SessionStatus backward(const Buffers& inputs, const Buffers& output_gradients,
                                 const GradientOptions& options = {}) = 0;

  /// The optimizer's numbers that may change while training goes on, as its options are named:
  /// "learning_rate" first. A number whose part of the rule the model leaves out (clipping that is
  /// off, momentum of 0) is not among them.
  virtual std::vector<std::string> hyperparameters() const = 0;
  /// What the next step takes; nothing for an unknown name.
  virtual std::optional<double> hyperparameter(const std::string& name) const = 0;
  /// From the next step on, train() included, until it is set again; no file keeps it. A learning
  /// rate takes the place of its schedule; NaN gives it back. The first call of any has the step
  /// compiled once more, reading its numbers; values alone make no new code.
  virtual SessionStatus set_hyperparameter(const std::string& name, double value) = 0;

  /// Another session of the same model and the same code, for another thread, or of another batch
  /// size. With `share_weights` its parameters, states and optimizer state are this session's: both
  /// may predict, evaluate and take gradients at the same time as long as none changes them
  /// (gradients of parameters change moving averages). Else they are initial ones. Sessions may end
  /// in any order; options.cache, cpu and memory_budget are as they were, and so is a seed of
  /// shared weights that is not given.
  virtual std::unique_ptr<Session> another(const SessionOptions& options, bool share_weights,
                                           SessionStatus* status = nullptr) = 0;

  /// A stage of an entry on its way to machine code, as `gradc inspect` prints it: graph, gradient,
  /// optimized, fused, scheduled, planned, kernels, llvm or asm; of train_step, evaluate, predict,
  /// gradients and what else inspect knows. Made anew; empty on failure.
  virtual std::string dump(const std::string& stage, const std::string& entry = "train_step",
                           SessionStatus* status = nullptr) = 0;
  /// What each kernel of the training step takes, measured for about that long, as `gradc bench
  /// --profile` prints it. On weights and data of its own: nothing of the session changes. Empty on
  /// failure.
  virtual std::string profile(double seconds = 1.0, SessionStatus* status = nullptr) = 0;

  /// Checked: step, gradients, forward, backward, evaluate and predict first look at every value
  /// they are given; a label or index outside its range, a NaN or an infinity is an error that
  /// names tensor and row, and nothing changes. Reads all buffers once more.
  virtual void set_checked(bool checked) = 0;
  /// Loss and metrics (in the order of tensors()) of any number of rows, in inference mode and in
  /// batches; metrics are those of all rows together, not means of batches.
  virtual SessionStatus evaluate(const Buffers& inputs, const Buffers& targets, float* loss,
                                 std::span<float> metrics = {}) = 0;
  /// Outputs of any number of rows, in inference mode and in batches, written to the caller's
  /// buffers.
  virtual SessionStatus predict(const Buffers& inputs, const MutableBuffers& outputs) = 0;
  /// Trains as the command does, from files or from the host's arrays: the same bits for the same
  /// numbers. *history (may be null) gets one training loss per epoch.
  virtual SessionStatus train(const TrainOptions& options,
                              std::vector<double>* history = nullptr) = 0;

  /// The memory of a parameter, of a state, or of a parameter's gradient, to read or write in place
  /// between calls; no data for an unknown name.
  virtual MutableView tensor(const std::string& name) = 0;
  /// The same as bytes.
  virtual std::span<std::byte> tensor_memory(const std::string& name) = 0;
  /// The same as floats, for f32 tensors; empty for other types or an unknown name.
  std::span<float> parameter(const std::string& name) { return tensor(name).as<float>(); }

  // ---- bare pointers ----------------------------------------------------------------------------
  // For hosts that lay out their buffers by tensors() alone: in the model's order, each of `rows`
  // rows (0: a whole batch). Their types and sizes are not known here, and so not checked.

  SessionStatus step(std::span<const void* const> inputs, std::span<const void* const> targets,
                     float* loss = nullptr, int64_t rows = 0) {
    return step(Buffers(inputs, rows), Buffers(targets, rows), loss);
  }
  SessionStatus gradients(std::span<const void* const> inputs, std::span<const void* const> targets,
                          float* loss = nullptr, const GradientOptions& options = {}) {
    return gradients(Buffers(inputs, options.rows), Buffers(targets, options.rows), loss, options);
  }
  SessionStatus forward(std::span<const void* const> inputs, std::span<void* const> outputs,
                        int64_t rows = 0) {
    return forward(Buffers(inputs, rows), MutableBuffers(outputs, rows));
  }
  SessionStatus backward(std::span<const void* const> inputs,
                         std::span<const void* const> output_gradients,
                         const GradientOptions& options = {}) {
    return backward(Buffers(inputs, options.rows), Buffers(output_gradients, options.rows),
                    options);
  }
  SessionStatus evaluate(std::span<const void* const> inputs, std::span<const void* const> targets,
                         float* loss, std::span<float> metrics = {}, int64_t rows = 0) {
    return evaluate(Buffers(inputs, rows), Buffers(targets, rows), loss, metrics);
  }
  SessionStatus predict(std::span<const void* const> inputs, std::span<void* const> outputs,
                        int64_t rows = 0) {
    return predict(Buffers(inputs, rows), MutableBuffers(outputs, rows));
  }

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
