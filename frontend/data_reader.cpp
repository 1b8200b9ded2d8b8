// The "data" section: what happens to each input and target between the file and the model.
#include "frontend/component_reader.h"
#include "frontend/families.h"
#include "frontend/layer_def.h"
#include "frontend/training_reader.h"
#include "support/suggest.h"

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace gradc {
namespace {

constexpr OptionDef kNumber = {.name = "number", .type = OptionType::kFloat};
constexpr OptionDef kPositive = {
    .name = "number", .type = OptionType::kFloat, .min = 0, .above_min = true};
constexpr OptionDef kClasses = {.name = "one_hot", .type = OptionType::kInt, .min = 2};
constexpr OptionDef kMaxTokens = {.name = "max_tokens", .type = OptionType::kInt, .min = 3};
constexpr OptionDef kSplit = {
    .name = "split", .type = OptionType::kEnum, .choices = "whitespace character"};
constexpr OptionDef kStandardize = {.name = "standardize",
                                    .type = OptionType::kEnum,
                                    .choices =
                                        "lower_and_strip_punctuation lower "
                                        "strip_punctuation"};
constexpr OptionDef kEnd = {.name = "end", .type = OptionType::kEnum, .choices = "pre post"};
constexpr OptionDef kRate = {.name = "rate", .type = OptionType::kFloat, .min = 0, .max = 1};
constexpr OptionDef kSomeRate = {
    .name = "rate", .type = OptionType::kFloat, .min = 0, .max = 1, .above_min = true};
constexpr OptionDef kToken = {.name = "mask_token_id", .type = OptionType::kInt, .min = 0};
constexpr OptionDef kShape = {.name = "reshape", .type = OptionType::kInts, .min = 1};

class RuleReader {
 public:
  RuleReader(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec, DataRule& rule)
      : reader_(sink, at, fmt::format("the data rule of \"{}\"", rule.name)),
        sink_(sink),
        spec_(spec),
        rule_(rule) {}

  void run() {
    if (!reader_.is_object()) return;
    rule_.place = reader_.cursor().place();
    if (const auto at = reader_.get("scale")) {
      rule_.scale = float_rule(*at).value_or(1.0);
      if (rule_.scale == 0.0) {
        sink_.error(DiagKind::kBadValue, at->place(),
                    "\"scale\" is 0, which leaves nothing of \"{}\"", rule_.name);
      }
    }
    if (const auto at = reader_.get("offset")) rule_.offset = float_rule(*at).value_or(0.0);
    if (const auto at = reader_.get("standardize")) read_standardize(*at);
    if (const auto at = reader_.get("one_hot")) read_one_hot(*at);
    if (const auto at = reader_.get("flatten")) read_flatten(*at);
    if (const auto at = reader_.get("reshape")) read_reshape(*at);
    if (const auto at = reader_.get("augment")) read_augment(*at, sink_, spec_, rule_);
    if (const auto at = reader_.get("text")) read_text_rule(*at);
    if (const auto at = reader_.get("resize")) read_resize(*at, sink_, spec_, rule_);
    if (const auto at = reader_.get("series")) read_series(*at, sink_, spec_, rule_);
    if (const auto at = reader_.get("sound")) read_sound(*at, sink_, spec_, rule_);
    if (const auto at = reader_.get("columns")) read_columns(*at, sink_, spec_, rule_);
    reader_.finish();
  }

 private:
  /// A number; refused for integer data, which is indices.
  std::optional<double> float_rule(const JsonCursor& at) {
    const auto number = read_number(sink_, at, kNumber);
    if (number && !is_float(spec_.dtype)) {
      sink_.error(DiagKind::kTypeMismatch, at.key_place(),
                  "\"{}\" holds integers ({}), which cannot be scaled", rule_.name,
                  to_string(spec_));
      return std::nullopt;
    }
    return number;
  }

  std::vector<double> numbers(const JsonCursor& at, const OptionDef& limits) {
    std::vector<double> list;
    if (!at.value().is_array()) {
      list.push_back(read_number(sink_, at, limits).value_or(1.0));
      return list;
    }
    for (size_t i = 0; i < at.value().size(); ++i)
      list.push_back(read_number(sink_, at.element(i), limits).value_or(1.0));
    return list;
  }

  void read_standardize(const JsonCursor& at) {
    if (!is_float(spec_.dtype)) {
      sink_.error(DiagKind::kTypeMismatch, at.key_place(),
                  "\"{}\" holds integers ({}), which cannot be standardized", rule_.name,
                  to_string(spec_));
      return;
    }
    if (at.value().is_boolean()) {
      rule_.standardize =
          at.value().get<bool>() ? DataRule::Standardize::kFromData : DataRule::Standardize::kNone;
      return;
    }
    if (!at.value().is_object()) {
      report_wrong_type(sink_, at, "true, false or {\"mean\", \"std\"}");
      return;
    }
    ObjectReader reader(sink_, at, "\"standardize\"");
    const auto mean = reader.require("mean");
    const auto stddev = reader.require("std");
    reader.finish();
    if (!mean || !stddev) return;
    rule_.standardize = DataRule::Standardize::kGiven;
    rule_.mean = numbers(*mean, kNumber);
    rule_.stddev = numbers(*stddev, kPositive);
    const auto elements = static_cast<size_t>(checked_product(spec_.shape).value_or(0));
    const size_t last = spec_.shape.empty() ? 1 : static_cast<size_t>(spec_.shape.back());
    const size_t count = rule_.mean.size();
    if (count != rule_.stddev.size() || (count != 1 && count != last && count != elements)) {
      sink_.error(DiagKind::kShapeMismatch, at.place(),
                  "{} means and {} deviations do not fit \"{}\" of shape {}: 1, {} or {} of each "
                  "are possible",
                  count, rule_.stddev.size(), rule_.name, shape_text(spec_.shape), last, elements);
    }
  }

  void read_one_hot(const JsonCursor& at) {
    const auto classes = read_integer(sink_, at, kClasses);
    if (!classes) return;
    if (!is_float(spec_.dtype) || spec_.shape.empty() || spec_.shape.back() != *classes) {
      sink_
          .error(DiagKind::kShapeMismatch, at.place(), "one_hot makes rows of {}, but \"{}\" is {}",
                 *classes, rule_.name, to_string(spec_))
          .with_help(is_float(spec_.dtype)
                         ? ""
                         : "this loss takes class indices as they are; leave one_hot out");
      return;
    }
    rule_.one_hot = *classes;
  }

  void read_flatten(const JsonCursor& at) {
    const auto flatten = read_bool(sink_, at);
    if (!flatten || !*flatten) return;
    if (spec_.shape.size() != 1) {
      sink_.error(DiagKind::kShapeMismatch, at.key_place(),
                  "flatten gives one axis, but \"{}\" is {}", rule_.name, to_string(spec_));
      return;
    }
    rule_.reshape = spec_.shape;
  }

  void read_reshape(const JsonCursor& at) {
    const auto shape = read_option(sink_, at, kShape);
    if (!shape) return;
    if (std::get<Ints>(*shape) != spec_.shape) {
      sink_.error(DiagKind::kShapeMismatch, at.place(), "reshape gives {}, but \"{}\" is {}",
                  shape_text(std::get<Ints>(*shape)), rule_.name, to_string(spec_));
      return;
    }
    rule_.reshape = spec_.shape;
  }

  std::string choice(const JsonCursor& at, const OptionDef& def, std::string otherwise) {
    const auto value = read_option(sink_, at, def);
    return value ? std::get<std::string>(*value) : std::move(otherwise);
  }

  void read_text_rule(const JsonCursor& at) {
    ObjectReader reader(sink_, at, "\"text\"");
    if (!reader.is_object()) return;
    if (rule_.is_target || is_float(spec_.dtype) || spec_.shape.size() != 1) {
      sink_.error(DiagKind::kShapeMismatch, at.key_place(),
                  "texts become integers of shape [length], but {} \"{}\" is {}",
                  rule_.is_target ? "target" : "input", rule_.name, to_string(spec_));
    }
    TextRule& text = rule_.text;
    text.split = TextRule::Split::kWhitespace;
    if (const auto split = reader.get("split")) {
      if (choice(*split, kSplit, "whitespace") == "character")
        text.split = TextRule::Split::kCharacter;
    }
    if (const auto standardize = reader.get("standardize")) {
      const std::string name =
          standardize->value().is_null() ? "none" : choice(*standardize, kStandardize, "none");
      text.lower = name.starts_with("lower");
      text.strip = name.ends_with("strip_punctuation");
    }
    if (const auto most = reader.get("max_tokens"))
      text.max_tokens = read_integer(sink_, *most, kMaxTokens).value_or(0);
    if (const auto padding = reader.get("padding"))
      text.pad_front = choice(*padding, kEnd, "post") == "pre";
    if (const auto cut = reader.get("truncating"))
      text.cut_front = choice(*cut, kEnd, "post") == "pre";
    if (const auto masked = reader.get("masked")) read_masked(*masked, text);
    reader.finish();
  }

  /// As KerasHub's MaskedLMMaskGenerator.
  void read_masked(const JsonCursor& at, TextRule& text) {
    ObjectReader reader(sink_, at, "\"masked\"");
    if (!reader.is_object()) return;
    text.mask_selection_rate = 0.15;
    if (const auto rate = reader.get("mask_selection_rate"))
      text.mask_selection_rate = read_number(sink_, *rate, kSomeRate).value_or(0.15);
    if (const auto rate = reader.get("mask_token_rate"))
      text.mask_token_rate = read_number(sink_, *rate, kRate).value_or(0.8);
    if (const auto rate = reader.get("random_token_rate"))
      text.random_token_rate = read_number(sink_, *rate, kRate).value_or(0.1);
    if (const auto token = reader.get("mask_token_id"))
      text.mask_token_id = read_integer(sink_, *token, kToken).value_or(-1);
    reader.finish();
    if (text.mask_token_rate + text.random_token_rate > 1.0) {
      sink_.error(DiagKind::kBadValue, at.place(),
                  "\"mask_token_rate\" and \"random_token_rate\" are {} together, at most 1 was "
                  "expected",
                  text.mask_token_rate + text.random_token_rate);
    }
  }

  ObjectReader reader_;
  DiagnosticSink& sink_;
  const TensorSpec& spec_;
  DataRule& rule_;
};

}  // namespace

void read_data(std::span<const JsonCursor> sections, DiagnosticSink& sink, Model& model) {
  std::vector<std::string> names;
  std::map<std::string, std::pair<TensorSpec, bool>> specs;  // and whether it is a target
  for (const ModelInput& input : model.inputs) {
    names.push_back(input.name);
    specs.emplace(input.name, std::pair(input.spec, false));
  }
  for (const ModelOutput& output : model.outputs)
    names.push_back(output.name);
  for (size_t i = 0; model.training && i < model.training->losses.size(); ++i) {
    const OutputLoss& loss = model.training->losses[i];
    if (loss.has_target)
      specs.emplace(model.outputs[loss.output].name, std::pair(model.target_spec(loss), true));
  }
  const NameIndex known(std::move(names));
  std::vector<std::pair<std::string, JsonCursor>> rules;
  for (const JsonCursor& section : sections) {
    if (!section.value().is_object()) {
      report_wrong_type(sink, section, "an object with one rule per input or target");
      continue;
    }
    for (const auto& [name, value] : section.value().items()) {
      const JsonCursor member = section.member(name, value);
      std::erase_if(rules, [&key = name](const auto& rule) { return rule.first == key; });
      if (specs.contains(name)) {
        rules.emplace_back(name, member);
        continue;
      }
      if (&section != &sections.back()) continue;  // told of its own file, with its own targets
      sink.error(DiagKind::kUnknownReference, member.key_place(),
                 "no input or target is named \"{}\"", name)
          .with_help(known.suggestion(name));
      if (!value.is_object()) report_wrong_type(sink, member, "an object");
    }
  }
  model.data.clear();
  for (const auto& [name, member] : rules) {
    const auto& [spec, is_target] = specs.at(name);
    DataRule rule;
    rule.name = name;
    rule.is_target = is_target;
    RuleReader(member, sink, spec, rule).run();
    model.data.push_back(std::move(rule));
  }
  check_mixing(sink, model);
}

}  // namespace gradc
