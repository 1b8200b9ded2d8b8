// Commands on the graph IR's text form.
#include "ir/dot.h"
#include "ir/graph_json.h"
#include "ir/interpreter.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/structural_hash.h"
#include "tests/support/file_commands.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace gradc::testing {

namespace {

std::optional<std::vector<double>> parse_numbers(std::string_view text) {
  std::vector<double> numbers;
  while (!text.empty()) {
    const size_t skipped = std::min(text.find_first_not_of(" ,"), text.size());
    text.remove_prefix(skipped);
    if (text.empty()) break;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), numbers.emplace_back());
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  return numbers;
}

Result<Tensor> read_input(const FileTest& test, const GraphInput& input, const TensorType& type) {
  const std::vector<std::string> given = test.directives("in " + input.name);
  const auto count = static_cast<size_t>(type.num_elements());
  if (given.size() != 1)
    return make_error(DiagKind::kInvalidUsage, {}, "one line \"// in {}: NUMBERS\" is needed",
                      input.name);
  std::optional<std::vector<double>> numbers = parse_numbers(given[0]);
  if (numbers && numbers->size() == 1) numbers->resize(count, numbers->front());
  if (!numbers || numbers->size() != count)
    return make_error(DiagKind::kInvalidUsage, {}, "\"// in {}\" needs {} numbers", input.name,
                      count);
  return Tensor(type, std::move(*numbers));
}

std::string result_line(const std::string& name, const Tensor& value) {
  std::string line = fmt::format("{} : {} =", name, to_string(value.type));
  for (double x : value.data)
    line += fmt::format(" {:.6g}", x == 0.0 ? 0.0 : x);
  return line + "\n";
}

}  // namespace

Result<std::string> file_command_parse(const FileTest& test) {
  GRADC_TRY(const std::shared_ptr<Graph> graph, parse_graph(test.text, test.path));
  std::string text = print_graph(*graph);
  GRADC_TRY(const std::shared_ptr<Graph> again, parse_graph(text, "printed"));
  const std::string difference =
      first_difference(*graph, *again, {.value_names = true, .locations = true});
  if (!difference.empty())
    return make_error(DiagKind::kIrInvalid, {}, "reading the printed text back changes {}",
                      difference);
  return text;
}

Result<std::string> file_command_verify(const FileTest& test) {
  GRADC_TRY(const std::shared_ptr<Graph> graph, parse_graph(test.text, test.path));
  return std::string("ok\n");
}

Result<std::string> file_command_interpret(const FileTest& test) {
  GRADC_TRY(const std::shared_ptr<Graph> graph, parse_graph(test.text, test.path));
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph->inputs()) {
    GRADC_TRY(Tensor tensor, read_input(test, input, graph->type(input.value)));
    inputs.push_back(std::move(tensor));
  }
  GRADC_TRY(const InterpretResult result, interpret(*graph, inputs));
  std::string text;
  for (size_t i = 0; i < result.outputs.size(); ++i) {
    const GraphOutput& output = graph->outputs()[i];
    text += result_line(output.name.empty() ? "%" + graph->value(output.value).name : output.name,
                        result.outputs[i]);
  }
  for (const auto& [name, value] : result.updates)
    text += "update " + result_line(name, value);
  return text;
}

Result<std::string> file_command_dot(const FileTest& test) {
  GRADC_TRY(const std::shared_ptr<Graph> graph, parse_graph(test.text, test.path));
  return to_dot(*graph);
}

Result<std::string> file_command_json(const FileTest& test) {
  GRADC_TRY(const std::shared_ptr<Graph> graph, parse_graph(test.text, test.path));
  return graph_to_json(*graph);
}

}  // namespace gradc::testing
