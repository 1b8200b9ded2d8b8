#include "frontend/loss_advice.h"

#include "frontend/families.h"
#include "frontend/layer_def.h"

namespace gradc {
namespace {

/// What the output's layer ends with: the type of an activation, "linear" for a layer that takes
/// one and has none, or nothing for other layers.
std::string_view last_activation(const Model& model, size_t output) {
  const ModelValue value = model.outputs[output].value;
  const Call* call = model.call_of(value);
  if (call == nullptr || value != call->first) return {};
  const Layer& layer = model.layers[call->layer];
  if (layer.component.def == nullptr) return {};
  if (const ComponentDef* activation = find_member(Family::kActivation, layer.component.def->type))
    return activation->type;
  for (const OptionDef& option : layer.component.def->options) {
    if (option.name != "activation") continue;
    const Component* activation = layer.component.options.component("activation");
    return activation == nullptr ? "linear" : activation->def->type;
  }
  return {};
}

}  // namespace

void warn_of_activation(const Model& model, const OutputLoss& of, DiagnosticSink& sink) {
  const Component& loss = of.loss;
  const size_t output = of.output;
  const Ints& shape = model.spec(model.outputs[output].value).shape;
  if (last_activation(model, output) == "softmax" && !shape.empty() && shape.back() == 1) {
    sink.error(DiagKind::kBadValue, loss.place,
               "output \"{}\" is a softmax over one element, which is 1 whatever the input",
               model.outputs[output].name)
        .with_help("for two classes in one unit, use sigmoid and binary_crossentropy");
    return;
  }
  const std::string_view activation = last_activation(model, output);
  const std::string& name = model.outputs[output].name;
  if (loss_target(loss) == TargetKind::kLabels && activation == "softmax") {
    sink.warning(DiagKind::kMissingSoftmax, loss.place,
                 "{} wants logits, but output \"{}\" ends with softmax", loss.def->type, name)
        .with_help("leave the softmax away");
  }
  if (loss.def->type.find("crossentropy") == std::string_view::npos) return;
  const bool from_logits = loss.options.flag("from_logits");
  if (from_logits && (activation == "softmax" || activation == "sigmoid")) {
    sink.warning(DiagKind::kMissingSoftmax, loss.place,
                 "\"from_logits\" is true, but output \"{}\" ends with {}", name, activation)
        .with_help(fmt::format("leave \"from_logits\" away, or the {}", activation));
  } else if (!from_logits && activation == "linear") {
    const bool binary = loss.def->type == "binary_crossentropy";
    sink.warning(DiagKind::kMissingSoftmax, loss.place,
                 "{} wants probabilities, but output \"{}\" has no activation", loss.def->type,
                 name)
        .with_help(fmt::format("\"from_logits\": true, or \"activation\": \"{}\"",
                               binary ? "sigmoid" : "softmax"));
  }
}

}  // namespace gradc
