// Memory layout of an instance, in one block: the object, slot tables, statistics, the optimizer's
// numbers, the pointers of entries' arguments, tensors, arena, scratch; each part aligned to
// GRADC_RT_ALIGNMENT. Tensors that only some entries have are placed when one of those is there.
#include "runtime/instance.h"

#include "runtime/hyperparameters.h"
#include "runtime/processor.h"
#include "runtime/program.h"

#include <cstdlib>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace gradc::rt {
namespace {

constexpr size_t kAlign = GRADC_RT_ALIGNMENT;

size_t align_up(size_t bytes) {
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

/// Parameters, states and optimizer state: what another instance may have.
bool is_weight(const gradc_rt_tensor& tensor) {
  return tensor.kind == GRADC_RT_PARAMETER || tensor.kind == GRADC_RT_STATE ||
         tensor.kind == GRADC_RT_OPTIMIZER_STATE;
}

/// Whether an entry has tensors of a kind that not all have.
bool has_tensors(gradc_rt_entry_kind entry, gradc_rt_tensor_kind kind) {
  const bool of_gradients =
      entry >= GRADC_RT_LOSS_TO_PARAMETERS && entry <= GRADC_RT_OUTPUTS_TO_ALL_TAIL;
  const int pair = of_gradients ? (entry - GRADC_RT_LOSS_TO_PARAMETERS) / 2 : -1;  // with its tail
  switch (kind) {
    case GRADC_RT_GRADIENT:
      return entry == GRADC_RT_GRADIENTS || entry == GRADC_RT_APPLY_GRADIENTS ||
             (of_gradients && pair % 3 != 1);
    case GRADC_RT_INPUT_GRADIENT:
      return of_gradients && pair % 3 != 0;
    case GRADC_RT_OUTPUT_GRADIENT:
      return of_gradients && entry >= GRADC_RT_OUTPUTS_TO_PARAMETERS;
    case GRADC_RT_NUMBER:
      return entry == GRADC_RT_LEARNING_RATE ||
             (entry >= GRADC_RT_TUNED_STEP && entry <= GRADC_RT_APPLY_GRADIENTS);
    case GRADC_RT_STEP:
      return entry == GRADC_RT_STEP_ENTRY;
    default:
      return false;
  }
}

/// A host compiles its entries when it calls them: prepare() takes memory for them then. The
/// entries of a compiled library are all there, and nothing is taken later.
bool comes_later(const gradc_rt_model& model, gradc_rt_entry_kind entry) {
  return model.ensure_entry != nullptr && entry >= GRADC_RT_TUNED_STEP;
}

/// Not in the block: weights of another instance; tensors that only some entries have, unless one
/// of those is compiled before. Those of the step always wait for prepare(), for only programs that
/// generate have them.
bool is_elsewhere(const gradc_rt_model& model, const gradc_rt_tensor& tensor, bool shares) {
  const auto kind = static_cast<gradc_rt_tensor_kind>(tensor.kind);
  switch (kind) {
    case GRADC_RT_STEP:
      return true;
    case GRADC_RT_GRADIENT:
    case GRADC_RT_INPUT_GRADIENT:
    case GRADC_RT_OUTPUT_GRADIENT:
    case GRADC_RT_NUMBER:
      for (int e = 0; e < GRADC_RT_ENTRY_COUNT; ++e) {
        const auto entry = static_cast<gradc_rt_entry_kind>(e);
        if (model.entries[e].compiled != 0 && !comes_later(model, entry) &&
            has_tensors(entry, kind))
          return false;
      }
      return true;
    default:
      return shares && is_weight(tensor);
  }
}

int32_t resolve_threads(int32_t threads) {
  const int32_t wanted = threads > 0 ? threads : available_processors();
  return wanted > ThreadPool::kMaxThreads ? ThreadPool::kMaxThreads : wanted;
}

/// One pointer for each argument, and never nothing: a table says that the entry is prepared.
size_t pointer_bytes(const gradc_rt_entry& entry) {
  if (entry.compiled == 0) return 0;
  return (static_cast<size_t>(entry.num_arguments) + 1) * sizeof(void*);
}

size_t block_pointer_bytes(const gradc_rt_model& model, int entry) {
  return comes_later(model, static_cast<gradc_rt_entry_kind>(entry))
             ? 0
             : pointer_bytes(model.entries[entry]);
}

int64_t statistics_count(const gradc_rt_tensor& tensor) {
  const bool from_data =
      tensor.data != nullptr && tensor.data->standardize == GRADC_RT_STANDARDIZE_FROM_DATA;
  return from_data ? tensor.data->stat_count : 0;
}

}  // namespace

struct Instance::Layout {
  size_t slots = 0;
  size_t own_slots = 0;
  size_t statistics = 0;
  size_t statistics_values = 0;
  size_t hyperparameters = 0;
  size_t pointers = 0;
  size_t tensors = 0;
  size_t arena = 0;
  size_t arena_bytes = 0;
  size_t scratch = 0;
  size_t scratch_stride = 0;
  size_t total = 0;
};

Instance::Layout Instance::plan(const gradc_rt_model& model, int32_t threads, bool shares) {
  Layout layout;
  size_t at = 0;
  const auto take = [&at](size_t bytes) {
    const size_t offset = at;
    at += align_up(bytes);
    return offset;
  };
  take(sizeof(Instance));
  const size_t num_slots = static_cast<size_t>(model.num_slots);
  const size_t num_tensors = static_cast<size_t>(model.num_tensors);
  layout.slots = take(num_slots * sizeof(void*));
  layout.own_slots = take(num_slots * sizeof(void*));
  layout.statistics = take(num_tensors * sizeof(DataStatistics));
  size_t values = 0;
  for (size_t i = 0; i < num_tensors; ++i)
    values += 2 * static_cast<size_t>(statistics_count(model.tensors[i]));
  layout.statistics_values = take(values * sizeof(double));
  layout.hyperparameters = take(static_cast<size_t>(model.num_hyperparameters) * sizeof(double));
  layout.pointers = at;
  for (int e = 0; e < GRADC_RT_ENTRY_COUNT; ++e)
    take(block_pointer_bytes(model, e));
  layout.tensors = at;
  for (size_t i = 0; i < num_tensors; ++i) {
    if (!is_elsewhere(model, model.tensors[i], shares))
      take(static_cast<size_t>(model.tensors[i].bytes));
  }
  for (int e = 0; e < GRADC_RT_ENTRY_COUNT; ++e) {
    const gradc_rt_entry& entry = model.entries[e];
    if (entry.compiled == 0) continue;
    const size_t arena = align_up(static_cast<size_t>(entry.arena_bytes));
    const size_t scratch = align_up(static_cast<size_t>(entry.scratch_bytes));
    if (arena > layout.arena_bytes) layout.arena_bytes = arena;
    if (scratch > layout.scratch_stride) layout.scratch_stride = scratch;
  }
  layout.arena = take(layout.arena_bytes);
  layout.scratch = take(layout.scratch_stride * static_cast<size_t>(threads));
  layout.total = at;
  return layout;
}

size_t Instance::memory_bytes(const gradc_rt_model& model, int32_t threads) {
  return plan(model, resolve_threads(threads), false).total + kAlign -
         1;  // the caller's may be unaligned
}

void Instance::place(const Layout& layout, char* base) {
  slots_ = reinterpret_cast<void**>(base + layout.slots);
  own_slots_ = reinterpret_cast<void**>(base + layout.own_slots);
  statistics_ = reinterpret_cast<DataStatistics*>(base + layout.statistics);
  double* values = reinterpret_cast<double*>(base + layout.statistics_values);
  char* next = base + layout.pointers;
  for (int e = 0; e < GRADC_RT_ENTRY_COUNT; ++e) {
    const size_t bytes = block_pointer_bytes(*model_, e);
    if (bytes > 0) entries_[e].pointers = reinterpret_cast<void**>(next);
    next += align_up(bytes);
  }
  hyperparameters_ = reinterpret_cast<double*>(base + layout.hyperparameters);
  for (int64_t i = 0; i < model_->num_hyperparameters; ++i)
    hyperparameters_[i] = model_->hyperparameters[i].value;
  next = base + layout.tensors;
  bool has_numbers = false;
  for (size_t i = 0; i < num_tensors(); ++i) {
    DataStatistics* statistics = new (static_cast<void*>(&statistics_[i])) DataStatistics;
    statistics->count = statistics_count(tensor(i));
    statistics->mean = values;
    statistics->std = values + statistics->count;
    values += 2 * statistics->count;
    if (is_elsewhere(*model_, tensor(i), shares_)) continue;
    slots_[tensor(i).slot] = own_slots_[tensor(i).slot] = next;
    next += align_up(static_cast<size_t>(tensor(i).bytes));
    has_numbers = has_numbers || tensor(i).kind == GRADC_RT_NUMBER;
  }
  if (has_numbers) write_numbers(*this);
  arena_ = base + layout.arena;
  arena_bytes_ = layout.arena_bytes;
  scratch_ = base + layout.scratch;
  scratch_stride_ = layout.scratch_stride;
  block_bytes_ = layout.total;
}

namespace {

/// Memory for tensors, to be freed with free(); null when there is none. Large blocks ask for huge
/// pages: a step walks through all of its parameters, and with small pages most of the time a miss
/// of the caches is a miss of the translation too.
void* allocate(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  if (bytes < 2 * kHugePage) return aligned_alloc(kAlign, align_up(bytes));
  const size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* block = aligned_alloc(kHugePage, rounded);
#if defined(__linux__)
  if (block != nullptr) (void)madvise(block, rounded, MADV_HUGEPAGE);
#endif
  return block;
}

}  // namespace

Status Instance::create(const gradc_rt_model& model, const InstanceOptions& options, void* memory,
                        size_t bytes, Instance** out) {
  *out = nullptr;
  if (model.abi_version != GRADC_RT_ABI_VERSION) {
    return internal_error("the model was compiled for runtime ABI %lld, this runtime has %d",
                          static_cast<long long>(model.abi_version), GRADC_RT_ABI_VERSION);
  }
  GRADC_RT_TRY(check_processor(model));
  const int32_t threads = resolve_threads(options.threads);
  const Layout layout = plan(model, threads, options.weights_of != nullptr);
  const size_t need = layout.total + kAlign - 1;
  void* owned = nullptr;
  if (memory == nullptr) {
    bytes = need;
    memory = owned = allocate(need);
    if (owned == nullptr) return error("out of memory: the model needs %zu bytes", need);
  }
  if (bytes < need) {
    return error("the memory given has %zu bytes, the model needs %zu", bytes, need);
  }
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory);
  char* base = static_cast<char*>(memory) + (align_up(address) - address);
  memset(base, 0, layout.total);
  Instance* instance = new (static_cast<void*>(base)) Instance;
  instance->model_ = &model;
  instance->owned_block_ = owned;
  instance->shares_ = options.weights_of != nullptr;
  instance->place(layout, base);
  if (options.weights_of != nullptr) instance->share(*options.weights_of);
  Status status = options.host_threads.run != nullptr
                      ? instance->pool_.start(threads, options.host_threads)
                      : instance->pool_.start(threads);
  if (!status.ok()) {
    destroy(instance);
    return status;
  }
  instance->pool_.set_scratch(instance->scratch_, instance->scratch_stride_);
  *out = instance;
  return {};
}

