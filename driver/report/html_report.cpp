// The data stand in the page as JSON: whatever names a model has, there is nothing in it that a
// browser would take for a tag, and the script only makes text of it.
#include "driver/report/html_report.h"

#include "driver/report/page.h"

#include <fmt/format.h>

#include <string_view>

namespace gradc {

namespace {

std::string escaped_json(const Json& json) {
  const std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char c : text) {
    // All of these stand in strings only.
    if (c == '<' || c == '>' || c == '&' || c == '\'') {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out;
}

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

}  // namespace

std::string html_page(const Json& report) {
  const std::string title = report["model"].get<std::string>();
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>";
  page += escaped_text(title) + ": " + escaped_text(report["entry"].get<std::string>());
  page += "</title>\n<style>\n";
  page += page::kStyle;
  page += "</style>\n</head>\n";
  page += page::kBody;
  page += "<script type=\"application/json\" id=\"report\">";
  page += escaped_json(report);
  page += "</script>\n<script type=\"text/javascript\">\n";
  page += page::kScript;
  page += "</script>\n</body>\n</html>\n";
  return page;
}

Result<std::string> html_report(const Model& model, const ReportOptions& options) {
  GRADC_TRY(const Json report, report_data(model, options));
  return html_page(report);
}

}  // namespace gradc
