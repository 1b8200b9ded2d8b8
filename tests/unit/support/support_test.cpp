// Small helpers: positions, JSON index, suggestions, timers, counters.
#include "support/json_index.h"
#include "support/source_file.h"
#include "support/statistics.h"
#include "support/suggest.h"
#include "support/timer.h"

#include <gtest/gtest.h>

#include <thread>

namespace gradc {
namespace {

TEST(SourceFile, LinesAndColumns) {
  const SourceFile file("f",
                        "ab\nc\xC3\xA4"
                        "d\r\n\nlast");
  EXPECT_EQ(file.num_lines(), 4U);
  EXPECT_EQ(file.line(2),
            "c\xC3\xA4"
            "d");
  EXPECT_EQ(file.line(4), "last");
  EXPECT_EQ(file.line_column(6).line, 2U);
  EXPECT_EQ(file.line_column(6).column, 3U);
  EXPECT_EQ(file.line_column(1000).line, 4U);
  EXPECT_EQ(file.line_column(1000).column, 5U);
}

TEST(SourceFile, MissingFileAndDirectory) {
  EXPECT_EQ(read_source_file("/nonexistent/x").diagnostics().front().kind, DiagKind::kFileNotFound);
  EXPECT_EQ(read_source_file("/").diagnostics().front().kind, DiagKind::kFileUnreadable);
  EXPECT_EQ(read_source_file(GRADC_SOURCE_DIR "/CMakeLists.txt", 10).diagnostics().front().kind,
            DiagKind::kFileUnreadable);
  EXPECT_TRUE(read_source_file(GRADC_SOURCE_DIR "/CMakeLists.txt").ok());
}

std::string found(std::string_view text, std::string_view pointer, JsonPart part) {
  const auto range = JsonIndex(text).find(pointer, part);
  return range ? std::string(text.substr(range->begin, range->end - range->begin)) : "(none)";
}

TEST(JsonIndex, FindsKeysAndValues) {
  const std::string_view text =
      R"({ "a" : [1, {"b~/": "x\"y]"}, -2.5e3 ], "c": {"d": null}, "c": 7 })";
  EXPECT_EQ(found(text, "/a/1/b~0~1", JsonPart::kValue), R"("x\"y]")");
  EXPECT_EQ(found(text, "/a/1/b~0~1", JsonPart::kKey), R"("b~/")");
  EXPECT_EQ(found(text, "/a/2", JsonPart::kValue), "-2.5e3");
  EXPECT_EQ(found(text, "/c", JsonPart::kValue), R"({"d": null})");  // the first of equal keys
  EXPECT_EQ(found(text, "/c/d", JsonPart::kValue), "null");
  EXPECT_EQ(found(text, "", JsonPart::kValue), std::string(text));
  EXPECT_EQ(found(text, "/a/3", JsonPart::kValue), "(none)");
  EXPECT_EQ(found(text, "/x", JsonPart::kKey), "(none)");
  EXPECT_EQ(found("{\"\\u0061\": 1}", "/a", JsonPart::kValue), "1");
  EXPECT_EQ(found("\xEF\xBB\xBF[5]", "/0", JsonPart::kValue), "5");
}

TEST(JsonIndex, BrokenTextIsHarmless) {
  const std::string text = R"({"a": [1, {"b": "x"}]})";
  for (size_t length = 0; length < text.size(); ++length) {
    found(text.substr(0, length), "/a/1/b", JsonPart::kValue);
  }
  EXPECT_EQ(found("{]", "/a", JsonPart::kValue), "(none)");
}

TEST(Suggest, Distance) {
  EXPECT_EQ(edit_distance("dense", "dence"), 1U);
  EXPECT_EQ(edit_distance("ab", "ba"), 1U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Suggest, NearestName) {
  const std::vector<std::string> names = {"dense", "dropout", "conv2d", "batch_normalization"};
  EXPECT_EQ(nearest_name("dence", names), "dense");
  EXPECT_EQ(nearest_name("BatchNormalization", names), "batch_normalization");
  EXPECT_EQ(nearest_name("lstm", names), std::nullopt);
  EXPECT_EQ(suggestion("Conv2D", names), "did you mean \"conv2d\"?");
  EXPECT_EQ(suggestion("zzz", names), "known: dense, dropout, conv2d, batch_normalization");
}

TEST(Timer, AddsByName) {
  TimeReport report;
  {
    const ScopedTimer timer(&report, "work");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  report.add("work", std::chrono::milliseconds(1));
  const ScopedTimer untimed(nullptr, "nothing");
  ASSERT_EQ(report.entries().size(), 1U);
  EXPECT_EQ(report.entries()[0].count, 2);
  EXPECT_GE(report.milliseconds("work"), 3.0);
  EXPECT_NE(report.to_string().find("work"), std::string::npos);
}

TEST(Statistics, Counts) {
  Statistics statistics;
  statistics.add("nodes removed");
  statistics.add("nodes removed", 2);
  EXPECT_EQ(statistics.get("nodes removed"), 3);
  EXPECT_EQ(statistics.get("other"), 0);
  EXPECT_EQ(statistics.to_string(), "         3 nodes removed\n");
}

}  // namespace
}  // namespace gradc
