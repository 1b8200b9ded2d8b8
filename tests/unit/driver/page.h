// The commands of docs/data.md and docs/results.md, and the real data that they are about.
#pragma once

#include "tests/unit/driver/command.h"

#include <string>
#include <vector>

namespace gradc::test {

/// A file of the real data, which are not part of the sources; empty where they are not.
inline std::string shared_data(const std::string& file) {
  const char* given = std::getenv("GRADC_DATA");
  for (const std::string& folder : {std::string(given != nullptr ? given : ""),
                                    source("../shared/data"), source("../../shared/data")}) {
    if (!folder.empty() && std::filesystem::exists(folder + "/" + file))
      return std::filesystem::canonical(folder + "/" + file).string();
  }
  return "";
}

/// The lines of a section of one of the pages that are commands.
inline std::vector<std::string> page_commands(const std::string& section) {
  const std::string page =
      read_file(source("docs/data.md")) + "\n" + read_file(source("docs/results.md"));
  const size_t begin = page.find("## " + section + "\n");
  const std::string text = page.substr(begin, page.find("\n## ", begin) - begin);
  std::vector<std::string> lines;
  for (size_t at = text.find("```sh\n"); at != std::string::npos; at = text.find("```sh\n", at)) {
    at += 6;
    std::stringstream block(text.substr(at, text.find("```", at) - at));
    for (std::string line; std::getline(block, line);)
      lines.push_back(line);
    at = text.find("```", at) + 3;
  }
  return lines;
}

}  // namespace gradc::test