void Instance::destroy(Instance* instance) {
  if (instance == nullptr) return;
  void* block = instance->owned_block_;
  free(instance->owned_arena_);
  free(instance->owned_scratch_);
  for (void* owned : instance->owned_tensors_)
    free(owned);
  for (PreparedEntry& entry : instance->entries_)
    free(entry.owned);
  instance->~Instance();
  free(block);
}

bool Instance::has_entry(gradc_rt_entry_kind entry) const {
  return model_->ensure_entry != nullptr || model_->entries[entry].compiled != 0;
}

/// What has a value of its own for every instance stays apart: the seed, carried states.
void Instance::share(const Instance& other) {
  for (size_t i = 0; i < num_tensors(); ++i) {
    if (!is_weight(tensor(i))) continue;
    const int64_t index = other.find(tensor(i).name);
    if (index < 0) continue;
    void* const memory = other.data(static_cast<size_t>(index));
    slots_[tensor(i).slot] = own_slots_[tensor(i).slot] = memory;
  }
}

Status Instance::grow(const gradc_rt_entry& entry) {
  const size_t arena = align_up(static_cast<size_t>(entry.arena_bytes));
  if (arena > arena_bytes_) {
    void* fresh = allocate(arena);
    if (fresh == nullptr) return error("out of memory: the arena needs %zu bytes", arena);
    free(owned_arena_);
    owned_arena_ = fresh;
    arena_ = static_cast<char*>(fresh);
    arena_bytes_ = arena;
    ++places_;
  }
  const size_t scratch = align_up(static_cast<size_t>(entry.scratch_bytes));
  if (scratch > scratch_stride_) {
    void* fresh = allocate(scratch * static_cast<size_t>(threads()));
    if (fresh == nullptr) return error("out of memory: scratch needs %zu bytes a thread", scratch);
    free(owned_scratch_);
    owned_scratch_ = fresh;
    scratch_ = static_cast<char*>(fresh);
    scratch_stride_ = scratch;
    pool_.set_scratch(scratch_, scratch_stride_);
  }
  return {};
}

