// Numbers in the metadata are decimal; doubles in the shortest form that reads back exactly.
#include "runtime/checkpoint.h"

#include "runtime/number.h"
#include "runtime/weights.h"

namespace gradc::rt {
namespace {

constexpr char kFormat[] = "gradc-checkpoint/5";
constexpr int64_t kMostCounted = int64_t{1} << 53;

void put(Vec<Metadata>* list, const char* key, Str value) {
  list->push({Str(key), static_cast<Str&&>(value)});
}

Str integer_text(int64_t value) {
  return format("%lld", static_cast<long long>(value));
}

Str metric_key(int64_t m) {
  return format("metric_%lld", static_cast<long long>(m));
}

void put_sum(const char* key, const WeightedSum& sum, Vec<Metadata>* list) {
  put(list, format("sum_%s", key).c_str(), number_text(sum.sum));
  put(list, format("weight_%s", key).c_str(), number_text(sum.weight));
}

Vec<Metadata> make_metadata(const Instance& instance, const CheckpointFacts& facts,
                            const TrainState& state) {
  Vec<Metadata> list;
  put(&list, "format", Str(kFormat));
  put(&list, "model", Str(instance.model().name));
  put_facts(instance.model(), facts, &list);
  put_meanings(instance, &list);
  put(&list, "epoch", integer_text(state.epoch));
  put(&list, "step", integer_text(state.step));
  put(&list, "total_steps", integer_text(state.total_steps));
  put_sum("loss", state.sums.loss, &list);
  for (int64_t m = 0; m < instance.count_of(GRADC_RT_METRIC) && m < kMaxMetrics; ++m)
    put_sum(metric_key(m).c_str(), state.sums.metric[m], &list);
  Str parts;
  for (const double part : state.sums.parts)
    parts.appendf("%s%s", parts.empty() ? "" : " ", number_text(part).c_str());
  put(&list, "sum_parts", static_cast<Str&&>(parts));
  put(&list, "has_best", integer_text(state.has_best ? 1 : 0));
  put(&list, "best", number_text(state.best));
  put(&list, "best_epoch", integer_text(state.best_epoch));
  put(&list, "wait", integer_text(state.wait));
  put(&list, "finished", integer_text(state.finished ? 1 : 0));
  put(&list, "plateau_has_best", integer_text(state.plateau.has_best ? 1 : 0));
  put(&list, "plateau_best", number_text(state.plateau.best));
  put(&list, "plateau_wait", integer_text(state.plateau.wait));
  put(&list, "plateau_cooldown", integer_text(state.plateau.cooldown));
  put(&list, "kept", kept_text(state.kept));
  return list;
}

// Reads metadata values; remembers the first that is missing or not a number.
class MetadataReader {
  template <class Number>
  Number value(const char* key, bool (*parse)(const char* text, Number* out)) {
    const char* text = file_.meta(key);
    Number result{};
    if (text != nullptr && parse(text, &result)) return result;
    if (status_.ok()) {
      status_ = error("%s: the checkpoint's \"%s\" is %s%s, a number was expected", path_, key,
                      text != nullptr ? "" : "missing", text != nullptr ? text : "");
    }
    return {};
  }

 public:
  MetadataReader(const SafetensorsFile& file, const char* path) : file_(file), path_(path) {}

  int64_t integer(const char* key) { return value<int64_t>(key, parse_integer); }
  /// What training counts on from: as many as no training reaches.
  int64_t count(const char* key) {
    const int64_t result = integer(key);
    if (result >= 0 && result <= kMostCounted) return result;
    if (status_.ok()) {
      status_ = error("%s: the checkpoint's \"%s\" is %lld, a count was expected", path_, key,
                      static_cast<long long>(result));
    }
    return 0;
  }
  uint64_t unsigned_integer(const char* key) { return value<uint64_t>(key, parse_unsigned); }
  double number(const char* key) { return value<double>(key, parse_double); }
  WeightedSum sum(const char* key) {
    return {number(format("sum_%s", key).c_str()), number(format("weight_%s", key).c_str())};
  }
  /// As many numbers as there is room for, separated by spaces.
  void numbers(const char* key, Span<double> out) {
    const char* text = file_.meta(key);
    for (size_t i = 0; text != nullptr && i < out.size(); ++i) {
      const Str one(text, strcspn(text, " "));
      if (!parse_double(one.c_str(), &out[i])) break;
      if (i + 1 == out.size()) return;
      text += one.size();
      text += *text == ' ' ? 1 : 0;
    }
    if (out.size() > 0 && status_.ok()) {
      status_ = error("%s: the checkpoint's \"%s\" are not the %zu numbers that were expected",
                      path_, key, out.size());
    }
  }
  Status status() { return static_cast<Status&&>(status_); }

