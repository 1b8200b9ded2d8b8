// gradc bench: the time of a training step.
#include "driver/bench.h"
#include "driver/output.h"
#include "tools/gradc/command.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <memory>

namespace gradc::tool {

namespace {

nlohmann::ordered_json to_json(const BenchResult& r) {
  nlohmann::ordered_json stages;
  for (const auto& [name, ms] : r.compile_stages_ms)
    stages[name] = ms;
  return {{"step_ms_median", r.step_ms_median},
          {"step_ms_min", r.step_ms_min},
          {"steps", r.steps},
          {"batch_size", r.batch_size},
          {"threads", r.threads},
          {"examples_per_second", r.examples_per_second},
          {"gflop_per_step", r.gflop_per_step},
          {"gflops", r.gflops},
          {"peak_gflops", r.peak_gflops},
          {"peak_gflops_fraction", r.peak_gflops_fraction},
          {"compile_ms", {{"total", r.compile_ms}, {"stages", stages}}},
          {"kernels", r.kernels},
          {"cached_kernels", r.cached_kernels},
          {"cached_entries", r.cached_entries},
          {"arena_bytes", r.arena_bytes},
          {"scratch_bytes", r.scratch_bytes},
          {"parameter_bytes", r.parameter_bytes},
          {"state_bytes", r.state_bytes},
          {"input_bytes", r.input_bytes},
          {"output_bytes", r.output_bytes},
          {"table_bytes", r.table_bytes},
          {"code_bytes", r.code_bytes},
          {"planned_bytes", r.planned_bytes},
          {"resident_bytes", r.resident_bytes},
          {"peak_rss_bytes", r.peak_rss_bytes}};
}

nlohmann::ordered_json to_json(const Profile& profile) {
  nlohmann::ordered_json kernels = nlohmann::ordered_json::array(),
                         bandwidth = nlohmann::ordered_json::array();
  for (const ProfileRow& row : profile.rows) {
    kernels.push_back({{"kernel", row.kernel},
                       {"layer", row.layer},
                       {"calls", row.calls},
                       {"ms", row.milliseconds},
                       {"share", row.share},
                       {"flops", row.flops},
                       {"bytes", row.bytes},
                       {"gflops", row.gflops},
                       {"gigabytes_per_second", row.gigabytes_per_second},
                       {"roof_share", row.roof_share}});
  }
  for (const BandwidthPoint& point : profile.bandwidth) {
    bandwidth.push_back(
        {{"bytes", point.bytes}, {"gigabytes_per_second", point.gigabytes_per_second}});
  }
  return {{"steps", profile.steps},
          {"step_ms", profile.step_ms},
          {"waiting_ms", profile.waiting_ms},
          {"bandwidth", std::move(bandwidth)},
          {"kernels", std::move(kernels)}};
}

void print_text(std::FILE* out, const BenchResult& r, bool ignores) {
  fmt::print(
      out, "step          {:.4f} ms median, {:.4f} ms min, of {} steps (batch {}, {} thread{})\n",
      r.step_ms_median, r.step_ms_min, r.steps, r.batch_size, r.threads, r.threads == 1 ? "" : "s");
  fmt::print(out, "throughput    {:.0f} examples/s\n", r.examples_per_second);
  fmt::print(
      out,
      "arithmetic    {:.4f} GFLOP per step, {:.1f} GFLOP/s, {:.1f} % of the measured peak of "
      "{:.0f} GFLOP/s{}\n",
      r.gflop_per_step, r.gflops, 100.0 * r.peak_gflops_fraction, r.peak_gflops,
      ignores ? ", as if no row was skipped" : "");
  fmt::print(
      out,
      "compile       {:.1f} ms (train_step{}; {} of {} kernels from the cache); LLVM's stages run "
      "on "
      "all cores, here summed:\n",
      r.compile_ms, r.cached_entries > 0 ? " as it was kept, without passes" : "", r.cached_kernels,
      r.kernels);
  for (const auto& [name, ms] : r.compile_stages_ms)
    fmt::print(out, "  {:<14}{:.1f} ms\n", name, ms);
  fmt::print(
      out,
      "memory        arena {}, scratch {} a thread, parameters {}, states {}, inputs {}, outputs "
      "{}, tables {}, code {}: {} bytes planned\n",
      r.arena_bytes, r.scratch_bytes, r.parameter_bytes, r.state_bytes, r.input_bytes,
      r.output_bytes, r.table_bytes, r.code_bytes, r.planned_bytes);
  fmt::print(
      out,
      "resident      {} bytes anonymous while training, {} at the peak with code of libraries\n",
      r.resident_bytes, r.peak_rss_bytes);
}

}  // namespace

void register_bench(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<BenchOptions>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("bench", "time the training step on synthetic data");
  command->footer(
      "Example:\n"
      "  gradc bench examples/lenet.json --threads 2 --json");
  command->add_option("MODEL", options->model, "the model's JSON, or a graph in text form (.gir)")
      ->required();
  command
      ->add_option("--steps", options->steps,
                   "timed steps (default: as many as fit into --seconds)")
      ->check(whole_number(1));
  command->add_option("--seconds", options->seconds, "how long to time (default 2)")
      ->check(positive_number());
  add_batch_size(*command, options->batch_size);
  add_threads(*command, options->threads);
  add_cpu(*command, options->cpu);
  add_memory_budget(*command, options->memory_budget_bytes);
  command
      ->add_option("--ignored", options->ignored,
                   "share of targets that are the loss's ignore_class (default 0)")
      ->check(CLI::Range(0.0, 1.0));
  command->add_flag("--cache", options->cache,
                    "take compiled code from the cache, and keep it there (default: compile anew, "
                    "so that the time is that of a first run)");
  command->add_flag("--profile", options->profile,
                    "also time every kernel: rates, and how near the measured roofs");
  command->add_option(
      "--trace", options->trace,
      "write the calls of three steps to this file, for chrome://tracing or Perfetto");
  command->add_flag("--json", *json, "print one JSON object");
  command->callback([options, json, &selection] {
    selection.run = [options, json] {
      SourceSet sources;
      options->given = given_of_model();
      const auto result = run_bench(*options, sources);
      if (!result.ok()) return report(result.diagnostics());
      const bool traced = !options->trace.empty() && rt::is_standard_output(options->trace.c_str());
      std::FILE* out = traced ? stderr : stdout;
      if (*json) {
        nlohmann::ordered_json object = to_json(*result);
        if (result->profile) object["profile"] = to_json(*result->profile);
        fmt::print(out, "{}", json_text(object));
      } else {
        print_text(out, *result, options->ignored > 0);
        if (result->profile) fmt::print(out, "\n{}", profile_text(*result->profile));
      }
      return static_cast<int>(kSuccess);
    };
  });
}

}  // namespace gradc::tool
