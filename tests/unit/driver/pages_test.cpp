// The pages say what is true, as far as a program can tell: links lead to files, the models that
// they show are models, and what the README shows as an example's content is that.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <vector>

namespace gradc::test {
namespace {

std::vector<std::string> pages() {
  std::vector<std::string> paths = {source("README.md"), source("CHANGELOG.md")};
  for (const auto& entry : std::filesystem::directory_iterator(source("docs")))
    if (entry.path().extension() == ".md") paths.push_back(entry.path().string());
  return paths;
}

/// The blocks of a page that are fenced with that language.
std::vector<std::string> blocks(const std::string& page, const std::string& language) {
  std::vector<std::string> found;
  const std::string fence = "```" + language + "\n";
  for (size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
    at += fence.size();
    found.push_back(page.substr(at, page.find("```", at) - at));
  }
  return found;
}

TEST(Pages, LinksLeadToFiles) {
  const std::regex link(R"(\]\(([^)#:]+)(#[^)]*)?\))");
  const std::regex code("```[^`]*```|`[^`\n]*`");  // a lambda there looks like a link
  size_t count = 0;
  for (const std::string& path : pages()) {
    const std::string text = std::regex_replace(read_file(path), code, "");
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it, ++count) {
      const auto target = std::filesystem::path(path).parent_path() / (*it)[1].str();
      EXPECT_TRUE(std::filesystem::exists(target)) << path << " links to " << target;
    }
  }
  EXPECT_GT(count, 10U);
}

TEST(Pages, TheReadmeShowsTheExampleAsItIs) {
  const auto shown = blocks(read_file(source("README.md")), "json");
  ASSERT_EQ(shown.size(), 1U);
  EXPECT_EQ(shown[0], read_file(source("examples/mnist_mlp.json")));
}

TEST(Pages, WholeModelsOfThePagesAreRight) {
  const Scratch scratch;
  size_t count = 0;
  for (const std::string& path : pages()) {
    for (const std::string& model : blocks(read_file(path), "json")) {
      if (model.find("\"inputs\": [{") == std::string::npos) continue;  // a part of one
      write_text_file(scratch / "model.json", model);
      const Outcome outcome = gradc("inspect --stage graph " + (scratch / "model.json"));
      EXPECT_EQ(outcome.code, 0) << path << "\n" << model << outcome.output;
      ++count;
    }
  }
  EXPECT_GE(count, 2U);
}

TEST(Pages, CommandsOfTheReadmeExist) {
  const std::string text = read_file(source("README.md"));
  const std::regex command(R"((^|`)gradc ([a-z]+))", std::regex::multiline);
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), command), end; it != end; ++it)
    names.insert((*it)[2].str());
  EXPECT_GE(names.size(), 4U);
  for (const std::string& name : names)
    EXPECT_EQ(gradc(name + " --help").code, 0) << "gradc " << name;
}

}  // namespace
}  // namespace gradc::test
