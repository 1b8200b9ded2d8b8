// One HTML file that needs nothing beside it: the head and the style that every page has.
#pragma once

#include <string>
#include <string_view>

namespace gradc {

/// Text as it may stand between tags and in attributes.
std::string escaped_text(std::string_view text);

struct HtmlDocument {
  std::string title;         ///< not escaped
  std::string_view style{};  ///< behind what all pages share
  std::string body;          ///< with its own tags
};
std::string html_document(const HtmlDocument& document);

}  // namespace gradc
