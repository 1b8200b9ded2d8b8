#include "driver/model_facts.h"

#include "driver/data_tables.h"
#include "frontend/layer_def.h"
#include "frontend/parameter_steps.h"
#include "ir/attrs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

namespace gradc {

namespace {

/// What tells texts apart (FNV-1a).
std::string digest(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return fmt::format("{:016x}", hash);
}

/// A list of "key=value".
class FactText {
 public:
  FactText& add(std::string_view key, std::string_view value) {
    text_ += fmt::format("{}{}={}", text_.empty() ? "" : "; ", key, value);
    return *this;
  }
  template <class Number>
  FactText& number(std::string_view key, Number value) {
    return add(key, fmt::format("{}", value));
  }
  template <class List>
  FactText& list(std::string_view key, const List& values) {
    return add(key, fmt::format("[{}]", fmt::join(values, ", ")));
  }
  /// The type and all options that are set, those of typed objects with their path in front.
  FactText& component(const std::string& path, const Component& component) {
    add(path.empty() ? "type" : path, component.def->type);
    for (const OptionDef& option : component.def->options) {
      const std::string name =
          path.empty() ? std::string(option.name) : fmt::format("{}.{}", path, option.name);
      if (component.options.has(option.name)) this->option(name, option, component.options);
    }
    return *this;
  }
  /// The same of a layer; of a raw op its attributes.
  FactText& layer(const std::string& path, const Layer& layer) {
    const std::string in = path.empty() ? "" : path + ".";
    if (layer.def == &raw_op_layer()) {
      add(in + "type", layer.component.written_type);
      for (const auto& [name, value] : layer.raw_attrs.all_fields())
        add(in + name, print_attr(value));
    } else {
      component(path, layer.component);
    }
    if (const double rate = rate_multiplier(layer); rate != 1.0)
      number(in + std::string(kRateMultiplier.name), rate);
    return layer.trainable ? *this : add(in + "trainable", "false");
  }
  std::string take() { return std::move(text_); }

 private:
  void option(const std::string& name, const OptionDef& def, const Options& options) {
    switch (def.type) {
      case OptionType::kBool:
        add(name, options.flag(def.name) ? "true" : "false");
        break;
      case OptionType::kInt:
        number(name, options.integer(def.name));
        break;
      case OptionType::kFloat:
        number(name, options.number(def.name));
        break;
      case OptionType::kString:
      case OptionType::kEnum:
        add(name, options.text(def.name));
        break;
      case OptionType::kInts:
      case OptionType::kSizes:
      case OptionType::kIntOrInts:
      case OptionType::kPaddings:
        list(name, options.ints(def.name));
        break;
      case OptionType::kFloats:
      case OptionType::kFloatOrFloats:
        list(name, options.numbers(def.name));
        break;
      case OptionType::kLayer:
        layer(name, *options.layer(def.name));
        break;
      case OptionType::kLayers:
        for (const auto& one : options.layers(def.name))
          layer(name, *one);
        break;
      case OptionType::kComponent:
        component(name, *options.component(def.name));
        break;
      case OptionType::kFile:
        add(name, digest(options.file(def.name).text()));
        break;
      case OptionType::kNamedInts:
        for (const auto& [key, value] : options.named_ints(def.name))
          number(name + "." + key, value);
        break;
    }
  }

