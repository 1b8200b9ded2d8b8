#include "driver/results/results_page.h"

#include "driver/report/document.h"
#include "driver/report/page.h"
#include "driver/results/chart.h"
#include "driver/results/page_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace gradc::results {
namespace {

std::string column_pictures(const Json& column, const std::string& name, const std::string& id) {
  const Points dots = points_of(column["dots"]);
  if (dots.empty()) return "";
  double low = dots[0].first, high = low;
  for (const auto& [truth, predicted] : dots) {
    low = std::min({low, truth, predicted});
    high = std::max({high, truth, predicted});
  }
  Chart cloud(
      id + "-dots", name + ": predicted against true",
      fmt::format("R2 {}, mean absolute error {}", share(column["r2"]), number(column["mae"])),
      {"true", low, high}, {"predicted", low, high});
  cloud.line({{low, low}, {high, high}}, "guide");
  cloud.dots(dots, "cloud", 2);
  const auto every = column["every"].get<int64_t>();
  const std::string below =
      every > 1 ? fmt::format("<p class=\"note\">every {}th position is drawn</p>\n", every) : "";
  const Json& residuals = column["residuals"];
  const auto counts = residuals["counts"].get<std::vector<int64_t>>();
  const auto least = residuals["low"].get<double>(), most = residuals["high"].get<double>();
  const auto top = static_cast<double>(*std::max_element(counts.begin(), counts.end()));
  Chart histogram(id + "-errors", name + ": errors",
                  fmt::format("From {} to {}, mean {}", number(residuals["low"]),
                              number(residuals["high"]), number(column["bias"])),
                  {"predicted - true", least, most}, {"positions", 0, std::max(top, 1.0)});
  const double width = (most - least) / static_cast<double>(counts.size());
  for (size_t i = 0; i < counts.size() && width > 0; ++i) {
    const double from = least + width * static_cast<double>(i);
    if (counts[i] > 0) histogram.bar(from, from + width, static_cast<double>(counts[i]), "bars");
  }
  return figure(name + ": predicted against true", cloud.svg(), below) +
         figure(name + ": errors", histogram.svg());
}

std::string facts(const Json& results) {
  std::string html = "<ul id=\"facts\" aria-label=\"The evaluation in numbers\">\n";
  const auto fact = [&](const std::string& value, std::string_view name) {
    html += fmt::format("<li><b>{}</b><span>{}</span></li>\n", value, escaped_text(name));
  };
  fact(fmt::format("{}", results["examples"].get<int64_t>()),
       results["part"] == "test" ? "examples of the test part" : "examples");
  fact(number(results["loss"]), "loss");
  for (const auto& [name, value] : results["metrics"].items())
    fact(number(value), name);
  return html + "</ul>\n";
}

std::string output_section(const Json& output, const std::string& id) {
  std::string html = fmt::format("<section aria-labelledby=\"{0}\">\n<h2 id=\"{0}\">{1}</h2>\n", id,
                                 escaped_text(output["name"].get<std::string>()));
  const std::string kind = output["kind"].get<std::string>();
  if (kind != "none") {
    html += fmt::format("<p>{} positions", output["positions"].get<int64_t>());
    const auto left_out = output["left_out"].get<int64_t>();
    if (left_out > 0) html += fmt::format("; {} more do not count", left_out);
    html += "</p>\n";
  }
  html += notes_html(output["notes"]);
  if (kind != "none")
    html += kind == "values" ? value_section(output, id) : class_section(output, id);
  return html + "</section>\n";
}

}  // namespace

std::string value_section(const Json& output, const std::string& id) {
  HtmlTable table("Of each column",
                  {"column", "R2", "mean absolute error", "root mean squared error", "mean error",
                   "mean of the truth", "its deviation"},
                  1);
  const auto row = [&](const std::string& name, const Json& numbers, std::string_view style) {
    std::vector<std::string> cells = {name, share(numbers["r2"])};
    for (const char* member : {"mae", "rmse", "bias", "mean", "deviation"})
      cells.push_back(numbers.contains(member) ? number(numbers[member]) : "");
    table.row(cells, style);
  };
  const auto name_of = [&](const Json& column) {
    return output["names"][column["column"].get<size_t>()].get<std::string>();
  };
  for (const Json& column : output["columns"])
    row(escaped_text(name_of(column)), column, "");
  if (output["names"].size() > 1) row("all", output, "total");
  std::string html = table.html() + "<div class=\"pictures\">\n";
  for (const Json& column : output["columns"]) {
    if (!column.contains("dots")) continue;
    html += column_pictures(column, name_of(column),
                            fmt::format("{}-{}", id, column["column"].get<size_t>()));
  }
  return html + "</div>\n";
}

std::string results_page(const Json& results) {
  const std::string model = results["model"].get<std::string>();
  std::string body =
      fmt::format("<body>\n<header><h1>{}: results</h1><p id=\"subtitle\">on {}</p></header>\n",
                  escaped_text(model), escaped_text(results["data"].get<std::string>()));
  body += facts(results);
  body += notes_html(results["notes"]);
  body += "<main>\n";
  for (size_t n = 0; n < results["outputs"].size(); ++n)
    body += output_section(results["outputs"][n], fmt::format("output-{}", n));
  body += "</main>\n</body>\n";
  return html_document(
      {.title = model + ": results", .style = page::kResultsStyle, .body = std::move(body)});
}

}  // namespace gradc::results
