#include "driver/report/report_data.h"

#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/lower_code.h"
#include "driver/report/report_layers.h"
#include "driver/version.h"
#include "frontend/layer_def.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "ir/printer.h"
#include "passes/fusion_remarks.h"
#include "passes/graph_stats.h"
#include "passes/memory_report.h"
#include "support/check.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

namespace gradc {

namespace {

/// What a step calls, and from where in the model, with how often.
using Calls = std::map<std::pair<uint32_t, std::string>, int64_t>;

void add_calls(const kernel::Step& step, int64_t times, Calls& calls) {
  if (const kernel::Call* call = step.call()) {
    calls[{call->kernel, call->location}] += times;
    return;
  }
  for (const kernel::Step& inner : step.loop()->body)
    add_calls(inner, times * step.loop()->trips, calls);
}

/// Whether a step beside a loop carries its values in or out.
bool is_copy_of(const kernel::LoweredLoop& loop, const kernel::Step& step) {
  return step.call() != nullptr && std::ranges::any_of(loop.copies, [&](const auto& copy) {
           return copy != nullptr && copy->calls.front().kernel == step.call()->kernel;
         });
}

std::string label_of(const Node& node) {
  if (node.op == Op::kKernel) return node.attrs.as<KernelAttrs>().label;
  return std::string(op_name(node.op));
}

std::string_view kind_of(const Node& node) {
  if (node.op != Op::kKernel) return op_name(node.op);
  const KernelKind kind = node.attrs.as<KernelAttrs>().kind;
  return enum_names(kind)[static_cast<size_t>(kind)];
}

bool is_step(const Node& node) {
  return node.op != Op::kUpdate && node.op != Op::kConstant;
}

class ReportWriter {
 public:
  ReportWriter(const Model& model, const StagedEntry& entry, const kernel::Program& program,
               const ReportOptions& options)
      : model_(model),
        options_(options),
        graph_(*entry.graph),
        plan_(*entry.plan),
        entry_(entry),
        program_(program),
        layers_(model) {}

  Json run(const std::vector<FusionRemark>& remarks) {
    Json out;
    index();
    out["layers"] = layers();
    for (const NodeId id : graph_.nodes()) {
      if (is_step(graph_.node(id))) add_step(id);
      ++at_;
    }
    add_copies();
    out["steps"] = std::move(steps_);
    out["kernels"] = kernels();
    out["units"] = std::move(units_);
    out["buffers"] = buffers();
    out["remarks"] = remark_list(remarks);
    out["profile"] = profile();
    return out;
  }

 private:
  void index() {
    for (const NodeId id : graph_.nodes()) {
      const Node& node = graph_.node(id);
      if (node.op != Op::kUpdate) continue;
      updates_[node.operands[1]].push_back(graph_.input_of(node.operands[0]).name);
    }
    for (size_t b = 0; b < plan_.buffers.size(); ++b)
      buffers_at_[plan_.buffers[b].offset].push_back(b);
    share_calls();
    if (!options_.profile) return;
    for (const ProfileRow& row : options_.profile->rows)
      rows_[{row.kernel, row.layer}] = &row;
  }

  /// The program's steps are those of the nodes, one node after the other, and copies.
  void share_calls() {
    const std::vector<kernel::Step>& steps = program_.entries.back().steps;
    for (const kernel::LoweredNode& node : entry_.lowered.nodes) {
      lowered_[node.node] = &node;
      Calls& calls = calls_of_[node.node];
      const auto take = [&] {
        GRADC_CHECK(num_shared_ < steps.size(), "the program ends before its graph");
        add_calls(steps[num_shared_++], 1, calls);
      };
      if (node.code != nullptr) {
        for (size_t i = 0; i < node.code->calls.size(); ++i)
          take();
        continue;
      }
      const auto take_copies = [&] {
        while (num_shared_ < steps.size() && is_copy_of(*node.loop, steps[num_shared_]))
          take();
      };
      take_copies();
      take();
      take_copies();
    }
  }