  std::string text_;
};

std::string call_text(const Model& model, const Call& call) {
  const Layer& layer = model.layers[call.layer];
  FactText text;
  text.layer("", layer);
  if (layer.name != call.name) text.add("shared with", layer.name);
  std::vector<std::string> inputs;
  for (ModelValue value : call.inputs)
    inputs.push_back(model.value_name(value));
  text.list("inputs", inputs);
  for (size_t i = 0; i < call.named.size(); ++i) {
    if (call.named[i]) text.add(layer.def->named_inputs[i].name, model.value_name(*call.named[i]));
  }
  return text.take();
}

std::string rule_text(const DataRule& rule) {
  FactText text;
  text.number("scale", rule.scale).number("offset", rule.offset);
  text.number("standardize", static_cast<int>(rule.standardize));
  text.list("mean", rule.mean).list("std", rule.stddev);
  text.number("one_hot", rule.one_hot);
  text.list("reshape", rule.reshape);
  text.number("flip_horizontal", rule.flip_horizontal);
  text.number("shift_height", rule.shift_height).number("shift_width", rule.shift_width);
  text.number("crop", rule.crop).number("noise", rule.noise_stddev);
  if (rule.flip_vertical) text.number("flip_vertical", rule.flip_vertical);
  if (rule.cutout.height > 0) {
    text.list("cutout", std::array{rule.cutout.height, rule.cutout.width});
    text.number("cutout fill", rule.cutout.fill);
  }
  if (rule.mix.mixup > 0) text.number("mixup", rule.mix.mixup);
  if (rule.mix.cutmix > 0) text.number("cutmix", rule.mix.cutmix);
  for (const ColumnRule& column : rule.columns) {
    text.add("column", column.name).number("categories", column.categories);
    text.number("missing", static_cast<int>(column.missing)).number("fill", column.fill);
    text.add("fill", column.fill_text).number("flag", column.flag);
    if (!column.date.empty()) {
      text.number("date", date_parts(column)).number("cyclic", column.cyclic);
      text.add("format", column.format);
    }
  }
  if (rule.resize.height > 0) {
    text.list("resize", std::array{rule.resize.height, rule.resize.width});
    text.number("fit", static_cast<int>(rule.resize.fit));
    text.number("filter", static_cast<int>(rule.resize.filter));
  }
  if (rule.series.stride > 0)
    text.number("stride", rule.series.stride).number("horizon", rule.series.horizon);
  if (const SoundRule& sound = rule.sound; sound.rate > 0) {
    text.number("rate", sound.rate).number("align", static_cast<int>(sound.align));
    text.number("fft_length", sound.fft_length).number("sequence_length", sound.sequence_length);
    text.number("sequence_stride", sound.sequence_stride).number("min_freq", sound.min_freq);
    text.number("max_freq", sound.max_freq).number("min_power", sound.min_power);
    text.number("mel_scale", static_cast<int>(sound.mel_scale));
  }
  if (rule.text.split != TextRule::Split::kNone) {
    text.number("text split", static_cast<int>(rule.text.split));
    text.number("lower", rule.text.lower).number("strip", rule.text.strip);
    text.number("max_tokens", rule.text.max_tokens);
    text.number("pad_front", rule.text.pad_front).number("cut_front", rule.text.cut_front);
    if (rule.text.mask_selection_rate > 0) {
      text.number("mask_selection_rate", rule.text.mask_selection_rate);
      text.number("mask_token_rate", rule.text.mask_token_rate);
      text.number("random_token_rate", rule.text.random_token_rate);
      text.number("mask_token_id", rule.text.mask_token_id);
    }
  }
  return text.take();
}

void add_training(const Model& model, std::vector<ModelFact>& facts) {
  const Training& training = *model.training;
  for (const OutputLoss& loss : training.losses) {
    FactText text;
    text.component("", loss.loss).number("weight", loss.weight);
    if (loss.class_weights) {
      if (loss.class_weights->balanced) text.add("class_weight", "balanced");
      for (const auto& [name, weight] : loss.class_weights->given)
        text.number("weight of " + name, weight);
    }
    facts.push_back({"loss of " + model.outputs[loss.output].name, text.take()});
  }
  for (const OutputMetric& metric : training.metrics) {
    FactText text;
    text.component("", metric.metric).add("as", metric.resolved->type);
    text.add("of", model.outputs[metric.output].name);
    facts.push_back({"metric " + metric.name, text.take()});
  }
  if (training.sample_weight) facts.push_back({"sample_weight", "true"});
  facts.push_back({"optimizer", FactText().component("", training.optimizer).take()});
}

}  // namespace

std::vector<ModelFact> model_facts(const Model& model) {
  std::vector<ModelFact> facts;
  for (const ModelInput& input : model.inputs)
    facts.push_back({"input " + input.name, to_string(input.spec)});
  for (const Call& call : model.calls)
    facts.push_back({"layer " + call.name, call_text(model, call)});
  std::vector<std::string> outputs;
  for (const ModelOutput& output : model.outputs)
    outputs.push_back(model.value_name(output.value));
  facts.push_back({"outputs", fmt::format("[{}]", fmt::join(outputs, ", "))});
  for (const DataRule& rule : model.data) {
    facts.push_back({fmt::format("data of {} {}", rule.is_target ? "target" : "input", rule.name),
                     rule_text(rule)});
  }
  if (model.training) add_training(model, facts);
  return facts;
}

}  // namespace gradc
