// Facts of the model are metadata "model/<name>"; values are compared piece by piece, so that a
// message names the one option that changed.
#include "runtime/facts.h"

namespace gradc::rt {
namespace {

constexpr char kModelKey[] = "model/";
constexpr size_t kModelKeyLength = sizeof kModelKey - 1;
constexpr size_t kMostShown = 160;  // bytes of a piece in a message

// One fact of the run as text.
struct RunFact {
  const char* key;
  const char* what;  // in messages
  Str value;
  bool digest;  // of data: the numbers say nothing to a reader
};

void push_fact(Vec<RunFact>* list, const char* key, const char* what, Str value,
               bool digest = false) {
  list->push({key, what, static_cast<Str&&>(value), digest});
}

Str integer_text(int64_t value) {
  return format("%lld", static_cast<long long>(value));
}
Str digest_text(uint64_t value) {
  return format("%016llx", static_cast<unsigned long long>(value));
}

Vec<RunFact> run_facts(const CheckpointFacts& facts) {
  Vec<RunFact> list;
  push_fact(&list, "batch_size", "batch size", integer_text(facts.batch_size));
  push_fact(&list, "seed", "seed", format("%llu", static_cast<unsigned long long>(facts.seed)));
  push_fact(&list, "shuffle", "shuffling", Str(facts.shuffle ? "on" : "off"));
  push_fact(&list, "rows", "training examples:", integer_text(facts.rows));
  push_fact(&list, "data", "training data", digest_text(facts.data), true);
  push_fact(&list, "validation_rows", "validation examples:", integer_text(facts.validation_rows));
  push_fact(&list, "validation_data", "validation data", digest_text(facts.validation_data), true);
  if (facts.monitor != nullptr)
    push_fact(&list, "monitor", "early stopping on", Str(facts.monitor));
  if (facts.kept_monitor != nullptr)
    push_fact(&list, "kept_monitor", "the best epochs by", Str(facts.kept_monitor));
  return list;
}

// The pieces of `list`, separated by "; ", that `other` does not have.
Str pieces_without(const char* list, const char* other) {
  Str text;
  for (const char* at = list; *at != '\0';) {
    const char* end = strstr(at, "; ");
    const size_t length = end != nullptr ? static_cast<size_t>(end - at) : strlen(at);
    const Str piece(at, length);
    bool found = false;
    for (const char* there = other; !found && (there = strstr(there, piece.c_str())) != nullptr;
         ++there) {
      const bool begins = there == other || (there - other >= 2 && memcmp(there - 2, "; ", 2) == 0);
      const char after = there[length];
      found = begins && (after == '\0' || (after == ';' && there[length + 1] == ' '));
    }
    if (!found) {
      if (!text.empty()) text.append(", ");
      text.append(piece.c_str(), length < kMostShown ? length : kMostShown);
      if (length > kMostShown) text.append("...");
    }
    at += length + (end != nullptr ? 2 : 0);
  }
  return text.empty() ? Str("nothing of this") : static_cast<Str&&>(text);
}

const char* find_fact(const gradc_rt_model& model, const char* name) {
  for (int64_t i = 0; i < model.num_facts; ++i) {
    if (strcmp(model.facts[i].name, name) == 0) return model.facts[i].value;
  }
  return nullptr;
}

void compare_model(const gradc_rt_model& model, const SafetensorsFile& file, const char* path,
                   Status& problems) {
  for (int64_t i = 0; i < model.num_facts; ++i) {
    const gradc_rt_fact& fact = model.facts[i];
    const char* before = file.meta(format("%s%s", kModelKey, fact.name).c_str());
    if (before == nullptr) {
      add_problem(problems, "%s: the checkpoint was made without %s", path, fact.name);
    } else if (strcmp(before, fact.value) != 0) {
      add_problem(problems, "%s: %s: the checkpoint was made with %s, this run has %s", path,
                  fact.name, pieces_without(before, fact.value).c_str(),
                  pieces_without(fact.value, before).c_str());
    }
  }
  for (const Metadata& item : file.metadata) {
    if (!item.key.starts_with(kModelKey)) continue;
    const char* name = item.key.c_str() + kModelKeyLength;
    if (find_fact(model, name) == nullptr)
      add_problem(problems, "%s: the checkpoint was made with %s, this run has none", path, name);
  }
}

}  // namespace

void put_facts(const gradc_rt_model& model, const CheckpointFacts& facts, Vec<Metadata>* list) {
  for (RunFact& fact : run_facts(facts))
    list->push({Str(fact.key), static_cast<Str&&>(fact.value)});
  for (int64_t i = 0; i < model.num_facts; ++i) {
    list->push({format("%s%s", kModelKey, model.facts[i].name), Str(model.facts[i].value)});
  }
}

void compare_facts(const gradc_rt_model& model, const CheckpointFacts& facts,
                   const SafetensorsFile& file, const char* path, Status& problems) {
  compare_model(model, file, path, problems);
  bool same_rows = true;
  for (const RunFact& fact : run_facts(facts)) {
    const char* before = file.meta(fact.key);
    // What watches may be switched on or off between runs, but not look at something else.
    if (before == nullptr && strstr(fact.key, "monitor") != nullptr) continue;
    if (before != nullptr && strcmp(before, fact.value.c_str()) == 0) continue;
    if (before == nullptr) {
      add_problem(problems, "%s: the checkpoint says nothing of \"%s\"", path, fact.key);
    } else if (!fact.digest) {
      add_problem(problems, "%s: the checkpoint was made with %s %s, this run has %s", path,
                  fact.what, before, fact.value.c_str());
      same_rows = same_rows && strstr(fact.key, "rows") == nullptr;
    } else if (same_rows) {  // of as many examples
      add_problem(problems, "%s: the checkpoint was made with other %s than this run has", path,
                  fact.what);
    }
  }
}

}  // namespace gradc::rt