  Json layers() const {
    Json list = Json::array();
    std::set<size_t> counted;
    std::map<ModelValue, size_t> made_by;
    for (size_t c = 0; c < model_.calls.size(); ++c) {
      const Call& call = model_.calls[c];
      const Layer& layer = model_.layers[call.layer];
      for (size_t r = 0; r < call.results.size(); ++r)
        made_by[call.first + r] = c;
      Json inputs = Json::array();
      for (const ModelValue value : call.inputs)
        if (made_by.contains(value)) inputs.push_back(made_by[value]);
      int64_t parameters = 0;
      if (counted.insert(call.layer).second) {
        for (const ParameterSpec& parameter : layer.parameters) {
          int64_t elements = 1;
          for (const int64_t extent : parameter.shape)
            elements *= extent;
          parameters += elements;
        }
      }
      const std::string& written = layer.component.written_type;
      list.push_back({{"name", call.name},
                      {"type", written.empty() ? std::string(layer.def->base.type) : written},
                      {"output", to_string(call.output())},
                      {"parameters", parameters},
                      {"place", call.place.pointer},
                      {"inputs", std::move(inputs)}});
    }
    for (const char* name : {"loss", "optimizer"})
      list.push_back({{"name", name},
                      {"type", ""},
                      {"output", ""},
                      {"parameters", 0},
                      {"place", ""},
                      {"inputs", Json::array()}});
    return list;
  }

  /// The buffer that holds a value while step `at` runs; none for what is not in the arena.
  std::optional<size_t> buffer_of(ValueId value, int64_t at) const {
    const Storage& storage = plan_.storage[value.index];
    if (storage.kind != StorageKind::kArena) return std::nullopt;
    const auto found = buffers_at_.find(storage.offset);
    if (found == buffers_at_.end()) return std::nullopt;
    for (const size_t b : found->second) {
      if (plan_.buffers[b].first <= at && at <= plan_.buffers[b].last) return b;
    }
    return std::nullopt;
  }

  std::string place_of(ValueId value) const {
    const Storage& storage = plan_.storage[value.index];
    std::string text;
    switch (storage.kind) {
      case StorageKind::kNone:
        return "not stored";
      case StorageKind::kConstant:
        return "constant";
      case StorageKind::kInput:
        text = "in " + graph_.input_of(storage.base).name;
        break;
      case StorageKind::kOutput:
        text = "output " + graph_.outputs()[storage.output].name;
        break;
      case StorageKind::kArena:
        text = fmt::format("arena+{}", storage.offset);
        break;
    }
    if (storage.in_place_of.valid()) text += ", over %" + graph_.value(storage.in_place_of).name;
    return text;
  }

  void add_step(NodeId id) {
    const Node& node = graph_.node(id);
    Json results = Json::array();
    std::vector<std::string> updated;
    std::set<size_t> reads, writes;
    for (const ValueId operand : node.operands)
      if (const auto b = buffer_of(operand, at_)) reads.insert(*b);
    for (const ValueId result : node.results) {
      results.push_back({{"name", graph_.value(result).name},
                         {"type", to_string(graph_.type(result))},
                         {"place", place_of(result)}});
      step_of_value_[graph_.value(result).name] = steps_.size();
      if (const auto b = buffer_of(result, at_)) writes.insert(*b);
      const auto found = updates_.find(result);
      if (found != updates_.end())
        updated.insert(updated.end(), found->second.begin(), found->second.end());
    }
    const kernel::LoweredNode* lowered = lowered_.contains(id) ? lowered_.at(id) : nullptr;
    const Calls& calls = calls_of_[id];
    Json step = {{"at", at_},
                 {"label", label_of(node)},
                 {"phase", phase_name(node.phase)},
                 {"layers", layers_.of(graph_, node, updated)},
                 {"unit", unit_of(node, id, lowered, calls)},
                 {"results", std::move(results)},
                 {"updates", updated},
                 {"reads", reads},
                 {"writes", writes}};
    add_work(step, calls);
    steps_.push_back(std::move(step));
  }

  /// Work of all calls; time, where a profile has it.
  void add_work(Json& step, const Calls& calls) {
    int64_t flops = 0, bytes = 0;
    double milliseconds = 0.0;
    bool timed = false;
    for (const auto& [call, times] : calls) {
      const kernel::Kernel& kernel = program_.kernels[call.first];
      flops += kernel.flops * times;
      bytes += argument_bytes(kernel) * times;
      const auto row = rows_.find({kernel.name, call.second});
      if (row == rows_.end() || row->second->calls == 0) continue;
      timed = true;
      matched_.insert(row->second);
      milliseconds += row->second->milliseconds * static_cast<double>(times) /
                      static_cast<double>(row->second->calls);
    }
    step["flops"] = flops;
    step["bytes"] = bytes;
    if (timed) step["ms"] = milliseconds;
  }

