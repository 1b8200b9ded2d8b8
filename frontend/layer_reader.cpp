#include "frontend/layer_reader.h"

#include "frontend/component_reader.h"
#include "frontend/dtype_policy.h"
#include "frontend/layer_def.h"
#include "frontend/parameter_steps.h"
#include "support/suggest.h"

#include <initializer_list>

namespace gradc {

namespace {

bool read_members(DiagnosticSink& sink, const JsonCursor& at,
                  std::initializer_list<const char*> other, bool inner, Layer& layer) {
  layer.place = at.place();
  layer.component.def = &layer.def->base;
  layer.component.place = layer.place;
  const size_t errors = sink.all().size();
  ObjectReader reader(sink, at,
                      fmt::format("{} layer \"{}\"", layer.component.written_type, layer.name));
  for (const char* member : other)
    reader.get(member);
  if (!inner) {
    for (const NamedInput& input : layer.def->named_inputs)
      reader.get(input.name);
  }
  if (const auto trainable = reader.get("trainable"))
    layer.trainable = read_bool(sink, *trainable).value_or(true);
  const bool trains = !inner && layer.def != &raw_op_layer();
  if (const auto multiplier = trains ? reader.get(kRateMultiplier.name) : std::nullopt) {
    if (const auto value = read_number(sink, *multiplier, kRateMultiplier))
      layer.component.options.set(kRateMultiplier.name, *value);
  }
  if (layer.def == &raw_op_layer()) {
    read_raw_op(reader, layer.component.written_type, layer);
  } else {
    if (const auto dtype = inner ? std::nullopt : reader.get("dtype"))
      layer.policy = read_policy(sink, *dtype).value_or(DTypePolicy{});
    read_options(reader, layer.def->base.options, layer.component.options);
  }
  reader.finish();
  return sink.all().size() == errors;
}

}  // namespace

bool read_layer_members(DiagnosticSink& sink, const JsonCursor& at, Layer& layer) {
  return read_members(sink, at, {"type", "name", "inputs"}, /*inner=*/false, layer);
}

std::shared_ptr<const Layer> read_inner_layer(DiagnosticSink& sink, const JsonCursor& at) {
  ObjectReader reader(sink, at, "a layer");
  if (!reader.is_object()) return nullptr;
  const auto type_at = reader.require("type");
  const auto type = type_at ? read_string(sink, *type_at) : std::nullopt;
  if (!type) return nullptr;
  auto layer = std::make_shared<Layer>();
  layer->def = type->starts_with("op.") ? &raw_op_layer() : find_layer(*type);
  if (layer->def == nullptr) {
    sink.error(DiagKind::kUnknownLayer, type_at->place(), "unknown layer type \"{}\"", *type)
        .with_help(suggestion(*type, layer_names()));
    return nullptr;
  }
  layer->component.written_type = *type;
  layer->name = *type;
  if (const auto name_at = reader.get("name")) {
    const auto name = read_name(sink, *name_at);
    if (!name) return nullptr;
    layer->name = *name;
  }
  if (!read_members(sink, at, {"type", "name"}, /*inner=*/true, *layer)) return nullptr;
  const Options& options = layer->component.options;
  if (options.defines("tied_to") && options.has("tied_to")) {
    sink.error(DiagKind::kUnsupported, at.member("tied_to").place(),
               "a {} inside of another layer cannot be tied", *type)
        .with_help("let it stand in the list itself: it works on the last axis of any input");
    return nullptr;
  }
  return layer;
}

}  // namespace gradc
