#include "exchange/torch_layout.h"

#include "exchange/array_axes.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string_view>

namespace gradc::exchange {
namespace {

/// What a rule sees of one parameter.
struct Ask {
  const Layer& layer;  ///< whose options count: of a bidirectional one, the inner
  const std::vector<ParameterSpec>& all;  ///< parameters of the layer
  std::string_view prefix;                ///< of their names
  const Ints& shape;                      ///< of the parameter
  const Ints& image;

  const ParameterSpec* other(std::string_view name) const {
    const auto found = std::find_if(all.begin(), all.end(), [&](const ParameterSpec& spec) {
      return spec.name.starts_with(prefix) && spec.name.substr(prefix.size()) == name;
    });
    return found == all.end() ? nullptr : &*found;
  }
};

Ints axes(size_t count) {
  Ints perm(count);
  std::iota(perm.begin(), perm.end(), 0);
  return perm;
}

int64_t product(const Ints& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

/// A tensor that is all of a parameter whose axes are in another order.
TorchPart whole(std::string end, Ints view, Ints perm) {
  TorchPart part;
  part.end = std::move(end);
  part.view = std::move(view);
  part.perm = std::move(perm);
  for (const int64_t axis : part.perm)
    part.dims.push_back(part.view[static_cast<size_t>(axis)]);
  return part;
}

TorchLayout one(TorchPart part) {
  return {.parts = {std::move(part)}};
}

TorchLayout same(const Ask& ask, const char* end) {
  return one(whole(end, ask.shape, axes(ask.shape.size())));
}

/// Of an axis as long as a flattened image: PyTorch flattens with channels first.
bool is_image(const Ask& ask, int64_t extent) {
  return ask.image.size() >= 2 && ask.image.back() > 0 && extent % ask.image.back() == 0;
}

/// [in, out] -> [out, in].
TorchLayout dense_kernel(const Ask& ask) {
  if (ask.shape.size() != 2) return {};
  const int64_t in = ask.shape[0], out = ask.shape[1];
  if (!is_image(ask, in)) return one(whole("weight", ask.shape, {1, 0}));
  const int64_t channels = ask.image.back();
  TorchPart part = whole("weight", {in / channels, channels, out}, {2, 1, 0});
  part.dims = {out, in};
  return one(part);
}

/// One number for each element of the last axis.
TorchLayout per_element(const Ask& ask, const char* end) {
  if (ask.shape.size() != 1) return {};
  const int64_t count = ask.shape[0];
  if (!is_image(ask, count)) return same(ask, end);
  TorchPart part = whole(end, {count / ask.image.back(), ask.image.back()}, {1, 0});
  part.dims = ask.shape;
  return one(part);
}

/// A slope for each channel, or one for all.
TorchLayout slopes(const Ask& ask) {
  if (product(ask.shape) != (ask.shape.empty() ? 1 : ask.shape.back())) return {};
  TorchPart part = whole("weight", {product(ask.shape)}, {0});
  return one(part);
}

/// [spatial..., in, out] -> [out, in, spatial...]; of transposed ones [in, out, spatial...].
TorchLayout conv_kernel(const Ask& ask) {
  const auto rank = static_cast<int64_t>(ask.shape.size());
  if (rank < 3) return {};
  Ints perm = {rank - 1, rank - 2};
  for (int64_t axis = 0; axis + 2 < rank; ++axis)
    perm.push_back(axis);
  return one(whole("weight", ask.shape, perm));
}

/// [spatial..., channels, multiplier] -> [channels multiplier, 1, spatial...].
TorchLayout depthwise_kernel(const Ask& ask) {
  const auto rank = static_cast<int64_t>(ask.shape.size());
  if (rank < 3) return {};
  Ints perm = {rank - 2, rank - 1};
  for (int64_t axis = 0; axis + 2 < rank; ++axis)
    perm.push_back(axis);
  TorchPart part = whole("weight", ask.shape, perm);
  part.dims[0] *= part.dims[1];
  part.dims[1] = 1;
  return one(part);
}

bool is_gru(const Ask& ask) {
  return ask.layer.component.def->type == "gru";
}

/// [in, gates units] -> [gates units, in].
TorchLayout gate_kernel(const Ask& ask, const char* end) {
  if (ask.shape.size() != 2) return {};
  TorchPart part = whole(end, ask.shape, {1, 0});
  part.gru_gates = is_gru(ask);
  return one(part);
}

/// [gates units], or [2, gates units] of a layer that keeps both.
TorchLayout gate_bias(const Ask& ask) {
  const Ints row = {ask.shape.empty() ? 0 : ask.shape.back()};
  TorchLayout layout{.parts = {whole("bias_ih", row, {0}), whole("bias_hh", row, {0})},
                     .sums = ask.shape.size() == 1};
  for (TorchPart& part : layout.parts)
    part.gru_gates = is_gru(ask);
  return layout;
}

/// Whether PyTorch has such heads: of query, key and value alike, together as wide as the query.
bool are_heads(const Ask& ask) {
  const ParameterSpec* query = ask.other("query/kernel");
  const ParameterSpec* key = ask.other("key/kernel");
  const ParameterSpec* value = ask.other("value/kernel");
  const auto heads = [](const ParameterSpec* spec) {
    return spec == nullptr || spec->shape.size() != 3 ? Ints()
                                                      : Ints{spec->shape[1], spec->shape[2]};
  };
  const Ints size = heads(query);
  return !size.empty() && size == heads(key) && size == heads(value) &&
         product(size) == query->shape[0];
}

/// [features, heads, size] -> [heads size, features]; the three are one tensor, one behind the
/// other, where they come from equally many features.
TorchLayout projection(const Ask& ask, int64_t place, const char* apart) {
  if (!are_heads(ask)) return {};
  TorchPart part = whole(apart, ask.shape, {1, 2, 0});
  part.dims = {ask.shape[1] * ask.shape[2], ask.shape[0]};
  const int64_t features = ask.other("query/kernel")->shape[0];
  const bool joined = features == ask.other("key/kernel")->shape[0] &&
                      features == ask.other("value/kernel")->shape[0];
  if (joined) {
    part.end = "in_proj_weight";
    part.begin = place * part.dims[0];
    part.count = part.dims[0];
    part.dims[0] *= 3;
  }
  return one(part);
}

TorchLayout projection_bias(const Ask& ask, int64_t place) {
  if (!are_heads(ask)) return {};
  const int64_t rows = product(ask.shape);
  TorchPart part = whole("in_proj_bias", {rows}, {0});
  part.begin = place * rows;
  part.count = rows;
  part.dims[0] *= 3;
  return one(part);
}

/// [heads, size, features] -> [features, heads size].
TorchLayout output_kernel(const Ask& ask) {
  if (!are_heads(ask) || ask.shape.size() != 3 || ask.shape[2] != ask.shape[0] * ask.shape[1])
    return {};
  TorchPart part = whole("out_proj.weight", ask.shape, {2, 0, 1});
  part.dims = {ask.shape[2], ask.shape[0] * ask.shape[1]};
  return one(part);
}

struct Rule {
  std::string_view type;  ///< of layers whose type begins so
  std::string_view parameter;
  TorchLayout (*layout)(const Ask&);
};

// The first that fits counts.
constexpr Rule kRules[] = {
    {"dense", "kernel", dense_kernel},
    {"depthwise_conv", "kernel", depthwise_kernel},
    {"conv", "kernel", conv_kernel},
    {"embedding", "embeddings", [](const Ask& ask) { return same(ask, "weight"); }},
    {"prelu", "alpha", slopes},
    {"", "gamma", [](const Ask& ask) { return per_element(ask, "weight"); }},
    {"rms_normalization", "scale", [](const Ask& ask) { return per_element(ask, "weight"); }},
    {"", "beta", [](const Ask& ask) { return per_element(ask, "bias"); }},
    {"", "moving_mean", [](const Ask& ask) { return per_element(ask, "running_mean"); }},
    {"", "moving_variance", [](const Ask& ask) { return per_element(ask, "running_var"); }},
    {"lstm", "bias", gate_bias},
    {"gru", "bias", gate_bias},
    {"simple_rnn", "bias", gate_bias},
    {"", "bias", [](const Ask& ask) { return same(ask, "bias"); }},
    {"", "kernel", [](const Ask& ask) { return gate_kernel(ask, "weight_ih"); }},
    {"", "recurrent_kernel", [](const Ask& ask) { return gate_kernel(ask, "weight_hh"); }},
    {"multi_head", "query/kernel", [](const Ask& a) { return projection(a, 0, "q_proj_weight"); }},
    {"multi_head", "key/kernel", [](const Ask& a) { return projection(a, 1, "k_proj_weight"); }},
    {"multi_head", "value/kernel", [](const Ask& a) { return projection(a, 2, "v_proj_weight"); }},
    {"multi_head", "query/bias", [](const Ask& ask) { return projection_bias(ask, 0); }},
    {"multi_head", "key/bias", [](const Ask& ask) { return projection_bias(ask, 1); }},
    {"multi_head", "value/bias", [](const Ask& ask) { return projection_bias(ask, 2); }},
    {"multi_head", "attention_output/kernel", output_kernel},
    {"multi_head", "attention_output/bias",
     [](const Ask& ask) { return same(ask, "out_proj.bias"); }},
};

TorchLayout layout_of(const Ask& ask, std::string_view parameter) {
  if (ask.layer.component.def == nullptr) return {};
  for (const Rule& rule : kRules) {
    if (ask.layer.component.def->type.starts_with(rule.type) && rule.parameter == parameter)
      return rule.layout(ask);
  }
  return {};
}

bool is_bidirectional(const Layer& layer) {
  return layer.component.def != nullptr && layer.component.def->type == "bidirectional";
}

/// Exchanges the first two of three blocks of the last axis of an array in f32.
void order_gates(rt::Array& array) {
  const size_t block = static_cast<size_t>(array.dims.back() / 3) * sizeof(float);
  if (block == 0) return;
  for (size_t row = 0; row + 3 * block <= array.data.size(); row += 3 * block)
    std::swap_ranges(array.data.data() + row, array.data.data() + row + block,
                     array.data.data() + row + block);
}

/// Bytes of a tensor in f32 before a part of it.
size_t offset_of(const TorchPart& part) {
  if (part.count == 0) return 0;
  return static_cast<size_t>(part.begin * (product(part.dims) / part.dims[0])) * sizeof(float);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

constexpr std::string_view kReverse = "_reverse";

/// Where a name ends with "l12", the digits' place; else npos.
size_t layer_digits(std::string_view module) {
  size_t digits = module.size();
  while (digits > 0 && is_digit(module[digits - 1]))
    --digits;
  const bool numbered = digits < module.size() && digits >= 1 && module[digits - 1] == 'l' &&
                        (digits == 1 || module[digits - 2] == '.');
  return numbered ? digits : std::string_view::npos;
}

}  // namespace

TorchLayout torch_layout(const Layer& layer, const ParameterSpec& spec, const Ints& image) {
  if (!is_bidirectional(layer))
    return layout_of({layer, layer.parameters, "", spec.shape, image}, spec.name);
  const Options& options = layer.component.options;
  const std::string_view name = spec.name;
  const bool backward = name.starts_with("backward_");
  const Layer* own = backward ? options.layer("backward_layer") : nullptr;
  const Layer& inner = own != nullptr ? *own : *options.layer("layer");
  const size_t prefix = name.find('/') + 1;
  TorchLayout layout = layout_of(
      {inner, layer.parameters, name.substr(0, prefix), spec.shape, image}, name.substr(prefix));
  for (TorchPart& part : layout.parts) {
    if (backward) part.end += kReverse;
  }
  return layout;
}

std::string torch_refusal(const Layer& layer) {
  const auto resets_before = [](const Layer* one) {
    return one != nullptr && one->component.def != nullptr && one->component.def->type == "gru" &&
           !one->component.options.flag("reset_after");
  };
  const Options& options = layer.component.options;
  const bool inner = is_bidirectional(layer) && (resets_before(options.layer("layer")) ||
                                                 resets_before(options.layer("backward_layer")));
  if (inner || resets_before(&layer))
    return "resets before the product, and PyTorch's GRU behind it; \"reset_after\": true takes "
           "its "
           "weights";
  return "";
}

rt::Array take_part(const TorchPart& part, const rt::Array& tensor) {
  rt::Array values;
  const auto count = static_cast<size_t>(product(part.view));
  const size_t first = offset_of(part) / sizeof(float);
  values.data.resize(count * sizeof(float));
  for (size_t i = 0; i < count; ++i)
    rt::store_f64(values.data.data(), values.dtype, i,
                  rt::load_f64(tensor.data.data(), tensor.dtype, first + i));
  Ints moved;
  Ints back(part.perm.size());
  for (size_t i = 0; i < part.perm.size(); ++i) {
    const auto axis = static_cast<size_t>(part.perm[i]);
    moved.push_back(part.view[axis]);
    back[axis] = static_cast<int64_t>(i);
  }
  reshape(values, moved);
  if (!back.empty()) transpose(values, back);
  if (part.gru_gates) order_gates(values);
  return values;
}

void put_part(const TorchPart& part, rt::Array values, rt::Array& tensor) {
  reshape(values, part.view);
  if (part.gru_gates) order_gates(values);
  if (!part.perm.empty()) transpose(values, part.perm);
  std::copy_n(values.data.data(), values.data.size(), tensor.data.data() + offset_of(part));
}

std::pair<std::string, std::string> split_torch_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  std::string module = dot == std::string::npos ? "" : name.substr(0, dot);
  std::string end = dot == std::string::npos ? name : name.substr(dot + 1);
  const bool reverse = end.ends_with(kReverse);
  const size_t length = end.size() - (reverse ? kReverse.size() : 0);
  size_t digits = length;
  while (digits > 0 && is_digit(end[digits - 1]))
    --digits;
  if (digits < length && digits >= 2 && end.compare(digits - 2, 2, "_l") == 0) {
    module += (module.empty() ? "l" : ".l") + end.substr(digits, length - digits);
    end.erase(digits - 2, length - digits + 2);
    return {module, end};
  }
  return {module, end};
}

std::string join_torch_name(const std::string& module, const std::string& end) {
  const auto under = [](std::string_view holder, const std::string& rest) {
    return holder.empty() ? rest : std::string(holder) + "." + rest;
  };
  const bool is_recurrent =
      end.find("_ih") != std::string::npos || end.find("_hh") != std::string::npos;
  if (!is_recurrent) return under(module, end);
  const size_t digits = layer_digits(module);
  const std::string number = digits == std::string::npos ? "0" : module.substr(digits);
  const std::string_view holder =
      digits == std::string::npos ? std::string_view(module)
                                  : std::string_view(module).substr(0, digits < 2 ? 0 : digits - 2);
  const bool reverse = end.ends_with(kReverse);
  std::string stem = end;
  if (reverse) stem.resize(end.size() - kReverse.size());
  return under(holder, stem + "_l" + number + (reverse ? std::string(kReverse) : ""));
}

}  // namespace gradc::exchange
