// Pieces that the sections of a page of results are made of.
#pragma once

#include "driver/results/curves.h"
#include "support/json.h"

#include <string>
#include <string_view>
#include <vector>

namespace gradc::results {

/// "0.9917"; "-" for what is not defined.
std::string share(const Json& value);
/// A number of any size, five digits.
std::string number(const Json& value);

/// The name of a class, escaped.
std::string class_text(const Json& output, const Json& number);

/// A table with a caption; cells are escaped already. Columns from `first_number` on are numbers,
/// the first cell of a row is its head.
class HtmlTable {
 public:
  HtmlTable(std::string_view caption, const std::vector<std::string>& heads, size_t first_number);
  void row(const std::vector<std::string>& cells, std::string_view style = {});
  std::string html() const { return html_ + "</tbody></table></div>\n"; }

 private:
  size_t first_number_;
  std::string html_;
};

/// A picture with its caption, and what explains it.
std::string figure(std::string_view caption, const std::string& svg, const std::string& below = {});
std::string notes_html(const Json& notes);
Points points_of(const Json& list);

/// The sections of an output's results.
std::string class_section(const Json& output, const std::string& id);
std::string value_section(const Json& output, const std::string& id);

}  // namespace gradc::results
