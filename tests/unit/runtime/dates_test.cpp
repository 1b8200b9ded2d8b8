// Dates of cells and the parts that they are taken apart to.
#include "runtime/dates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace gradc::rt {
namespace {

constexpr double kDay = 86400;

double read(const std::string& cell, const char* format = nullptr) {
  double seconds = 0;
  return read_date({cell.data(), cell.size()}, format, &seconds) ? seconds : std::nan("");
}

/// The parts that are named, in order.
std::vector<double> split(double seconds, std::vector<int64_t> parts, bool cyclic = false) {
  gradc_rt_column column{};
  for (size_t n = 0; n < parts.size(); ++n)
    column.date_parts |= parts[n] << (4 * n);
  column.date_cyclic = cyclic ? 1 : 0;
  std::vector<double> values(date_values(column) + 1, -7);
  split_date(column, seconds, values.data());
  EXPECT_EQ(values.back(), -7) << "as many as it says";
  values.pop_back();
  return values;
}

TEST(Dates, Iso8601) {
  EXPECT_EQ(read("1970-01-01"), 0);
  EXPECT_EQ(read("1970-01-02"), kDay);
  EXPECT_EQ(read("19700102"), kDay);
  EXPECT_EQ(read("1969-12-31"), -kDay);
  EXPECT_EQ(read("2000-03-01"), 11017 * kDay);
  EXPECT_EQ(read("1970-01-01T01:02"), 3720);
  EXPECT_EQ(read("1970-01-01 01:02:03"), 3723);
  EXPECT_EQ(read("1970-01-01T01:02:03.25"), 3723.25);
  EXPECT_EQ(read("19700101T010203"), 3723);
  for (const char* offset : {"Z", "+02", "-0930", "+05:30"})  // the clock is taken as it is shown
    EXPECT_EQ(read(std::string("1970-01-01T01:02:03") + offset), 3723) << offset;
  for (const char* none :
       {"", "1970", "1970-1-1", "1970-13-01", "1970-02-29", "1970-00-10", "1970-04-31",
        "0000-01-01", "1970-01-01T24:00", "1970-01-01T10", "1970-01-01T10:61", "1970-01-01x",
        "1970-01-01 ", "01/02/1970", "1970-01-01T10:00+25", "1970-01-01T10:00:00.", "yesterday",
        "-970-01-01"})
    EXPECT_TRUE(std::isnan(read(none))) << none;
  EXPECT_EQ(read("2000-02-29") + kDay, read("2000-03-01"));
  EXPECT_TRUE(std::isnan(read("1900-02-29")));
}

TEST(Dates, Formats) {
  const double day = read("2020-05-06");
  const std::vector<std::pair<const char*, const char*>> right = {
      {"06.05.2020", "%d.%m.%Y"},
      {"6.5.2020", "%d.%m.%Y"},
      {"05/06/2020", "%m/%d/%Y"},
      {"06-May-20", "%d-%b-%y"},
      {"May 6, 2020", "%b %d, %Y"},
      {"Wed 6 may 2020", "%a %d %b %Y"},
      {"WEDNESDAY, MAY 6 2020", "%A, %B %d %Y"},
      {"2020-05-06", "%F"},
      {"100% 2020-05-06", "100%% %F"},
      {"2020   05 06", "%Y %m %d"}};
  for (const auto& [cell, format] : right)
    EXPECT_EQ(read(cell, format), day) << cell;
  EXPECT_EQ(read("06.05.2020 1:02 pm", "%d.%m.%Y %I:%M %p"), day + 13 * 3600 + 120);
  EXPECT_EQ(read("06.05.2020 12:00 AM", "%d.%m.%Y %I:%M %p"), day);
  EXPECT_EQ(read("06.05.2020 12:00 PM", "%d.%m.%Y %I:%M %p"), day + 12 * 3600);
  EXPECT_EQ(read("2020-05-06 07:08:09.5 +0200", "%F %T.%f %z"), day + 7 * 3600 + 489.5);
  EXPECT_EQ(read("2020-05", "%Y-%m"), read("2020-05-01"));
  EXPECT_EQ(read("68", "%y"), read("2068-01-01"));
  EXPECT_EQ(read("69", "%y"), read("1969-01-01"));
  for (const auto& [cell, format] :
       std::vector<std::pair<const char*, const char*>>{{"31.02.2020", "%d.%m.%Y"},
                                                        {"06.05.20", "%d.%m.%Y"},
                                                        {"06.05.2020 ", "%d.%m.%Y "},
                                                        {"6.5", "%d.%m.%Y"},
                                                        {"06.05.2020x", "%d.%m.%Y"},
                                                        {"13:00 PM", "%I:%M %p"},
                                                        {"ma 6 2020", "%b %d %Y"},
                                                        {"2020-05-06", "%Q"},
                                                        {"2020", "%Y%"}}) {
    if (std::string(format) == "%d.%m.%Y ") {
      EXPECT_EQ(read(cell, format), day) << "a space is any number of them";
    } else {
      EXPECT_TRUE(std::isnan(read(cell, format))) << cell << " as " << format;
    }
  }
}

bool leaps(int year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

// Day by day from 1899 to 2101, counted here; 1 January 1899 was a Sunday.
TEST(Dates, PartsFollowTheCalendar) {
  const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  double seconds = read("1899-01-01");
  int64_t weekday = 6;
  for (int year = 1899; year <= 2101; ++year) {
    int64_t day_of_year = 0;
    for (int month = 1; month <= 12; ++month) {
      const int length = lengths[month - 1] + (month == 2 && leaps(year) ? 1 : 0);
      for (int day = 1; day <= length; ++day) {
        const std::vector<double> expected = {static_cast<double>(year),
                                              static_cast<double>((month - 1) / 3 + 1),
                                              static_cast<double>(month),
                                              static_cast<double>(day),
                                              static_cast<double>(weekday),
                                              static_cast<double>(++day_of_year),
                                              0,
                                              0,
                                              0,
                                              seconds / kDay};
        ASSERT_EQ(split(seconds, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}), expected)
            << year << "-" << month << "-" << day;
        char text[32];
        std::snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day);
        ASSERT_EQ(read(text), seconds);
        seconds += kDay;
        weekday = (weekday + 1) % 7;
      }
    }
  }
}

