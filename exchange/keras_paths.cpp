#include "exchange/keras_paths.h"

#include <map>

namespace gradc::exchange {
namespace {

/// "/cell/cells/lstm_cell_1": the cell whose name begins the parameter's.
std::string path_of_cell(const Layer& layer, std::string_view name) {
  const auto& cells = layer.component.options.layers("cell");
  if (cells.size() == 1) return "/cell";
  std::map<std::string, int> counts;
  for (const auto& cell : cells) {
    const std::string type = snake_case(keras_class(cell->component.def->type));
    const int number = counts[type]++;
    if (name != cell->name) continue;
    return "/cell/cells/" + (number == 0 ? type : fmt::format("{}_{}", type, number));
  }
  return "/cell";
}

/// "query" -> "/query_dense". Where Keras has no name for it but the private one, that counts.
std::string path_of_product(std::string_view name, bool is_private) {
  const std::string_view what = name == "attention_output" ? "output" : name;
  return fmt::format("/{}{}_dense", is_private ? "_" : "", what);
}

}  // namespace

std::string snake_case(std::string_view name) {
  const size_t package = name.rfind('>');
  if (package != std::string_view::npos) name.remove_prefix(package + 1);
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool before_word = i > 0 && upper(name[i]) && i + 1 < name.size() && lower(name[i + 1]);
    const bool after_lower = i > 0 && upper(name[i]) && lower(name[i - 1]);
    if ((before_word || after_lower) && out.back() != '_') out += '_';
    out += upper(name[i]) ? static_cast<char>(name[i] - 'A' + 'a') : name[i];
  }
  return out;
}

std::string object_name(std::string_view class_name) {
  // Its name among the layers is not that of the class itself.
  if (class_name == "GroupQueryAttention") return "grouped_query_attention";
  return snake_case(class_name);
}

std::string path_inside(const Layer& layer, std::string_view parameter, KerasForm form) {
  const std::string_view type = layer.component.def->type;
  const Options& options = layer.component.options;
  const size_t slash = parameter.find('/');
  const std::string_view first = parameter.substr(0, slash);
  const std::string_view rest =
      slash == std::string_view::npos ? parameter : parameter.substr(slash + 1);
  if (type == "lstm" || type == "gru" || type == "simple_rnn" || type.starts_with("conv_lstm"))
    return "/cell";
  if (type == "spectral_normalization")
    return parameter == "vector_u"
               ? ""
               : "/layer" + path_inside(*options.layer("layer"), parameter, form);
  if (type == "rnn") return path_of_cell(layer, first);
  if (type == "time_distributed")
    return "/layer" + path_inside(*options.layer("layer"), parameter, form);
  if (type == "bidirectional") {
    const bool back = first.starts_with("backward");
    const Layer* own = back && options.has("backward_layer") ? options.layer("backward_layer")
                                                             : options.layer("layer");
    return (back ? "/backward_layer" : "/forward_layer") + path_inside(*own, rest, form);
  }
  if (type == "multi_head_attention") return path_of_product(first, form != KerasForm::kThree);
  if (type == "group_query_attention") return path_of_product(first, true);
  return {};
}

}  // namespace gradc::exchange
