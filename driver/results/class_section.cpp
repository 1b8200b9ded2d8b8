// A classification on the page: numbers, the matrix, curves, calibration, mistakes.
#include "driver/report/document.h"
#include "driver/results/chart.h"
#include "driver/results/page_parts.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc::results {
namespace {

constexpr size_t kDrawnCurves = 10;
constexpr size_t kSharedCells = 30;  // classes of a matrix whose cells show their share too

std::string per_class(const Json& output) {
  const bool curves = output.contains("curves");
  std::vector<std::string> heads = {output["kind"] == "labels" ? "label" : "class",
                                    "precision",
                                    "recall",
                                    "F1",
                                    "support",
                                    "guessed"};
  if (curves) heads.insert(heads.end(), {"ROC AUC", "average precision"});
  HtmlTable table("Of each class against the rest", heads, 1);
  for (const Json& row : output["per_class"]) {
    std::vector<std::string> cells = {class_text(output, row["class"]),
                                      share(row["precision"]),
                                      share(row["recall"]),
                                      share(row["f1"]),
                                      fmt::format("{}", row["support"].get<int64_t>()),
                                      fmt::format("{}", row["guessed"].get<int64_t>())};
    if (curves) {
      cells.push_back(share(row["roc_auc"]));
      cells.push_back(share(row["average_precision"]));
    }
    table.row(cells);
  }
  const Json& averages = output["averages"];
  for (const char* name : {"micro", "macro", "weighted"}) {
    const Json& one = averages[name];
    std::vector<std::string> cells = {std::string(name) + " average",
                                      share(one["precision"]),
                                      share(one["recall"]),
                                      share(one["f1"]),
                                      fmt::format("{}", averages["support"].get<int64_t>()),
                                      ""};
    if (curves) {
      cells.push_back(one.contains("roc_auc") ? share(one["roc_auc"]) : "");
      cells.push_back(one.contains("average_precision") ? share(one["average_precision"]) : "");
    }
    table.row(cells, "total");
  }
  return table.html();
}

std::string matrix(const Json& output) {
  const Json& counts = output["confusion"];
  const size_t classes = counts.size();
  std::string html =
      "<h3>Confusion matrix</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"Confusion matrix\"><table class=\"matrix\"><caption>Rows are the true classes, "
      "columns the predicted ones: counts, and their share of the row</caption><thead><tr>"
      "<td></td>";
  for (size_t c = 0; c < classes; ++c)
    html += fmt::format("<th scope=\"col\">{}</th>", class_text(output, c));
  html += "</tr></thead><tbody>\n";
  for (size_t r = 0; r < classes; ++r) {
    double all = 0;
    for (const Json& count : counts[r])
      all += count.get<double>();
    html += fmt::format("<tr><th scope=\"row\">{}</th>", class_text(output, r));
    for (size_t c = 0; c < classes; ++c) {
      const auto count = counts[r][c].get<int64_t>();
      const double part = all > 0 ? static_cast<double>(count) / all : 0;
      const char* right = r == c ? " class=\"right\"" : "";
      if (count == 0) {
        html += fmt::format("<td{}>{}</td>", right, classes > kSharedCells ? "" : "0");
        continue;
      }
      html += fmt::format(
          "<td{} style=\"background:color-mix(in srgb,var({}) {:.0f}%,transparent)\">{}", right,
          r == c ? "--forward" : "--backward", 8 + 62 * part, count);
      if (classes <= kSharedCells) html += fmt::format("<small>{:.1f} %</small>", 100 * part);
      html += "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string confused(const Json& output) {
  if (!output.contains("confused") || output["confused"].empty()) return "";
  HtmlTable table("Most frequent confusions", {"true", "predicted", "count"}, 2);
  for (const Json& pair : output["confused"]) {
    table.row({class_text(output, pair["true"]), class_text(output, pair["predicted"]),
               fmt::format("{}", pair["count"].get<int64_t>())});
  }
  return table.html();
}

/// Which classes' curves are drawn: of two classes the second, else those with the smallest areas.
std::vector<size_t> drawn_classes(const Json& output, const char* area) {
  const Json& rows = output["per_class"];
  std::vector<size_t> classes;
  for (size_t c = output["kind"] == "two classes" ? 1 : 0; c < rows.size(); ++c)
    if (rows[c][area].is_number()) classes.push_back(c);
  if (classes.size() <= kDrawnCurves) return classes;
  std::sort(classes.begin(), classes.end(), [&](size_t a, size_t b) {
    const double first = rows[a][area].get<double>(), second = rows[b][area].get<double>();
    return first < second || (first == second && a < b);
  });
  classes.resize(kDrawnCurves);
  std::sort(classes.begin(), classes.end());
  return classes;
}

struct CurveKind {
  const char* member;
  const char* area;
  const char* name;
  const char* x;
  const char* y;
};

std::string curve_picture(const Json& output, const std::string& id, const CurveKind& kind) {
  const std::vector<size_t> classes = drawn_classes(output, kind.area);
  if (classes.empty()) return "";
  std::string legend = "<ul class=\"legend\">";
  std::string words;
  for (size_t i = 0; i < classes.size(); ++i) {
    const Json& row = output["per_class"][classes[i]];
    const std::string name = output["classes"][classes[i]].get<std::string>();
    words += fmt::format("{}{} {}", i > 0 ? ", " : "Areas: ", name, share(row[kind.area]));
    legend += fmt::format("<li class=\"series-{}\"><i></i>{} {}</li>", i, escaped_text(name),
                          share(row[kind.area]));
  }
  legend += "</ul>\n";
  if (output["per_class"].size() > kDrawnCurves)
    legend += "<p class=\"note\">the ten classes with the smallest areas</p>\n";
  Chart chart(id + "-" + kind.member, kind.name, words, {kind.x, 0, 1}, {kind.y, 0, 1});
  if (std::string_view(kind.member) == "roc") chart.line({{0, 0}, {1, 1}}, "guide");
  for (size_t i = 0; i < classes.size(); ++i)
    chart.line(points_of(output["curves"][classes[i]][kind.member]), fmt::format("series-{}", i));
  return figure(kind.name, chart.svg(), legend);
}

std::string calibration(const Json& output, const std::string& id) {
  const Json& given = output["calibration"];
  const std::string error = share(given["error"]);
  const char* of = output["kind"] == "classes"  ? "probability of the predicted class"
                   : output["kind"] == "labels" ? "probability of a label"
                                                : "probability of the second class";
  Chart chart(id + "-calibration", "Reliability",
              fmt::format("Expected calibration error {}, {} bins", error, given["bins"].size()),
              {of, 0, 1}, {"share that is right", 0, 1});
  chart.line({{0, 0}, {1, 1}}, "guide");
  Points points;
  for (const Json& bin : given["bins"]) {
    if (!bin.contains("mean")) continue;
    chart.bar(bin["low"].get<double>(), bin["high"].get<double>(), bin["share"].get<double>(),
              "bars");
    points.emplace_back(bin["mean"].get<double>(), bin["share"].get<double>());
  }
  chart.dots(points, "series-1", 3);
  std::string table = "<details><summary>As a table</summary>\n";
  HtmlTable bins("Reliability by bins", {"probability", "count", "mean", "share"}, 1);
  for (const Json& bin : given["bins"]) {
    bins.row({fmt::format("{:.1f} to {:.1f}", bin["low"].get<double>(), bin["high"].get<double>()),
              fmt::format("{}", bin["count"].get<int64_t>()),
              bin.contains("mean") ? share(bin["mean"]) : "-",
              bin.contains("share") ? share(bin["share"]) : "-"});
  }
  table += bins.html() + "</details>\n";
  return figure("Reliability: expected calibration error " + error, chart.svg(), table);
}

std::string mistakes(const Json& output) {
  const Json& list = output["mistakes"];
  if (list.empty()) return "";
  const bool labels = output["kind"] == "labels";
  const bool files = list[0].contains("file"), positions = list[0].contains("position");
  std::vector<std::string> heads = {"example"};
  if (positions) heads.emplace_back("position");
  if (files) heads.emplace_back("file");
  heads.insert(heads.end(), {labels ? "label" : "true", "predicted", "probability"});
  HtmlTable table("The most confident mistakes; examples are counted from 0", heads,
                  heads.size() - 1);
  for (const Json& one : list) {
    std::vector<std::string> cells = {fmt::format("{}", one["example"].get<int64_t>())};
    if (positions) cells.push_back(fmt::format("{}", one["position"].get<int64_t>()));
    if (files) cells.push_back(escaped_text(one["file"].get<std::string>()));
    cells.push_back(class_text(output, one[labels ? "label" : "true"]));
    cells.push_back(!labels                        ? class_text(output, one["predicted"])
                    : one["predicted"].get<bool>() ? "there"
                                                   : "not there");
    cells.push_back(share(one["probability"]));
    table.row(cells);
  }
  return table.html();
}

}  // namespace

std::string class_section(const Json& output, const std::string& id) {
  std::string html;
  HtmlTable table("Over all positions", {"measure", "value"}, 1);
  const bool labels = output["kind"] == "labels";
  table.row({labels ? "all labels right" : "accuracy", share(output["accuracy"])});
  if (!labels) {
    table.row({"Cohen&#39;s kappa", share(output["kappa"])});
    table.row({"Matthews correlation", share(output["matthews"])});
  }
  table.row({"log loss", share(output["log_loss"])});
  table.row({"Brier score", share(output["brier"])});
  table.row({"calibration error", share(output["calibration"]["error"])});
  html += table.html();
  html += per_class(output);
  if (output.contains("confusion")) html += matrix(output);
  html += confused(output);
  html += "<h3>Curves</h3>\n<div class=\"pictures\">\n";
  if (output.contains("curves")) {
    html += curve_picture(output, id,
                          {"roc", "roc_auc", "ROC: each class against the rest",
                           "share of the others taken for it", "share found (recall)"});
    html += curve_picture(
        output, id, {"pr", "average_precision", "Precision over recall", "recall", "precision"});
  }
  html += calibration(output, id);
  html += "</div>\n";
  return html + mistakes(output);
}

}  // namespace gradc::results
