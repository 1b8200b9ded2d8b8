#include "driver/results/confusion_text.h"

#include "support/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace gradc::results {
namespace {

constexpr size_t kMostNameBytes = 24;

/// Characters as a terminal counts them, nearly: code points.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string right(const std::string& text, size_t width) {
  const size_t own = width_of(text);
  return std::string(width > own ? width - own : 0, ' ') + text;
}

std::string name_of(const Json& output, size_t number) {
  return printable(output["classes"][number].get<std::string>(), kMostNameBytes);
}

/// Columns of equal width; empty where that is too wide.
std::string matrix_text(const Json& output, size_t width) {
  if (!output.contains("confusion")) return "";
  const Json& counts = output["confusion"];
  size_t column = 0, head = std::string_view("true \\ predicted").size();
  for (size_t r = 0; r < counts.size(); ++r) {
    const size_t name = width_of(name_of(output, r));
    column = std::max(column, name);
    head = std::max(head, name);
    for (const Json& count : counts[r])
      column = std::max(column, fmt::formatted_size("{}", count.get<int64_t>()));
  }
  if (head + counts.size() * (column + 2) > width) return "";
  std::string out = right("true \\ predicted", head);
  for (size_t c = 0; c < counts.size(); ++c)
    out += right(name_of(output, c), column + 2);
  out += '\n';
  for (size_t r = 0; r < counts.size(); ++r) {
    out += right(name_of(output, r), head);
    for (const Json& count : counts[r])
      out += right(fmt::format("{}", count.get<int64_t>()), column + 2);
    out += '\n';
  }
  return out;
}

std::string pairs_text(const Json& output) {
  std::string out =
      fmt::format("{} classes are too many for a table here; the most frequent confusions:\n",
                  output["classes"].size());
  if (output["confused"].empty()) return out + "none\n";
  size_t width = 4;
  for (const Json& pair : output["confused"])
    width = std::max(width, width_of(name_of(output, pair["true"].get<size_t>())));
  for (const Json& pair : output["confused"]) {
    out += fmt::format("{} {} taken for {}\n",
                       right(fmt::format("{}", pair["count"].get<int64_t>()), 8),
                       right(name_of(output, pair["true"].get<size_t>()), width),
                       name_of(output, pair["predicted"].get<size_t>()));
  }
  return out;
}

std::string labels_text(const Json& output) {
  std::string out = fmt::format("{:>24} {:>9} {:>9} {:>9} {:>9}\n", "label", "hits", "too many",
                                "missed", "right off");
  const auto positions = output["positions"].get<int64_t>();
  for (const Json& row : output["per_class"]) {
    const auto hits = row["hits"].get<int64_t>();
    const int64_t wrong = row["guessed"].get<int64_t>() - hits;
    const int64_t missed = row["support"].get<int64_t>() - hits;
    out += fmt::format("{} {:>9} {:>9} {:>9} {:>9}\n",
                       right(name_of(output, row["class"].get<size_t>()), 24), hits, wrong, missed,
                       positions - hits - wrong - missed);
  }
  return out;
}

}  // namespace

std::string confusion_text(const Json& results, size_t width) {
  std::string out;
  const Json& outputs = results["outputs"];
  for (const Json& output : outputs) {
    const std::string kind = output["kind"].get<std::string>();
    if (outputs.size() > 1) out += printable(output["name"].get<std::string>()) + ":\n";
    if (kind == "labels") {
      out += labels_text(output);
    } else if (kind == "classes" || kind == "two classes") {
      const std::string matrix = matrix_text(output, width);
      out += matrix.empty() ? pairs_text(output) : matrix;
    } else {
      out += printable(output["name"].get<std::string>()) + " tells no classes apart\n";
    }
  }
  return out;
}

}  // namespace gradc::results