Status Instance::ensure_tensors(gradc_rt_tensor_kind kind) {
  size_t bytes = 0;
  for (size_t i = 0; i < num_tensors(); ++i) {
    if (tensor(i).kind != kind) continue;
    if (own_slots_[tensor(i).slot] != nullptr) return {};
    bytes += align_up(static_cast<size_t>(tensor(i).bytes));
  }
  if (bytes == 0) return {};
  char* next = static_cast<char*>(allocate(bytes));
  if (next == nullptr) {
    const char* const what = kind == GRADC_RT_STEP     ? "states of a step"
                             : kind == GRADC_RT_NUMBER ? "numbers of the optimizer"
                                                       : "gradients";
    return error("out of memory: the %s need %zu bytes", what, bytes);
  }
  memset(next, 0, bytes);
  owned_tensors_[kind] = next;
  ++places_;
  for (size_t i = 0; i < num_tensors(); ++i) {
    if (tensor(i).kind != kind) continue;
    slots_[tensor(i).slot] = own_slots_[tensor(i).slot] = next;
    next += align_up(static_cast<size_t>(tensor(i).bytes));
  }
  if (kind == GRADC_RT_NUMBER) write_numbers(*this);
  return {};
}

bool Instance::has_tensors_of(gradc_rt_tensor_kind kind) const {
  for (int e = 0; e < GRADC_RT_ENTRY_COUNT; ++e) {
    const auto entry = static_cast<gradc_rt_entry_kind>(e);
    if (has_tensors(entry, kind) && has_entry(entry)) return true;
  }
  return false;
}