 private:
  const SafetensorsFile& file_;
  const char* path_;
  Status status_;
};

Status read_state(const Instance& instance, const SafetensorsFile& file, const char* path,
                  const CheckpointFacts& facts, TrainState* state) {
  MetadataReader reader(file, path);
  state->seed = facts.seed;
  state->epoch = reader.count("epoch");
  state->step = reader.count("step");
  state->total_steps = reader.count("total_steps");
  state->sums.begin(instance);
  state->sums.loss = reader.sum("loss");
  for (int64_t m = 0; m < instance.count_of(GRADC_RT_METRIC) && m < kMaxMetrics; ++m)
    state->sums.metric[m] = reader.sum(metric_key(m).c_str());
  reader.numbers("sum_parts", {state->sums.parts.data(), state->sums.parts.size()});
  state->has_best = reader.integer("has_best") != 0;
  state->best = reader.number("best");
  state->best_epoch = reader.count("best_epoch");
  state->wait = reader.count("wait");
  state->finished = reader.integer("finished") != 0;
  state->plateau.has_best = reader.integer("plateau_has_best") != 0;
  state->plateau.best = reader.number("plateau_best");
  state->plateau.wait = reader.count("plateau_wait");
  state->plateau.cooldown = reader.count("plateau_cooldown");
  GRADC_RT_TRY(reader.status());
  if (const char* kept = file.meta("kept"); kept != nullptr && !parse_kept(kept, &state->kept))
    return error("%s: the checkpoint's \"kept\" is %s, epochs and values were expected", path,
                 kept);
  const int64_t steps = (facts.rows + facts.batch_size - 1) / facts.batch_size;
  if (state->step >= steps) {
    return error("%s: the checkpoint stands at epoch %lld, step %lld, which this run does not have",
                 path, static_cast<long long>(state->epoch), static_cast<long long>(state->step));
  }
  return {};
}

bool is_weight(const gradc_rt_tensor& tensor) {
  return tensor.kind == GRADC_RT_PARAMETER || tensor.kind == GRADC_RT_STATE;
}

Status read_best(const Instance& instance, const SafetensorsFile& file, const char* path,
                 Span<uint8_t> best) {
  uint8_t* at = best.data();
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (!is_weight(tensor)) continue;
    const Str name = best_name(instance, i);
    const Array* array = file.find(name.c_str());
    if (array == nullptr || array->data.size() != static_cast<size_t>(tensor.bytes)) {
      return error("%s: the checkpoint lacks \"%s\", the best weights of early stopping", path,
                   name.c_str());
    }
    memcpy(at, array->data.data(), array->data.size());
    at += array->data.size();
  }
  return {};
}

}  // namespace

Status save_checkpoint(const Instance& instance, const char* path, const CheckpointFacts& facts,
                       const TrainState& state, Span<uint8_t> best) {
  Vec<TensorView> views;
  Vec<Str> statistics_names;
  collect_tensors(instance, true, &views, &statistics_names);
  Vec<Str> best_names;
  if (!best.empty() && state.has_best) {
    for (size_t i = 0; i < instance.num_tensors(); ++i) {
      if (is_weight(instance.tensor(i))) best_names.push(best_name(instance, i));
    }
    const uint8_t* at = best.data();
    size_t next = 0;
    for (size_t i = 0; i < instance.num_tensors(); ++i) {
      const gradc_rt_tensor& tensor = instance.tensor(i);
      if (!is_weight(tensor)) continue;
      views.push({best_names[next++].c_str(), static_cast<Dtype>(tensor.dtype), tensor_dims(tensor),
                  at, static_cast<size_t>(tensor.bytes)});
      at += tensor.bytes;
    }
  }
  const Vec<Metadata> metadata = make_metadata(instance, facts, state);
  return write_safetensors(path, {views.data(), views.size()}, {metadata.data(), metadata.size()});
}

namespace {

Status read_checkpoint(const char* path, SafetensorsFile* file) {
  GRADC_RT_TRY(read_safetensors(path, file));
  const char* kind = file->meta("format");
  if (kind == nullptr || strcmp(kind, kFormat) != 0) {
    return error(
        "%s: is not a checkpoint (its \"format\" is %s, expected %s); weights are loaded "
        "with --weights",
        path, kind != nullptr ? kind : "missing", kFormat);
  }
  return {};
}

}  // namespace

Status load_checkpoint_data_facts(Instance& instance, const char* path) {
  SafetensorsFile file;
  GRADC_RT_TRY(read_checkpoint(path, &file));
  return load_data_facts(instance, file, path);
}

Status load_checkpoint(Instance& instance, const char* path, const CheckpointFacts& facts,
                       TrainState* state, Span<uint8_t> best) {
  SafetensorsFile file;
  GRADC_RT_TRY(read_checkpoint(path, &file));
  Status problems;
  compare_facts(instance.model(), facts, file, path, problems);
  if (!problems.ok()) return problems;
  TrainState loaded;
  GRADC_RT_TRY(read_state(instance, file, path, facts, &loaded));
  if (!best.empty() && loaded.has_best) GRADC_RT_TRY(read_best(instance, file, path, best));
  GRADC_RT_TRY(load_tensors(instance, file, path, LoadMode::kComplete, true));
  *state = static_cast<TrainState&&>(loaded);
  return {};
}

}  // namespace gradc::rt
