#include "passes/pass_manager.h"

#include "ir/op.h"
#include "ir/printer.h"
#include "ir/structural_hash.h"
#include "ir/verifier.h"
#include "support/suggest.h"
#include "support/text_diff.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc {

namespace {

/// A group that has not come to rest after this many rounds has passes that undo each other.
constexpr int kMaxRounds = 100;

/// The pass on the bodies of the graph, innermost first, then on the graph itself.
Result<bool> run_on_bodies(const PassInfo& pass, Graph& graph, PassContext& context) {
  bool changed = false;
  const bool enters = pass.scope == PassScope::kBodies;
  for (NodeId id = graph.first_node(); enters && id.valid(); id = graph.node(id).next) {
    if (graph.node(id).body == nullptr || !def(graph.node(id).op).has_open_body()) continue;
    const std::shared_ptr<Graph> body = graph.node(id).body;
    GRADC_TRY(const bool body_changed, run_on_bodies(pass, *body, context));
    changed |= body_changed;
  }
  GRADC_TRY(const bool graph_changed, pass.run(graph, context));
  return changed || graph_changed;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Status PassManager::run(Graph& graph, PassContext& context) {
  stopped_ = false;
  num_run_ = 0;
  GRADC_TRY([[maybe_unused]] const bool changed, run_steps(pipeline_, graph, context));
  return Ok{};
}

Result<bool> PassManager::run_steps(const std::vector<PipelineStep>& steps, Graph& graph,
                                    PassContext& context) {
  bool any = false;
  for (const PipelineStep& step : steps) {
    if (stopped_) break;
    if (step.pass != nullptr) {
      GRADC_TRY(const bool changed, run_pass(*step.pass, graph, context));
      any |= changed;
      continue;
    }
    for (int round = 0;; ++round) {
      GRADC_CHECK(round < kMaxRounds, "a repeated group of passes does not come to rest");
      GRADC_TRY(const bool changed, run_steps(step.repeated, graph, context));
      any |= changed;
      if (!changed || stopped_) break;
    }
  }
  return any;
}

Result<bool> PassManager::run_pass(const PassInfo& pass, Graph& graph, PassContext& context) {
  const bool keep_before = options_.verify_each || options_.print_changed || options_.observe;
  const std::shared_ptr<Graph> before = keep_before ? graph.clone() : nullptr;
  context.options.verify = options_.verify_each;
  context.begin_pass(pass.name);
  bool changed = false;
  {
    const ScopedTimer timer(options_.times, pass.name);
    GRADC_TRY(changed, run_on_bodies(pass, graph, context));
  }
  if (pass.name == options_.break_after) {
    std::vector<NodeId> backwards = graph.nodes();
    std::reverse(backwards.begin(), backwards.end());
    graph.set_order(backwards);
    changed = true;
  }
  ++num_run_;
  if (options_.verify_each) check(pass, *before, graph, changed);
  GRADC_TRY_STATUS(report(pass, before.get(), graph, changed));
  if (changed && options_.observe) options_.observe(pass.name, *before, graph);
  stopped_ = pass.name == options_.stop_after;
  return changed;
}

void PassManager::check(const PassInfo& pass, const Graph& before, const Graph& after,
                        bool changed) const {
  const bool really_changed = structural_hash(before) != structural_hash(after);
  GRADC_CHECK(changed == really_changed, "pass {} said that it {} the graph, but it {}\n{}",
              pass.name, changed ? "changed" : "did not change", changed ? "did not" : "did",
              print_graph(before));
  if (!changed) return;
  const std::vector<VerifierError> errors = find_violations(after);
  GRADC_CHECK(errors.empty(), "pass {} broke the graph\n{}\nbefore the pass:\n{}", pass.name,
              print_violations(after, errors), print_graph(before));
}

Status PassManager::report(const PassInfo& pass, const Graph* before, const Graph& after,
                           bool changed) {
  if (options_.dump) {
    GRADC_TRY_STATUS(
        options_.dump(fmt::format("{:02}-{}.gir", num_run_, pass.name), print_graph(after)));
  }
  if (!options_.print) return Ok{};
  if (contains(options_.print_after, pass.name) || contains(options_.print_after, "all"))
    options_.print(fmt::format("// after {}\n{}", pass.name, print_graph(after)));
  if (options_.print_changed) {
    PrintOptions plain;
    plain.align = false;  // what changed, not how columns moved
    options_.print(
        changed ? fmt::format("// changed by {}\n{}", pass.name,
                              line_diff(print_graph(*before, plain), print_graph(after, plain)))
                : fmt::format("// unchanged by {}\n", pass.name));
  }
  return Ok{};
}

// ---- the text of pipelines
// ------------------------------------------------------------------------

namespace {

Diagnostic unknown_pass(std::string_view name) {
  std::vector<std::string> known;
  for (const PassInfo& pass : all_passes())
    known.emplace_back(pass.name);
  Diagnostic error = make_error(DiagKind::kInvalidUsage, {}, "unknown pass \"{}\"", name);
  return error.with_help(suggestion(name, known));
}

class PipelineParser {
 public:
  explicit PipelineParser(std::string_view text) : text_(text) {}

  Result<std::vector<PipelineStep>> parse() {
    std::vector<PipelineStep> steps = parse_list();
    if (position_ < text_.size())
      sink_.error(DiagKind::kInvalidUsage, {}, "unexpected \"{}\" in the list of passes",
                  text_.substr(position_));
    if (sink_.has_errors()) return Failure(sink_.take());
    return steps;
  }

 private:
  std::vector<PipelineStep> parse_list() {
    std::vector<PipelineStep> steps;
    do {
      skip_blanks();
      if (eat('(')) {
        steps.push_back({nullptr, parse_list()});
        if (!eat(')') || !eat('*'))
          sink_.error(DiagKind::kInvalidUsage, {},
                      "a repeated group of passes is written (a,b)*, seen \"{}\"", text_);
      } else if (const std::string_view name = word(); !name.empty()) {
        const PassInfo* pass = find_pass(name);
        if (pass == nullptr) sink_.add(unknown_pass(name));
        steps.push_back({pass, {}});
      }
      skip_blanks();
    } while (eat(','));
    return steps;
  }

  std::string_view word() {
    const size_t end = std::min(text_.find_first_of(",()* \t\n", position_), text_.size());
    const std::string_view result = text_.substr(position_, end - position_);
    position_ = end;
    return result;
  }
  void skip_blanks() {
    position_ = std::min(text_.find_first_not_of(" \t\n", position_), text_.size());
  }
  bool eat(char c) {
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  std::string_view text_;
  size_t position_ = 0;
  DiagnosticSink sink_;
};

std::optional<int64_t> parse_number(std::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  int64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

Result<std::vector<PipelineStep>> parse_pipeline(std::string_view text) {
  return PipelineParser(text).parse();
}

Result<std::pair<std::string, DebugCounter>> parse_debug_counter(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view range = colon == text.npos ? "" : text.substr(colon + 1);
  const size_t dash = range.find('-');
  const auto first = parse_number(range.substr(0, dash));
  const auto last = dash == range.npos ? first : parse_number(range.substr(dash + 1));
  if (!first || !last)
    return make_error(DiagKind::kInvalidUsage, {},
                      "a debug counter is written pass:first-last, seen \"{}\"", text);
  if (find_pass(name) == nullptr) return unknown_pass(name);
  return std::pair{std::string(name), DebugCounter{*first, *last}};
}

Status run_passes(Graph& graph, std::string_view pipeline, PassContext& context,
                  PassManagerOptions options) {
  GRADC_TRY(std::vector<PipelineStep> steps, parse_pipeline(pipeline));
  std::vector<std::string> named = options.print_after;
  named.push_back(options.stop_after);
  named.push_back(options.break_after);
  for (const std::string& name : named) {
    if (!name.empty() && name != "all" && find_pass(name) == nullptr) return unknown_pass(name);
  }
  return PassManager(std::move(steps), std::move(options)).run(graph, context);
}

}  // namespace gradc