Status Instance::prepare(gradc_rt_entry_kind kind) {
  const gradc_rt_entry& entry = model_->entries[kind];
  if (model_->ensure_entry == nullptr) {
    if (entry.compiled == 0) {
      return error("model \"%s\" was compiled without its entry %s", model_->name,
                   entry.name != nullptr ? entry.name : "?");
    }
  } else if (!is_prepared(kind)) {
    const char* message = nullptr;
    if (model_->ensure_entry(model_->user, kind, &message) != 0) {
      return error("%s", message != nullptr ? message : "the entry could not be compiled");
    }
    if (entry.compiled == 0) return internal_error("entry %s was not compiled", entry.name);
  }
  GRADC_RT_TRY(grow(entry));
  for (int tensors = 0; tensors < GRADC_RT_TENSOR_KIND_COUNT; ++tensors) {
    const auto later = static_cast<gradc_rt_tensor_kind>(tensors);
    if (has_tensors(kind, later)) GRADC_RT_TRY(ensure_tensors(later));
  }
  PreparedEntry& prepared = entries_[kind];
  if (prepared.pointers == nullptr) {
    prepared.owned = malloc(pointer_bytes(entry));
    if (prepared.owned == nullptr) return error("out of memory: the entry %s", entry.name);
    prepared.pointers = static_cast<void**>(prepared.owned);
  }
  return {};
}

namespace {

struct Call {
  const gradc_rt_entry* entry;
  void* const* pointers;
  ThreadPool::Job before;
  void* context;
};

void call_entry(void* context, const gradc_rt_thread* thread) {
  const Call* call = static_cast<const Call*>(context);
  if (call->before != nullptr) {
    call->before(call->context, thread);
    if (thread->count > 1) thread->barrier(thread->pool);
  }
  run_steps(*call->entry, call->pointers, *thread);
}

}  // namespace

void Instance::run(gradc_rt_entry_kind entry) {
  run_after(nullptr, nullptr, entry);
}

void* const* Instance::pointers_of(gradc_rt_entry_kind entry) {
  PreparedEntry& prepared = entries_[entry];
  if (prepared.places != places_) {
    resolve_arguments(model_->entries[entry], slots_, arena_, prepared.pointers);
    prepared.places = places_;
  }
  return prepared.pointers;
}

void Instance::run_after(ThreadPool::Job before, void* context, gradc_rt_entry_kind entry) {
  Call call{&model_->entries[entry], pointers_of(entry), before, context};
  pool_.run(call_entry, &call);
}

void Instance::run_timed(gradc_rt_entry_kind entry, ThreadTimes* times) {
  struct TimedCall {
    const gradc_rt_entry* entry;
    void* const* pointers;
    ThreadTimes* times;
  } call{&model_->entries[entry], pointers_of(entry), times};
  pool_.run(
      [](void* context, const gradc_rt_thread* thread) {
        const TimedCall* it = static_cast<const TimedCall*>(context);
        run_steps_timed(*it->entry, it->pointers, *thread, it->times);
      },
      &call);
}

}  // namespace gradc::rt
