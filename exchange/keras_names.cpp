#include "exchange/keras_names.h"

#include <algorithm>
#include <utility>

namespace gradc::exchange {
namespace {

using Rename = std::pair<std::string_view, std::string_view>;

// Squashed name -> gradc's type.
constexpr Rename kLayers[] = {
    {"convolution1d", "conv1d"},
    {"convolution2d", "conv2d"},
    {"convolution3d", "conv3d"},
    {"atrousconvolution1d", "conv1d"},
    {"atrousconvolution2d", "conv2d"},
    {"deconvolution2d", "conv2d_transpose"},
    {"deconvolution3d", "conv3d_transpose"},
    {"separableconvolution1d", "separable_conv1d"},
    {"separableconvolution2d", "separable_conv2d"},
    {"convolution2dtranspose", "conv2d_transpose"},
    {"timedistributeddense", "dense"},
    {"thresholdedrelu", "threshold"},
    {"cudnnlstm", "lstm"},
    {"cudnngru", "gru"},
    {"syncbatchnormalization", "batch_normalization"},
};
constexpr Rename kComponents[] = {
    {"l1l2regularizer", "l1_l2"},
    {"weightregularizer", "l1_l2"},
    {"l1regularizer", "l1"},
    {"l2regularizer", "l2"},
    {"kerasinitializerglorotuniform", "glorot_uniform"},
    {"thresholdedrelu", "threshold"},
};

// Older names of options. The first that the table has is meant.
constexpr Rename kOptions[] = {
    {"output_dim", "units"},
    {"init", "kernel_initializer"},
    {"init", "embeddings_initializer"},
    {"init", "alpha_initializer"},
    {"inner_init", "recurrent_initializer"},
    {"gamma_init", "gamma_initializer"},
    {"beta_init", "beta_initializer"},
    {"depthwise_init", "depthwise_initializer"},
    {"W_regularizer", "kernel_regularizer"},
    {"W_regularizer", "embeddings_regularizer"},
    {"U_regularizer", "recurrent_regularizer"},
    {"b_regularizer", "bias_regularizer"},
    {"W_constraint", "kernel_constraint"},
    {"W_constraint", "embeddings_constraint"},
    {"U_constraint", "recurrent_constraint"},
    {"b_constraint", "bias_constraint"},
    {"bias", "use_bias"},
    {"nb_filter", "filters"},
    {"filter_length", "kernel_size"},
    {"subsample", "strides"},
    {"subsample_length", "strides"},
    {"stride", "strides"},
    {"border_mode", "padding"},
    {"dim_ordering", "data_format"},
    {"pool_length", "pool_size"},
    {"atrous_rate", "dilation_rate"},
    {"p", "rate"},
    {"sigma", "stddev"},
    {"inner_activation", "recurrent_activation"},
    {"dropout_W", "dropout"},
    {"dropout_U", "recurrent_dropout"},
    {"alpha", "negative_slope"},
    {"theta", "threshold"},
    {"thresholds", "threshold"},
    {"concat_axis", "axis"},
    {"dot_axes", "axes"},
    {"length", "size"},
    {"lr", "learning_rate"},
    {"m", "max_value"},
};

bool squashes_to(std::string_view names, std::string_view squashed_name) {
  const std::vector<std::string> words = split_words(names);
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return squashed(word) == squashed_name; });
}

bool is_called(const ComponentDef& def, std::string_view squashed_name) {
  return squashed(def.type) == squashed_name || squashes_to(def.aliases, squashed_name);
}

std::string_view renamed(std::span<const Rename> table, std::string_view name) {
  for (const auto& [old, own] : table) {
    if (old == name) return own;
  }
  return {};
}

}  // namespace

std::string squashed(std::string_view name) {
  const size_t package = name.rfind('>');
  if (package != std::string_view::npos) name.remove_prefix(package + 1);
  std::string out;
  for (const char c : name) {
    if (c == '_') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

const LayerDef* find_keras_layer(std::string_view class_name) {
  std::string name = squashed(class_name);
  for (const char* version : {"v1", "v2", "v3"}) {
    if (name.ends_with(version)) name.resize(name.size() - 2);
  }
  if (const std::string_view own = renamed(kLayers, name); !own.empty()) return find_layer(own);
  for (const auto& list : {all_layers(), activation_layers()}) {
    for (const LayerDef* def : list) {
      if (is_called(def->base, name)) return def;
    }
  }
  return nullptr;
}

const ComponentDef* find_keras_component(Family family, std::string_view name) {
  const std::string wanted = squashed(name);
  if (const std::string_view own = renamed(kComponents, wanted); !own.empty())
    return find_member(family, own);
  for (const ComponentDef* def : family_members(family)) {
    if (is_called(*def, wanted)) return def;
  }
  return nullptr;
}

const OptionDef* find_keras_option(std::span<const OptionDef> table, std::string_view name) {
  const auto find = [&](std::string_view own) -> const OptionDef* {
    for (const OptionDef& def : table) {
      if (def.name == own) return &def;
    }
    return nullptr;
  };
  if (const OptionDef* same = find(name)) return same;
  for (const auto& [old, own] : kOptions) {
    if (old != name) continue;
    if (const OptionDef* def = find(own)) return def;
  }
  return nullptr;
}

bool is_flag_of_call(std::string_view name) {
  return name == "use_causal_mask" || name == "return_attention_scores";
}

bool is_sequential(std::string_view class_name) {
  return squashed(class_name) == "sequential";
}

bool is_model_class(std::string_view class_name) {
  const std::string name = squashed(class_name);
  return name == "sequential" || name == "model" || name == "functional" || name == "network" ||
         name == "container" || name == "graph";
}

}  // namespace gradc::exchange
