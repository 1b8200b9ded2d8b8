// Options and components as Keras writes them.
#pragma once

#include "frontend/model.h"
#include "support/json.h"

#include <string>
#include <string_view>

namespace gradc::exchange {

/// Which Keras's configuration is written: that of 2.15, the last of the second, in .h5 files and
/// folders of TensorFlow.js or in .keras archives, or that of 3.
enum class KerasForm : uint8_t { kTwo, kTwoArchive, kThree };

constexpr const char* keras_version(KerasForm form) {
  return form == KerasForm::kThree ? "3.8.0" : "2.15.0";
}

/// "max_pooling2d" -> "MaxPooling2D".
std::string keras_class(std::string_view type);
/// "keras.initializers".
std::string keras_module(Family family);

/// An option that is no layer and no activation; of borders, a pair for each axis.
Json plain_option(const Options& options, const OptionDef& def, KerasForm form);
/// {"class_name", "config"}, in archives with the module.
Json with_class(std::string_view module, std::string_view name, Json config, KerasForm form);
Json export_component(const Component& component, Family family, KerasForm form);
/// A loss or metric: by its name alone if all its options have their defaults.
Json export_by_name(const Component& component, Family family, KerasForm form);

/// Whether all options of a component have their defaults.
bool is_plain(const Component& component);
/// Whether an option of a layer has its default; one without is never plain.
bool is_plain_option(const Component& component, const OptionDef& def);
/// The hard_sigmoid of Keras 1 and 2, 0.2 x + 0.5.
bool is_old_hard_sigmoid(const Component& activation);

}  // namespace gradc::exchange
