#include "runtime/log_lines.h"

#include "runtime/json.h"
#include "runtime/progress.h"
#include "runtime/version.h"

#include <cstring>
#include <ctime>

namespace gradc::rt {
namespace {

void append_member(Str& out, const char* name, const char* text) {
  if (!out.ends_with("{")) out.push(',');
  append_json_string(out, name, strlen(name));
  out.push(':');
  append_json_string(out, text, strlen(text));
}

void append_member(Str& out, const char* name, int64_t number) {
  out.push(',');
  append_json_string(out, name, strlen(name));
  out.appendf(":%lld", static_cast<long long>(number));
}

Str now_in_utc() {
  const time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return Str(text);
}

}  // namespace

Str epoch_json(const Instance& instance, const EpochReport& report, const Str& run) {
  Str line = format("{\"epoch\":%lld,\"step\":%lld", static_cast<long long>(report.epoch),
                    static_cast<long long>(report.step));
  append_scores_json(line, instance, report.scores, "");
  if (report.has_validation) append_scores_json(line, instance, report.validation, "val_");
  line.append(",\"seconds\":");
  append_json_number(line, report.seconds);
  line.append(",\"examples_per_second\":");
  append_json_number(line, report.examples_per_second);
  if (report.reduced_to > 0) {
    line.append(",\"rate_factor\":");
    append_json_number(line, report.reduced_to);
  }
  if (!run.empty()) line.appendf(",%s", run.c_str());
  line.push('}');
  return line;
}

Str run_json(const Instance& instance, const Str& data, int64_t examples,
             int64_t validation_examples) {
  const gradc_rt_model& model = instance.model();
  Str out("\"run\":{");
  append_member(out, "gradc", kVersion);
  append_member(out, "model", model.name);
  for (int64_t i = 0; i < model.num_facts; ++i) {
    if (strcmp(model.facts[i].name, "optimizer") == 0)
      append_member(out, "optimizer", model.facts[i].value);
  }
  append_member(out, "data", data.c_str());
  append_member(out, "examples", examples);
  if (validation_examples > 0) append_member(out, "validation_examples", validation_examples);
  append_member(out, "seed", static_cast<int64_t>(instance.seed()));
  append_member(out, "batch_size", model.batch_size);
  append_member(out, "threads", int64_t{instance.threads()});
  append_member(out, "target", format("%s, %s", model.target_cpu, model.target_triple).c_str());
  append_member(out, "started", now_in_utc().c_str());
  out.push('}');
  return out;
}

Str test_json(const Instance& instance, const Scores& scores) {
  Str object("{");
  append_scores_json(object, instance, scores, "test_");
  return Str(object.c_str() + 1);
}

}  // namespace gradc::rt
