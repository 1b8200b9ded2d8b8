// Instance: one live copy of a compiled model: parameters, state, batch buffers, arena, per-thread
// scratch and thread pool. Everything lies in one block (the caller's or allocated); after create()
// running an entry allocates nothing. Instances share nothing and are used by one caller at a time.
#pragma once

#include "runtime/dtype.h"
#include "runtime/meaning.h"
#include "runtime/model_abi.h"
#include "runtime/program.h"
#include "runtime/status.h"
#include "runtime/thread_pool.h"

namespace gradc::rt {

class Instance;

struct InstanceOptions {
  int32_t threads = 1;  // 0 = as many as there are processors
  /// The caller's threads, in place of threads of its own.
  HostThreads host_threads{};
  /// Of the same model, for any batch size: its parameters, states and optimizer state are this
  /// instance's too. It must live longer.
  const Instance* weights_of = nullptr;
};

/// Mean and standard deviation of one input, computed from training data
/// (GRADC_RT_STANDARDIZE_FROM_DATA).
struct DataStatistics {
  bool known = false;
  int64_t count = 0;
  double* mean = nullptr;
  double* std = nullptr;
};

struct SafetensorsFile;

/// Who reads a file of weights, by its path: a host that knows more formats than the core.
struct WeightsReader {
  Status (*read)(const void* self, const char* path, SafetensorsFile* out) = nullptr;
  const void* self = nullptr;
};

/// Who writes an instance's weights in formats that the core does not know.
struct WeightsWriter {
  /// Whether a path's name asks for such a format. What would then be written last goes to
  /// `main_file`, which is told before anything is worked out, as is what the format cannot hold.
  Status (*prepare)(const void* self, const char* path, bool* takes, Str* main_file) = nullptr;
  Status (*write)(const void* self, const Instance& instance, const char* path) = nullptr;
  const void* self = nullptr;
};

class Instance {
 public:
  /// Bytes of memory that create() needs for a model whose entries are all compiled (AOT); for a
  /// lazily compiled model the arena is added later by prepare(), and what hosts' entries have.
  static size_t memory_bytes(const gradc_rt_model& model, int32_t threads);
  /// Makes an instance in `memory` (of `bytes`, any alignment) or, with memory == NULL, in a block
  /// of its own. All tensors are zero until initialize() or a load. Does not compile anything.
  static Status create(const gradc_rt_model& model, const InstanceOptions& options, void* memory,
                       size_t bytes, Instance** out);
  static void destroy(Instance* instance);

  /// Makes an entry runnable: has it compiled if need be, grows the arena. Allocates; call it
  /// before the loop.
  Status prepare(gradc_rt_entry_kind entry);
  bool has_entry(gradc_rt_entry_kind entry) const;
  /// Takes memory for the tensors of a kind that only some entries have, unless they have theirs.
  Status ensure_tensors(gradc_rt_tensor_kind kind);
  /// Whether any entry that there is, or can be, has tensors of such a kind.
  bool has_tensors_of(gradc_rt_tensor_kind kind) const;
  bool is_prepared(gradc_rt_entry_kind entry) const { return entries_[entry].pointers != nullptr; }

  /// Runs a prepared entry on all threads. Never fails, never allocates.
  void run(gradc_rt_entry_kind entry);
  /// Each thread first calls before(context, thread); all meet; then the entry runs.
  void run_after(ThreadPool::Job before, void* context, gradc_rt_entry_kind entry);
  /// Runs it with a clock around every kernel; `times` has one element for each thread.
  void run_timed(gradc_rt_entry_kind entry, ThreadTimes* times);

  /// Sets every parameter, state and optimizer state to its initial value, and the seed of random
  /// ops; what earlier data meant is forgotten.
  Status initialize(uint64_t seed);
  void set_seed(uint64_t seed);
  /// Whether training steps read the optimizer's numbers from its tensors: a host has set one.
  void set_tuned(bool tuned) { tuned_ = tuned; }
  gradc_rt_entry_kind step_entry() const {
    return tuned_ ? GRADC_RT_TUNED_STEP : GRADC_RT_TRAIN_STEP;
  }
  gradc_rt_entry_kind tail_entry() const {
    return tuned_ ? GRADC_RT_TUNED_STEP_TAIL : GRADC_RT_TRAIN_STEP_TAIL;
  }
  /// Stateful layers begin anew: what they carry from batch to batch becomes zeros.
  void reset_carried();
  uint64_t seed() const { return seed_; }