TEST(Dates, TheClockAndTheOrderOfParts) {
  const double moment = read("1969-12-31T23:59:58.5");
  EXPECT_EQ(split(moment, {GRADC_RT_DATE_SECOND, GRADC_RT_DATE_HOUR, GRADC_RT_DATE_MINUTE,
                           GRADC_RT_DATE_YEAR}),
            (std::vector<double>{58, 23, 59, 1969}));
  EXPECT_EQ(split(moment, {GRADC_RT_DATE_DAYS})[0], -1.5 / kDay);
}

// A sine and a cosine of where in its round a part is; the year and the days go on without end.
TEST(Dates, CyclicParts) {
  const double pi = std::acos(-1.0);
  const auto expect = [&](const char* date, int64_t part, double phase) {
    const std::vector<double> pair = split(read(date), {part}, true);
    ASSERT_EQ(pair.size(), 2U);
    EXPECT_NEAR(pair[0], std::sin(2 * pi * phase), 1e-12) << date;
    EXPECT_NEAR(pair[1], std::cos(2 * pi * phase), 1e-12) << date;
  };
  expect("2020-01-15", GRADC_RT_DATE_MONTH, 0);
  expect("2020-04-15", GRADC_RT_DATE_MONTH, 0.25);
  expect("2020-07-15", GRADC_RT_DATE_QUARTER, 0.5);
  expect("2020-05-04", GRADC_RT_DATE_DAY_OF_WEEK, 0);  // a Monday
  expect("2020-05-06", GRADC_RT_DATE_DAY_OF_WEEK, 2.0 / 7);
  expect("2021-01-01", GRADC_RT_DATE_DAY_OF_YEAR, 0);
  expect("2021-12-31", GRADC_RT_DATE_DAY_OF_YEAR, 364.0 / 365);
  expect("2020-12-31", GRADC_RT_DATE_DAY_OF_YEAR, 365.0 / 366);
  expect("2021-02-15", GRADC_RT_DATE_DAY, 0.5);
  expect("2020-01-01T18:30", GRADC_RT_DATE_HOUR, 0.75);
  expect("2020-01-01T18:30", GRADC_RT_DATE_MINUTE, 0.5);
  expect("2020-01-01T18:30:15", GRADC_RT_DATE_SECOND, 0.25);
  EXPECT_EQ(split(read("2020-01-01"), {GRADC_RT_DATE_YEAR, GRADC_RT_DATE_DAYS}, true),
            (std::vector<double>{2020, 18262}));
}

TEST(Dates, FillsOfAnySizeHaveParts) {
  for (const double fill : {1e300, -1e300, 1e18, -6.3e10})
    for (const double value : split(fill, {1, 2, 3, 4, 5, 6, 7, 8, 9}, true))
      EXPECT_TRUE(std::isfinite(value)) << fill;
}

}  // namespace
}  // namespace gradc::rt
