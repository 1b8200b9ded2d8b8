// "op.NAME": an op of the op table used as a layer, for what no layer covers. Operands are the
// layer's inputs with their batch axis; the first axis of the result must be the batch again.
#include "frontend/layer_def.h"
#include "ir/op.h"
#include "ir/rows.h"
#include "support/suggest.h"

namespace gradc {
namespace {

std::vector<int64_t> int_list(const Json& value) {
  std::vector<int64_t> list;
  for (const Json& element : value) {
    if (element.is_number_integer()) list.push_back(element.get<int64_t>());
  }
  return list;
}

/// A JSON value as an attribute of the kind that the default has; nothing when it does not fit.
std::optional<AttrValue> to_attr(const Json& value, const AttrValue& like) {
  if (std::holds_alternative<DType>(like)) {
    const auto dtype = value.is_string() ? find_dtype(value.get<std::string>()) : std::nullopt;
    if (!dtype) return std::nullopt;
    return AttrValue(*dtype);
  }
  if (std::holds_alternative<Dense>(like)) {
    std::vector<double> numbers;
    if (value.is_number()) numbers.push_back(value.get<double>());
    if (value.is_array()) {
      for (const Json& element : value) {
        if (!element.is_number()) return std::nullopt;
        numbers.push_back(element.get<double>());
      }
    }
    if (numbers.empty()) return std::nullopt;
    return AttrValue(std::make_shared<const std::vector<double>>(std::move(numbers)));
  }
  if (value.is_boolean()) return AttrValue(value.get<bool>());
  if (value.is_number_integer()) return AttrValue(value.get<int64_t>());
  if (value.is_number()) return AttrValue(value.get<double>());
  if (value.is_string()) return AttrValue(value.get<std::string>());
  if (value.is_array() && int_list(value).size() == value.size()) return AttrValue(int_list(value));
  return std::nullopt;
}

bool usable(const OpDef& def) {
  return !def.has(kTraitEffect) && !def.has(kTraitRandom) && def.lowering != Lowering::kStructure &&
         def.lowering != Lowering::kSource;
}

std::vector<std::string> usable_ops() {
  std::vector<std::string> names;
  for (const OpDef* def : all_ops()) {
    if (usable(*def)) names.push_back("op." + std::string(def->name));
  }
  return names;
}

TensorType with_batch(const TensorSpec& spec, int64_t batch) {
  Ints dims = {batch};
  dims.insert(dims.end(), spec.shape.begin(), spec.shape.end());
  return {spec.dtype, Shape(dims)};
}

/// A batch of one has no rows that could meet; a larger one is looked at where it is asked for.
bool keeps_rows_apart(const LayerInferArgs& a, const std::vector<TensorType>& operands,
                      const TensorType& result) {
  if (a.batch_size < 2) return true;
  std::vector<RowPlace> places;
  for (const TensorType& operand : operands)
    places.push_back(leading_rows(operand.shape));
  const RowPlace made = rows_of_call(a.layer.raw_op, operands, a.layer.raw_attrs,
                                     std::span(&result, 1), places, a.batch_size)
                            .front();
  return made == leading_rows(result.shape);
}

bool infer_raw_op(LayerInferArgs& a) {
  std::vector<TensorType> operands;
  for (const TensorSpec& input : a.inputs)
    operands.push_back(with_batch(input, a.batch_size));
  Result<Types> types = infer_types(a.layer.raw_op, operands, a.layer.raw_attrs);
  if (!types) {
    for (Diagnostic diagnostic : types.diagnostics()) {
      diagnostic.place = a.place;
      a.sink.add(std::move(diagnostic));
    }
    return false;
  }
  if (types->size() != 1) return a.mismatch("gives {} results; a layer gives one", types->size());
  const TensorType& type = types->front();
  if (type.rank() == 0 || type.shape[0] != a.batch_size) {
    return a.mismatch("gives {}, whose first axis is not the batch of {}", to_string(type),
                      a.batch_size);
  }
  if (!keeps_rows_apart(a, operands, type)) {
    a.sink
        .error(DiagKind::kShapeMismatch, a.place,
               "{} gives {}, of which a row sees other rows of the batch: a last batch that is not "
               "full is padded, so that each must be made of its own",
               a.who(), to_string(type))
        .with_help("work along the axes behind the batch, which is axis 0");
    return false;
  }
  a.output = {type.dtype, Ints(type.shape.begin() + 1, type.shape.end())};
  return true;
}

Val build_raw_op(const LayerBuildArgs& a) {
  return a.builder.add(a.layer.raw_op, {a.inputs.begin(), a.inputs.end()}, a.layer.raw_attrs);
}

}  // namespace

const LayerDef& raw_op_layer() {
  static constexpr LayerDef kRawOp{
      .base = {.type = "op",
               .summary = "An op of the op table (`gradc ops`); its attributes in \"attributes\"."},
      .min_inputs = 1,
      .max_inputs = -1,
      .integers = true,
      .infer = infer_raw_op,
      .build = build_raw_op,
  };
  return kRawOp;
}

bool read_raw_op(ObjectReader& reader, const std::string& type, Layer& layer) {
  DiagnosticSink& sink = reader.sink();
  const OpDef* def = find_op(std::string_view(type).substr(3));
  const auto attributes = reader.get("attributes");
  const Place type_place = reader.cursor().member("type").place();
  if (def == nullptr) {
    static const NameIndex known(usable_ops());
    sink.error(DiagKind::kUnknownLayer, type_place, "unknown op \"{}\"", type)
        .with_help(known.suggestion(type));
    return false;
  }
  if (!usable(*def)) {
    sink.error(
        DiagKind::kUnsupported, type_place,
        "op \"{}\" cannot be a layer: it has no operands, draws random numbers or has effects",
        def->name);
    return false;
  }
  layer.raw_op = def->op;
  if (def->attrs == nullptr) {
    if (!attributes) return true;
    sink.error(DiagKind::kUnknownOption, attributes->key_place(), "op \"{}\" has no attributes",
               def->name);
    return false;
  }
  std::vector<NamedAttr> values;
  if (attributes) {
    ObjectReader members(sink, *attributes, fmt::format("op \"{}\"", def->name));
    if (!members.is_object()) return false;
    for (const auto& [named, changed] : def->attrs->fields(def->attrs->make_default().get())) {
      const auto at = members.get(named.first);
      if (!at) continue;
      if (auto value = to_attr(at->value(), named.second)) {
        values.emplace_back(named.first, std::move(*value));
      } else {
        report_wrong_type(sink, *at, fmt::format("like {}", print_attr(named.second)));
        return false;
      }
    }
    members.finish();
  }
  auto attrs = def->attrs->from_fields(values);
  if (!attrs) {
    for (Diagnostic diagnostic : attrs.diagnostics()) {
      diagnostic.place = attributes->place();
      sink.add(std::move(diagnostic));
    }
    return false;
  }
  layer.raw_attrs = AttrRef(attrs.take(), def->attrs);
  return true;
}

}  // namespace gradc