  const gradc_rt_model& model() const { return *model_; }
  size_t num_tensors() const { return static_cast<size_t>(model_->num_tensors); }
  const gradc_rt_tensor& tensor(size_t index) const { return model_->tensors[index]; }
  /// Index of the tensor of that exact name, or -1.
  int64_t find(const char* name) const;
  /// Index of the n-th tensor of a kind, or -1.
  int64_t nth(gradc_rt_tensor_kind kind, int64_t n) const;
  int64_t count_of(gradc_rt_tensor_kind kind) const;

  /// The memory that a tensor's slot points at now.
  void* data(size_t index) const { return slots_[tensor(index).slot]; }
  /// Points the slot of an input, target or output at other memory (of tensor.bytes); NULL restores
  /// the instance's own.
  void bind(size_t index, void* memory);
  /// The scalar in a loss or metric tensor.
  double scalar(size_t index) const;
  /// What the optimizer's numbers are, by the model's order; NaN: a learning rate of the schedule.
  double* hyperparameters() { return hyperparameters_; }
  /// optimizer/iteration, or 0 if the model keeps none.
  int64_t iteration() const;

  /// What columns, classes and characters of the data stand for, one for each tensor; null while no
  /// training and no file has told it.
  const Vec<TensorMeaning>* meanings() const { return meanings_.empty() ? nullptr : &meanings_; }
  /// One for each tensor, or none. The only memory of an instance beside its block and its arena;
  /// taken when data or weights are loaded.
  void set_meanings(Vec<TensorMeaning> meanings) { meanings_.swap(meanings); }

  DataStatistics& statistics(size_t index) { return statistics_[index]; }
  const DataStatistics& statistics(size_t index) const { return statistics_[index]; }

  /// null: safetensors files alone.
  const WeightsReader& weights_reader() const { return weights_reader_; }
  void set_weights_reader(const WeightsReader& reader) { weights_reader_ = reader; }
  const WeightsWriter& weights_writer() const { return weights_writer_; }
  void set_weights_writer(const WeightsWriter& writer) { weights_writer_ = writer; }

  int32_t threads() const { return pool_.count(); }
  /// Whether the host's calls look at the values they are given first (check_rows).
  void set_checked(bool checked) { checked_ = checked; }
  bool checked() const { return checked_; }
  /// False in a child of fork() when the instance has threads: they did not come along.
  bool usable() const { return pool_.usable(); }
  size_t block_bytes() const { return block_bytes_; }
  size_t arena_bytes() const { return arena_bytes_; }
  /// Room for the text of the last error (the C ABI's).
  char* error_text() { return error_text_; }
  static constexpr size_t kErrorTextBytes = 1024;

 private:
  struct Layout;
  /// The pointers of an entry's arguments.
  struct PreparedEntry {
    void** pointers = nullptr;  // null: not prepared
    uint64_t places = 0;        // the places_ that they are of
    void* owned = nullptr;      // added by prepare()
  };
  Instance() = default;
  static Layout plan(const gradc_rt_model& model, int32_t threads, bool shares);
  void place(const Layout& layout, char* base);
  Status grow(const gradc_rt_entry& entry);
  void* const* pointers_of(gradc_rt_entry_kind entry);
  void share(const Instance& other);

  const gradc_rt_model* model_ = nullptr;
  ThreadPool pool_;
  PreparedEntry entries_[GRADC_RT_ENTRY_COUNT];
  uint64_t places_ = 1;  // another whenever a slot or the arena moves
  void** slots_ = nullptr;
  void** own_slots_ = nullptr;
  DataStatistics* statistics_ = nullptr;
  double* hyperparameters_ = nullptr;
  Vec<TensorMeaning> meanings_;
  char* arena_ = nullptr;
  size_t arena_bytes_ = 0;
  char* scratch_ = nullptr;
  size_t scratch_stride_ = 0;
  size_t block_bytes_ = 0;
  uint64_t seed_ = 0;
  bool checked_ = false;
  bool shares_ = false;  // weights of another
  bool tuned_ = false;
  WeightsReader weights_reader_;
  WeightsWriter weights_writer_;
  void* owned_block_ = nullptr;  // freed by destroy(); NULL when the caller gave the memory
  void* owned_arena_ = nullptr;  // an arena that prepare() had to add
  void* owned_scratch_ = nullptr;
  void* owned_tensors_[GRADC_RT_TENSOR_KIND_COUNT] = {};  // that ensure_tensors() had to add
  char error_text_[kErrorTextBytes] = {};
};

}  // namespace gradc::rt
