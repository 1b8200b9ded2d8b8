#include "frontend/set_values.h"

#include "frontend/json_reader.h"
#include "support/suggest.h"
#include "support/utf8.h"

#include <charconv>
#include <utility>

namespace gradc {
namespace {

/// "~1" is '/', "~0" is '~'.
std::string unescaped(std::string_view step) {
  std::string text;
  for (size_t i = 0; i < step.size(); ++i) {
    const bool escape = step[i] == '~' && i + 1 < step.size();
    text += !escape ? step[i] : step[i + 1] == '1' ? '/' : '~';
    if (escape) ++i;
  }
  return text;
}

std::vector<std::string> split(std::string_view path) {
  const bool pointer = path.starts_with('/');
  if (pointer) path.remove_prefix(1);
  std::vector<std::string> steps;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(pointer ? '/' : '.', begin), path.size());
    const std::string_view step = path.substr(begin, end - begin);
    steps.push_back(pointer ? unescaped(step) : std::string(step));
    begin = end + 1;
  }
  return steps;
}

/// Goes to the place of one value.
class Setter {
 public:
  Setter(const SetValue& set, const std::string& file, DiagnosticSink& sink)
      : set_(set), file_(file), sink_(sink) {}

  void run(Json& document) {
    Json* at = &document;
    for (size_t i = 0; i < set_.steps.size() && at != nullptr; ++i) {
      at = step_into(*at, set_.steps[i], i + 1 == set_.steps.size());
      where_ = where_.empty() ? set_.steps[i] : where_ + "." + set_.steps[i];
    }
    if (at != nullptr) *at = **set_.value;
  }

 private:
  std::string here() const { return where_.empty() ? "the model" : "\"" + where_ + "\""; }

  Diagnostic& fail(std::string text) {
    return sink_.error(DiagKind::kUnknownName, {.file = file_}, "--set {}: {}",
                       printable(set_.path, 120), std::move(text));
  }

  Json* step_into(Json& at, const std::string& name, bool last) {
    // What has no options of its own may be written as its type alone.
    if (at.is_string()) at = Json{{"type", at}};
    if (at.is_array()) return element(at, name);
    if (!at.is_object()) {
      fail(
          fmt::format("{} is {}, which has no \"{}\"", here(), json_text(at), printable(name, 80)));
      return nullptr;
    }
    if (at.contains(name)) return &at[name];
    if (last) return &at[name];
    std::vector<std::string> known;
    for (const auto& [key, value] : at.items())
      known.push_back(key);
    fail(fmt::format("{} has no \"{}\"", here(), printable(name, 80)))
        .with_help(suggestion(name, known));
    return nullptr;
  }

  Json* element(Json& list, const std::string& name) {
    size_t index = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool number = read.ec == std::errc() && read.ptr == name.data() + name.size();
    if (number && index < list.size()) return &list[index];
    std::vector<std::string> known;
    for (Json& value : list) {
      if (!value.is_object() || !value.contains("name") || !value["name"].is_string()) continue;
      known.push_back(value["name"].get<std::string>());
      if (known.back() == name) return &value;
    }
    fail(fmt::format("{} is a list of {}, and none is called \"{}\"", here(), list.size(),
                     printable(name, 80)))
        .with_help(known.empty() ? std::string("name it by its number, from 0")
                                 : suggestion(name, known));
    return nullptr;
  }

  const SetValue& set_;
  const std::string& file_;
  DiagnosticSink& sink_;
  std::string where_;
};

}  // namespace

std::optional<SetValue> parse_set_value(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return std::nullopt;
  SetValue set{.path = std::string(text.substr(0, equals)), .steps = {}, .value = nullptr};
  set.steps = split(set.path);
  for (const std::string& step : set.steps) {
    if (step.empty()) return std::nullopt;
  }
  const std::string written(text.substr(equals + 1));
  Result<OwnJson> json = parse_json(SourceFile("--set", written));
  set.value = std::make_shared<OwnJson>(json.ok() ? json.take() : OwnJson(Json(written)));
  return set;
}

SetValues set_values(SetValues values, Json& document, const std::string& file,
                     DiagnosticSink& sink) {
  SetValues left;
  const bool around = document.is_object() && document.contains("model");
  for (SetValue& set : values) {
    if (around && !document.contains(set.steps.front()))
      left.push_back(std::move(set));
    else
      Setter(set, file, sink).run(document);
  }
  return left;
}

}  // namespace gradc
