// Names of models where C and C++ are written: identifiers that are nobody else's, and text inside
// comments.
#pragma once

#include <string>
#include <string_view>

namespace gradc {

/// A model's name as an identifier for its symbols, types, macros and header file: letters, digits
/// and single underscores, neither first nor last; "model_" goes before a digit and before words
/// that C, C++ or their headers own. Long names are cut and told apart by a number made of the
/// whole.
std::string c_identifier(std::string_view name);

/// A text inside a C comment, on one line: it cannot end the comment, nor continue it or hide what
/// follows.
std::string c_comment_text(std::string_view text);

/// Capitals, whatever the locale.
std::string ascii_upper(std::string_view text);

}  // namespace gradc
