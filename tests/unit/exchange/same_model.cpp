#include "tests/unit/exchange/same_model.h"

#include "frontend/layer_def.h"
#include "support/source_file.h"

#include <fmt/ranges.h>

namespace gradc::exchange {
namespace {

std::string text_of_layer(const Layer& layer);

std::string text_of(const Component& component);

std::string text_of(const Options& options, const OptionDef& def) {
  if (!options.has(def.name)) return "null";
  switch (def.type) {
    case OptionType::kBool:
      return options.flag(def.name) ? "true" : "false";
    case OptionType::kInt:
      return fmt::format("{}", options.integer(def.name));
    case OptionType::kFloat:
      return fmt::format("{}", options.number(def.name));
    case OptionType::kString:
    case OptionType::kEnum:
      return options.text(def.name);
    case OptionType::kInts:
    case OptionType::kSizes:
    case OptionType::kIntOrInts:
    case OptionType::kPaddings:
      return fmt::format("{}", fmt::join(options.ints(def.name), ","));
    case OptionType::kFloats:
    case OptionType::kFloatOrFloats:
      return fmt::format("{}", fmt::join(options.numbers(def.name), ","));
    case OptionType::kFile:
      return options.file(def.name).text();
    case OptionType::kNamedInts: {
      std::string text;
      for (const auto& [name, value] : options.named_ints(def.name))
        text += fmt::format("{}={} ", name, value);
      return text;
    }
    case OptionType::kComponent:
      return text_of(*options.component(def.name));
    case OptionType::kLayer:
      return text_of_layer(*options.layer(def.name));
    case OptionType::kLayers: {
      std::string text;
      for (const auto& layer : options.layers(def.name))
        text += text_of_layer(*layer);
      return text;
    }
  }
  return "?";
}

std::string text_of(const Component& component) {
  if (component.def == nullptr) return "op";
  std::string text(component.def->type);
  text += "{";
  for (const OptionDef& def : component.def->options) {
    if (def.name == "name") continue;
    text += fmt::format("{}={} ", def.name, text_of(component.options, def));
  }
  return text + "}";
}

std::string text_of_layer(const Layer& layer) {
  std::string text =
      fmt::format("{}: {} trainable={} compute={}", layer.name, text_of(layer.component),
                  layer.trainable, static_cast<int>(layer.policy.compute));
  for (const ParameterSpec& spec : layer.parameters)
    text += fmt::format("\n  {}[{}] {} trainable={}", spec.name, fmt::join(spec.shape, ","),
                        text_of(spec.initializer), spec.trainable);
  return text;
}

/// Optimizers that have two names are one.
std::string text_of_optimizer(const Component& optimizer) {
  std::string text = text_of(optimizer);
  for (const char* alias : {"momentum{", "nesterov{"}) {
    if (text.starts_with(alias)) text = "sgd" + text.substr(std::string(alias).size() - 1);
  }
  return text;
}

}  // namespace

std::string text_of_model(const Model& model) {
  std::string text;
  for (const ModelInput& input : model.inputs)
    text += fmt::format("input {} {}\n", input.name, to_string(input.spec));
  for (const Layer& layer : model.layers)
    text += text_of_layer(layer) + "\n";
  for (const Call& call : model.calls) {
    text += fmt::format("call {}:", model.layers[call.layer].name);
    for (const ModelValue input : call.inputs)
      text += fmt::format(" {} {}", model.value_name(input), to_string(model.spec(input)));
    text += "\n";
  }
  for (const ModelOutput& output : model.outputs)
    text += fmt::format("output {}\n", model.value_name(output.value));
  if (!model.training) return text;
  for (const OutputLoss& loss : model.training->losses)
    text += fmt::format("loss {} {} {}\n", loss.output, text_of(loss.loss), loss.weight);
  for (const OutputMetric& metric : model.training->metrics)
    text += fmt::format("metric {} {} {}\n", metric.output, metric.resolved->type, metric.name);
  return text + "optimizer " + text_of_optimizer(model.training->optimizer) + "\n";
}

}  // namespace gradc::exchange
