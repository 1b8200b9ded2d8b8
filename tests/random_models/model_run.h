// The calls of one random model by three engines: compiled in this process on any number of
// threads, as a compiled library, and by the interpreter.
#pragma once

#include "driver/compiled_model.h"
#include "ir/tensor.h"
#include "runtime/instance.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gradc::testing {

/// Bytes of results by name: outputs, loss, metrics, parameters, states and optimizer state.
using NamedBytes = std::map<std::string, std::string>;

/// One call of an entry on the first `rows` rows of a batch.
struct EntryCall {
  EntryPoint kind{};
  int64_t rows = 0;
};
/// What every engine runs, in this order: predict, evaluate and a training step on whole batches
/// and on fewer rows, gradients.
std::vector<EntryCall> entry_calls(int64_t batch);

/// The data of a batch, by name of input and target: whole batches, in the model's types.
std::map<std::string, std::string> random_batch(const Model& model, const gradc_rt_model& tables,
                                                uint64_t seed);

struct InstanceDeleter {
  void operator()(rt::Instance* instance) const { rt::Instance::destroy(instance); }
};

/// A live copy of the compiled model.
class JitRun {
 public:
  JitRun(const CompiledModel& model, const std::map<std::string, std::string>& batch, int threads,
         uint64_t seed);
  /// Puts the batch's rows in place; rows beyond `rows` repeat them.
  void prepare(const EntryCall& call);
  void run(const EntryCall& call);
  /// What the call gave (and all lasting tensors after a training step).
  NamedBytes results(const EntryCall& call) const;
  /// The tensor of that name, if the model has it.
  bool read(const std::string& name, const TensorType& type, Tensor* tensor) const;

 private:
  std::unique_ptr<rt::Instance, InstanceDeleter> instance_;
  const std::map<std::string, std::string>& batch_;
};

/// The model as a shared library, compiled, linked and loaded; all calls (but gradients, which
/// libraries do not have) one after the other, results by position of the call.
std::vector<NamedBytes> library_results(const Model& model, const gradc_rt_model& tables,
                                        const std::map<std::string, std::string>& batch,
                                        uint64_t seed, const std::string& folder);

/// Loss and gradients by the interpreter are in doubles; this is what fp32 code may differ by.
/// Compares a call's results, read from `after`, with the interpreter's on the values that `before`
/// holds; says what differs, or nothing.
struct Comparison {
  int numbers = 0;     ///< tensors compared
  int loose = 0;       ///< of them with a bound over 1 % of the magnitude
  double worst = 0.0;  ///< largest difference as a share of its bound
};
class InterpreterRun {
 public:
  /// Interprets the entry on the tensors that the run holds now.
  InterpreterRun(const CompiledModel& model, const EntryCall& call, const JitRun& before,
                 uint64_t seed);
  ~InterpreterRun();
  std::string difference(const JitRun& after, Comparison* comparison) const;
  /// Whether a number is too large for its type: training that runs away gets there long before
  /// doubles do, and what follows tells nothing.
  bool leaves_its_types() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace gradc::testing