  /// Steps with equal code share a unit; its text is that of the first.
  size_t unit_of(const Node& node, NodeId id, const kernel::LoweredNode* lowered,
                 const Calls& calls) {
    const void* code = lowered == nullptr ? nullptr
                       : lowered->code    ? static_cast<const void*>(lowered->code.get())
                                          : static_cast<const void*>(lowered->loop.get());
    if (code != nullptr) {
      const auto [known, fresh] = unit_of_code_.try_emplace({code, label_of(node)}, units_.size());
      if (!fresh) return known->second;
    }
    Json ops = Json::array();
    PrintOptions print;
    print.max_dense = 16;
    if (node.body != nullptr) {
      for (const NodeId inner : node.body->nodes()) {
        const Op op = node.body->node(inner).op;
        if (op != Op::kConstant) ops.push_back(op_name(op));
      }
    } else {
      ops.push_back(op_name(node.op));
    }
    const std::string body =
        node.body != nullptr ? print_graph(*node.body, print) : print_node(graph_, id);
    return add_unit(kind_of(node), std::move(ops), body, calls);
  }

  size_t add_unit(std::string_view kind, Json ops, const std::string& body, const Calls& calls) {
    std::map<uint32_t, int64_t> counts;
    for (const auto& [call, times] : calls)
      counts[call.first] += times;
    Json kernels = Json::array();
    for (const auto& [kernel, times] : counts)
      kernels.push_back({kernel, times});
    units_.push_back(
        {{"kind", kind}, {"ops", std::move(ops)}, {"body", body}, {"kernels", std::move(kernels)}});
    return units_.size() - 1;
  }

  /// What is copied at the end: new values that could not be written in place, outputs that are
  /// something else too.
  void add_copies() {
    const std::vector<kernel::Step>& all = program_.entries.back().steps;
    for (size_t i = num_shared_; i < all.size(); ++i) {
      const kernel::Call& call = *all[i].call();
      Calls calls;
      add_calls(all[i], 1, calls);
      const std::string_view what = call.location;
      const bool is_update = what.starts_with("update of ");
      const std::string name(what.substr(what.find(is_update ? "of " : " ") + (is_update ? 3 : 1)));
      const auto [unit, fresh] = copies_.try_emplace(call.kernel, 0);
      if (fresh) unit->second = add_unit("copy", Json::array(), "", calls);
      Json step = {{"at", at_ - 1},
                   {"label", "copy"},
                   {"phase", phase_name(is_update ? Phase::kUpdate : Phase::kForward)},
                   {"layers", {is_update ? layers_.of_tensor(name) : layers_.loss()}},
                   {"unit", unit->second},
                   {"results", {{{"name", name}, {"type", ""}, {"place", call.location}}}},
                   {"updates", is_update ? Json::array({name}) : Json::array()},
                   {"reads", Json::array()},
                   {"writes", Json::array()}};
      add_work(step, calls);
      steps_.push_back(std::move(step));
    }
  }

  /// Those that are called, numbered anew.
  Json kernels() {
    std::map<uint32_t, size_t> shown;
    for (Json& unit : units_) {
      for (Json& call : unit["kernels"])
        shown.emplace(call[0].get<uint32_t>(), 0);
    }
    size_t next = 0;
    for (auto& [kernel, number] : shown)
      number = next++;
    for (Json& unit : units_) {
      for (Json& call : unit["kernels"])
        call[0] = shown.at(call[0].get<uint32_t>());
    }
    std::map<std::string, std::pair<double, double>> roofs;  // time, and the least time
    for (const auto& [key, row] : rows_) {
      roofs[key.first].first += row->milliseconds;
      roofs[key.first].second += row->milliseconds * row->roof_share;
    }
    Json list = Json::array();
    for (const auto& [number, unused] : shown) {
      const kernel::Kernel& one = program_.kernels[number];
      Json kernel = {{"name", one.name},
                     {"flops", one.flops},
                     {"bytes", argument_bytes(one)},
                     {"code", kernel::to_string(one)}};
      const auto found = roofs.find(one.name);
      if (found != roofs.end() && found->second.first > 0) {
        kernel["ms"] = found->second.first;
        kernel["roof_share"] = found->second.second / found->second.first;
      }
      list.push_back(std::move(kernel));
    }
    return list;
  }

  Json buffers() const {
    Json list = Json::array();
    for (const PlannedBuffer& b : plan_.buffers)
      list.push_back({{"name", b.name},
                      {"bytes", b.bytes},
                      {"offset", b.offset},
                      {"first", b.first},
                      {"last", b.last}});
    return list;
  }

