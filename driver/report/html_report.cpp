// The data stand in the page as JSON: whatever names a model has, there is nothing in it that a
// browser would take for a tag, and the script only makes text of it.
#include "driver/report/html_report.h"

#include "driver/report/document.h"
#include "driver/report/page.h"

#include <fmt/format.h>

#include <utility>

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

}  // namespace

std::string html_page(const Json& report) {
  std::string body(page::kBody);
  body += "<script type=\"application/json\" id=\"report\">";
  body += escaped_json(report);
  body += "</script>\n<script type=\"text/javascript\">\n";
  body += page::kScript;
  body += "</script>\n</body>\n";
  return html_document(
      {.title = report["model"].get<std::string>() + ": " + report["entry"].get<std::string>(),
       .body = std::move(body)});
}

Result<std::string> html_report(const Model& model, const ReportOptions& options) {
  GRADC_TRY(const Json report, report_data(model, options));
  return html_page(report);
}

}  // namespace gradc
