// Keras's configs as options of gradc's tables: the same names where they are the same, by
// keras_names.h where they are not.
#pragma once

#include "frontend/options.h"

#include "exchange/dialect.h"
#include "exchange/piece.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gradc::exchange {

/// {"class_name", "config"}, a name, or null. Nothing after a report.
std::optional<Piece> translate_component(const Context& context, const JsonCursor& at,
                                         Family family);

/// A member that the caller knows about; true when it needs nothing more.
using OwnMember = std::function<bool(std::string_view key, const JsonCursor& at)>;

/// Every member of `config`: into `out` by the table, or to `own`, or without effect, or a report
/// that names it. `who` is "layer \"conv_1\" (Conv2D)".
void translate_options(const Context& context, const JsonCursor& config,
                       std::span<const OptionDef> table, const std::string& who,
                       const OwnMember& own, Piece& out);

/// The layer in a wrapper's "layer" or "cell".
std::optional<Piece> translate_inner_layer(const Context& context, const JsonCursor& at);

/// A member of `config` that a layer may have, whatever it is; true when `key` is one.
bool is_common_member(std::string_view key);

/// The member's value as a string; empty when it is none.
std::string string_member(const Json& object, std::string_view key);

}  // namespace gradc::exchange