  /// Pairs of which one reads what the other makes; others only read the same.
  Json remark_list(const std::vector<FusionRemark>& remarks) const {
    Json list = Json::array();
    for (const FusionRemark& remark : remarks) {
      const auto first = step_of_value_.find(remark.first_result);
      const auto second = step_of_value_.find(remark.second_result);
      if (!remark.linked || first == step_of_value_.end() || second == step_of_value_.end())
        continue;
      list.push_back(
          {{"first", first->second}, {"second", second->second}, {"text", remark.text()}});
    }
    return list;
  }

  Json profile() const {
    if (!options_.profile) return nullptr;
    const ReportProfile& from = *options_.profile;
    Json bandwidth = Json::array();
    for (const BandwidthPoint& point : from.bandwidth)
      bandwidth.push_back({point.bytes, point.gigabytes_per_second});
    double missed = 0.0;
    for (const ProfileRow& row : from.rows)
      if (!matched_.contains(&row)) missed += row.milliseconds;
    return {{"step_ms", from.step_ms},           {"waiting_ms", from.waiting_ms},
            {"threads", from.threads},           {"peak_gflops", from.peak_gflops},
            {"bandwidth", std::move(bandwidth)}, {"unmatched_ms", missed}};
  }

  const Model& model_;
  const ReportOptions& options_;
  const Graph& graph_;
  const MemoryPlan& plan_;
  const StagedEntry& entry_;
  const kernel::Program& program_;
  ReportLayers layers_;
  int64_t at_ = 0;
  Json steps_ = Json::array(), units_ = Json::array();
  std::map<ValueId, std::vector<std::string>> updates_;  ///< by new value
  std::map<int64_t, std::vector<size_t>> buffers_at_;
  std::map<NodeId, const kernel::LoweredNode*> lowered_;
  std::map<NodeId, Calls> calls_of_;
  size_t num_shared_ = 0;  ///< steps of the program that are nodes'
  std::map<std::pair<const void*, std::string>, size_t> unit_of_code_;
  std::map<uint32_t, size_t> copies_;
  std::map<std::string, size_t> step_of_value_;
  std::map<std::pair<std::string, std::string>, const ProfileRow*> rows_;
  std::set<const ProfileRow*> matched_;
};

Json memory_json(const Graph& graph, const MemoryPlan& plan, int64_t scratch) {
  return {{"arena", plan.arena_bytes},
          {"lower_bound", plan.lower_bound_bytes},
          {"naive", plan.naive_bytes},
          {"scratch", scratch},
          {"parameters", input_bytes(graph, InputKind::kParam)},
          {"states", input_bytes(graph, InputKind::kState)},
          {"inputs", input_bytes(graph, InputKind::kInput)},
          {"outputs", output_bytes(graph)},
          {"recomputed", plan.recomputed}};
}

}  // namespace

Result<Json> report_data(const Model& model, const ReportOptions& options) {
  BuildOptions build;
  build.memory_budget_bytes = options.memory_budget_bytes;
  GRADC_TRY(const StagedEntry optimized,
            build_staged(model, options.entry, options.batch, PipelineStage::kOptimized, build));
  const size_t optimized_nodes = optimized.graph->num_nodes();
  const int64_t flops = graph_stats(*optimized.graph).contraction_flops;
  GRADC_TRY(const std::vector<FusionRemark> remarks, fusion_remarks(*optimized.graph));
  kernel::ProgramLowering lowering(model.name, options.target);
  build.name_bodies = true;
  build.lowering = &lowering;
  GRADC_TRY(const StagedEntry planned,
            build_staged(model, options.entry, options.batch, PipelineStage::kPlanned, build));
  GRADC_TRY(const EntrySizes sizes, entry_sizes(planned, lowering));
  const kernel::Program& program = lowering.program();
  Json out = {{"gradc", version_number()},
              {"model", model.name},
              {"entry", entry_name(options.entry)},
              {"batch", options.batch},
              {"target", fmt::format("{} {}", options.target.cpu, options.target.triple)},
              {"nodes", optimized_nodes},
              {"flops", flops},
              {"memory", memory_json(*planned.graph, *planned.plan, sizes.scratch_bytes)}};
  Json rest = ReportWriter(model, planned, program, options).run(remarks);
  out.update(rest);
  return out;
}

}  // namespace gradc
