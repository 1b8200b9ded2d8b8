#include "driver/report/document.h"

#include "driver/report/page.h"

#include <fmt/format.h>

namespace gradc {

std::string escaped_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<' || c == '>' || c == '&' || c == '\'' || c == '"') {
      out += fmt::format("&#{};", static_cast<unsigned>(c));
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string html_document(const HtmlDocument& document) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>";
  page += escaped_text(document.title);
  page += "</title>\n<style>\n";
  page += page::kStyle;
  page += document.style;
  page += "</style>\n</head>\n";
  page += document.body;
  page += "</html>\n";
  return page;
}

}  // namespace gradc
