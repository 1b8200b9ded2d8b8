#include "driver/results/page_parts.h"

#include "driver/report/document.h"

#include <fmt/format.h>

namespace gradc::results {

std::string share(const Json& value) {
  return value.is_number() ? fmt::format("{:.4f}", value.get<double>()) : "-";
}

std::string number(const Json& value) {
  return value.is_number() ? fmt::format("{:.5g}", value.get<double>()) : "-";
}

std::string class_text(const Json& output, const Json& number) {
  return escaped_text(output["classes"][number.get<size_t>()].get<std::string>());
}

HtmlTable::HtmlTable(std::string_view caption, const std::vector<std::string>& heads,
                     size_t first_number)
    : first_number_(first_number),
      html_(fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">"
                        "<table><caption>{0}</caption><thead><tr>",
                        escaped_text(caption))) {
  for (size_t i = 0; i < heads.size(); ++i)
    html_ += fmt::format("<th scope=\"col\"{}>{}</th>",
                         i >= first_number ? " class=\"number\"" : "", heads[i]);
  html_ += "</tr></thead><tbody>\n";
}

void HtmlTable::row(const std::vector<std::string>& cells, std::string_view style) {
  html_ += style.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", style);
  for (size_t i = 0; i < cells.size(); ++i) {
    const char* aligned = i >= first_number_ ? " class=\"number\"" : "";
    html_ += i == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", aligned, cells[i])
                    : fmt::format("<td{}>{}</td>", aligned, cells[i]);
  }
  html_ += "</tr>\n";
}

std::string figure(std::string_view caption, const std::string& svg, const std::string& below) {
  return fmt::format("<figure><figcaption>{}</figcaption>\n{}{}</figure>\n", escaped_text(caption),
                     svg, below);
}

std::string notes_html(const Json& notes) {
  std::string out;
  for (const Json& note : notes)
    out += fmt::format("<p class=\"note\">{}</p>\n", escaped_text(note.get<std::string>()));
  return out;
}

Points points_of(const Json& list) {
  Points points;
  for (const Json& point : list)
    points.emplace_back(point[0].get<double>(), point[1].get<double>());
  return points;
}

}  // namespace gradc::results
