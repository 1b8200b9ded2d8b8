// CSV files: records, encodings, options and headers, and what columns become.
#include "runtime/csv.h"

#include "runtime/dataset.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::TempDir;
using testing::write_bytes;

using Records = std::vector<std::vector<std::string>>;

Status read_records(const std::string& text, Records* records, std::vector<size_t>* lines,
                    char separator = ',') {
  ByteStream bytes;
  GRADC_RT_TRY(bytes.open({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, "f.csv"));
  CsvReader reader(bytes, "f.csv", separator);
  bool more = true;
  while (true) {
    GRADC_RT_TRY(reader.next(&more));
    if (!more) return {};
    std::vector<std::string>& record = records->emplace_back();
    for (const CsvField& field : reader.fields())
      record.emplace_back(field.text, field.size);
    lines->push_back(reader.line());
  }
}

Records records_of(const std::string& text, char separator = ',') {
  Records records;
  std::vector<size_t> lines;
  const Status status = read_records(text, &records, &lines, separator);
  EXPECT_TRUE(status.ok()) << status.text.c_str();
  return records;
}

std::string problem_of(const std::string& text) {
  Records records;
  std::vector<size_t> lines;
  return read_records(text, &records, &lines).text.c_str();
}

std::string utf16(const std::string& text, bool little) {
  std::string out = little ? "\xff\xfe" : "\xfe\xff";
  for (char c : text)
    out += little ? std::string{c, '\0'} : std::string{'\0', c};
  return out;
}

TEST(Csv, QuotesAndLineEndsOfEveryKind) {
  Records records;
  std::vector<size_t> lines;
  ASSERT_TRUE(read_records("\xEF\xBB\xBF"
                           "a,\"b \"\"x\"\"\",c\r\n1,\"two\nlines\",\"3,3\"\r\n\r\n4,,6",
                           &records, &lines)
                  .ok());
  EXPECT_EQ(records, (Records{{"a", "b \"x\"", "c"}, {"1", "two\nlines", "3,3"}, {"4", "", "6"}}));
  EXPECT_EQ(lines, (std::vector<size_t>{1, 2, 5}));
  const Records plain{{"a", "b"}, {"1", "2"}, {"3", "4"}};
  for (const char* text : {"a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r",
                           "a,b\r1,2\r3,4", "a,b\n1,2\r\n3,4\r", "a,b\r\r1,2\n\n3,4"}) {
    EXPECT_EQ(records_of(text), plain) << text;
  }
  EXPECT_EQ(records_of("a;b,c\n1;2\n", ';'), (Records{{"a", "b,c"}, {"1", "2"}}));
}

TEST(Csv, Utf16IsReadByItsMark) {
  for (bool little : {true, false}) {
    EXPECT_EQ(records_of(utf16("a,b\n1,\"x\ny\"\n", little)), (Records{{"a", "b"}, {"1", "x\ny"}}));
  }
  EXPECT_EQ(records_of(std::string("\xff\xfe\xe9\0,\0\x3d\xd8\0\xde\n\0", 12)),
            (Records{{"\xc3\xa9", "\xf0\x9f\x98\x80"}}));
  EXPECT_NE(problem_of(std::string("\xff\xfe\x3d\xd8,\0", 6)).find("no valid UTF-16"),
            std::string::npos);
  EXPECT_NE(problem_of(std::string("\xff\xfe,\0a", 5)).find("cut off"), std::string::npos);
  EXPECT_NE(problem_of(std::string("\xff\xfe\0\0,\0\0\0", 8)).find("UTF-32"), std::string::npos);
  EXPECT_NE(problem_of(utf16("a,b\n", true).substr(2)).find("zero byte"), std::string::npos);
}

TEST(Csv, DamageSaysWhereItBegins) {
  EXPECT_NE(problem_of("a,b\n1,\"2\n3,4\n").find("f.csv:2: a quoted field begins here"),
            std::string::npos);
  EXPECT_NE(problem_of("a,b\n1,\"x\n\ny\n\",\"2\n").find("f.csv:5: a quoted field begins here"),
            std::string::npos);
  EXPECT_NE(problem_of("a,b\n\"1\"2,3\n").find("f.csv:2: text follows"), std::string::npos);
  EXPECT_NE(problem_of(std::string("a,b\n1,\0\n", 8)).find("f.csv:2: field 2 holds a zero byte"),
            std::string::npos);
}

// Every place where a block may end: fields, quotes and line ends are cut there.
TEST(Csv, RecordsCrossBlocks) {
  std::string text = "name,value\r\n";
  Records want{{"name", "value"}};
  for (int i = 0; i < 40000; ++i) {
    const std::string number = std::to_string(i);
    text += "\"row \"\"" + number + "\"\"\r\nof many\"," + number + "\r\n";
    want.push_back({"row \"" + number + "\"\r\nof many", number});
  }
  EXPECT_EQ(records_of(text), want);
  const std::string field(3 << 20, 'x');
  EXPECT_EQ(records_of("a,b\n" + field + ",\"" + field + "\"\n")[1][1], field);
}

// ---- as data of a model -----------------------------------------------------------------------

/// A fake model with three features, and a target of the given kind.
struct CsvModel {
  enum Target { kNumber, kIndex, kBinary, kOneHot };
  explicit CsvModel(Target target) : model(options_of(target)) {
    gradc_rt_data& data = model.target_data();
    if (target == kIndex) data.classes = 3;
    if (target == kBinary) data.classes = 2;
    if (target == kOneHot) {
      gradc_rt_tensor& y = model.tensor("target/y");
      y.rank = 2;
      y.dims[1] = 3;
      data.classes = data.one_hot_depth = 3;
    }
  }
  static FakeModelOptions options_of(Target target) {
    FakeModelOptions options;
    options.classes = target == kIndex;
    return options;
  }

  Status load(const std::string& text, const std::string& option, DataSet* set) const {
    write_bytes(dir.file("d.csv"), text);
    DataSource source;
    source.spec = Str((dir.file("d.csv") + option).c_str());
    return load_dataset(model.get(), source, TargetNeed::kRequired, set);
  }
  std::string problem(const std::string& text, const std::string& option = ":target=y") const {
    DataSet set;
    const Status status = load(text, option, &set);
    EXPECT_EQ(status.code, Code::kUserError) << text;
    return status.text.c_str();
  }
  /// The target's values.
  std::vector<double> target(const std::string& text,
                             const std::string& option = ":target=y") const {
    DataSet set;
    const Status status = load(text, option, &set);
    EXPECT_TRUE(status.ok()) << status.text.c_str();
    std::vector<double> values;
    if (!status.ok()) return values;
    const Array& y = set.train.arrays[1];
    for (size_t i = 0; i < y.count(); ++i)
      values.push_back(load_f64(y.data.data(), y.dtype, i));
    return values;
  }

  FakeModel model;
  TempDir dir;
};

void expect_part(const std::string& text, const char* part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

std::string rows(const std::vector<const char*>& targets) {
  std::string text = "a,b,c,y\n";
  for (const char* target : targets)
    text += std::string("1,2,3,") + target + "\n";
  return text;
}

TEST(CsvData, NamesOfClassesForEveryClassification) {
  const CsvModel index(CsvModel::kIndex), binary(CsvModel::kBinary), one_hot(CsvModel::kOneHot);
  EXPECT_EQ(index.target(rows({"dog", "cat", "eel", "cat"})), (std::vector<double>{1, 0, 2, 0}));
  EXPECT_EQ(one_hot.target(rows({"dog", "cat", "eel"})), (std::vector<double>{1, 0, 2}));
  EXPECT_EQ(binary.target(rows({"yes", "no", "yes"})), (std::vector<double>{1, 0, 1}));
  EXPECT_EQ(binary.target(rows({"True", "False"})), (std::vector<double>{1, 0}));
  // Numbers stay numbers, written as anyone likes.
  EXPECT_EQ(index.target(rows({"1", " 2", "0.0", "1e0"})), (std::vector<double>{1, 2, 0, 1}));
  EXPECT_EQ(binary.target(rows({"1", "0", "0.25"})), (std::vector<double>{1, 0, 0.25}));
  expect_part(binary.problem(rows({"yes", "no", "maybe"})),
              "column \"y\" has 3 classes (\"maybe\", \"no\", \"yes\"), target/y takes 2");
  expect_part(binary.problem(rows({"yes", "yes"})), "has 1 class (\"yes\"), target/y takes 2");
  expect_part(index.problem(rows({"a", "b", "c", "d"})),
              "has 4 classes (\"a\", \"b\", \"c\", \"d\")");
  expect_part(index.problem(rows({"a", "", "b"})), "d.csv:3: column \"y\" is empty");
  expect_part(index.problem(rows({"a", "caf\xe9"})),
              "d.csv:3: column \"y\" holds \"caf\\xe9\", "
              "which is not UTF-8 (byte 4)");
}

TEST(CsvData, ClassNumbersOutOfRangeAreNoNumbers) {
  const CsvModel index(CsvModel::kIndex);
  for (const char* cell : {"nan", "1e300", "-1e300", "inf", "0.5", "4294967296", "-2147483649"}) {
    expect_part(index.problem(rows({"1", cell})), "d.csv:3: column \"y\" holds \"");
    expect_part(index.problem(rows({"1", cell})), "a class was expected: a whole number or a name");
  }
}

TEST(CsvData, AllProblemsAtOnce) {
  const CsvModel model(CsvModel::kNumber);
  const std::string text = model.problem("a,b,c,y\n1,,x,1\n2,nan,3,1\n1,2\n1,5,z,w\n1,2,3,4\n6\n");
  expect_part(text, "d.csv:4: the row has 2 fields, the header has 4 (and 1 more rows)");
  expect_part(
      text,
      "d.csv:2: column \"b\" is empty, a number was expected (\"columns\" in the model's \"data\" "
      "can fill it in) (and 1 more rows)");
  expect_part(text,
              "d.csv:2: column \"c\" holds \"x\", a number was expected (:drop= leaves a column "
              "out) (and 1 more rows)");
  expect_part(text, "d.csv:5: column \"y\" holds \"w\", a number was expected");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
}

TEST(CsvData, CellsAreShownShortAndOnOneLine) {
  const CsvModel model(CsvModel::kNumber);
  for (const std::string& cell :
       {std::string("\"two\nlines\""), std::string("\x1b[2J"), std::string(100000, 'a')}) {
    const std::string text = model.problem("a,b,c,y\n1," + cell + ",3,1\n");
    EXPECT_LT(text.size(), 250u);
    for (char c : text)
      EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  }
  const std::string text = model.problem("a,b,\"c\n\x1b\",y\n1,2,x,1\n");
  expect_part(text, "column \"c\\n\\x1b\" holds \"x\"");
}

TEST(CsvData, HeadersThatAreNone) {
  const CsvModel model(CsvModel::kNumber);
  expect_part(model.problem("1,2,3,4\n1,2,3,4\n", ":target=4"),
              "d.csv:1: the first row, \"1\", \"2\", \"3\", \"4\", is data");
  expect_part(model.problem("5.1,3.5,1.4,setosa\n1,2,3,4\n"), "is data");
  expect_part(model.problem("-1,a,b,y\n1,2,3,4\n"), "is data");
  EXPECT_EQ(model.target("5.1,3.5,1.4,7\n1,2,3,4\n", ":target=4:header=none"),
            (std::vector<double>{7, 4}));
  EXPECT_EQ(model.target("2019,2020,2021,y\n1,2,3,4\n"), (std::vector<double>{4}));  // years
  EXPECT_EQ(model.target("1,2,3,4\n1,2,3,8\n", ":target=4:header=row"), (std::vector<double>{8}));
}

TEST(CsvData, HeadersAreChecked) {
  const CsvModel model(CsvModel::kNumber);
  expect_part(model.problem("a,y,b,y\n1,2,3,4\n"), "columns 2 and 4 are both called \"y\"");
  expect_part(model.problem("a,a,a,y\n1,2,3,4\n"), "columns 1 and 2 are both called \"a\"");
  expect_part(model.problem(",a,b,c,y\n1,2,3,4,5\n"),
              "column 1 has no name (is it the index of a table?)");
  expect_part(model.problem("a,b,c,y,\n1,2,3,4,\n"),
              "column 5 has no name (do lines end in a separator?)");
  expect_part(model.problem("a,caf\xe9,c,y\n1,2,3,4\n"),
              "the name of column 2, \"caf\\xe9\", is not UTF-8 (byte 4)");
  expect_part(model.problem("a;b;c;y\n1;2;3;4\n"), "say :sep=; after the file's name");
  expect_part(model.problem("a\tb\tc\ty\n1\t2\t3\t4\n"), "say :sep=tab after");
  EXPECT_EQ(model.target("a;b;c;y\n1;2;3;4\n", ":target=y:sep=;"), (std::vector<double>{4}));
  EXPECT_EQ(model.target("a\tb\tc\ty\n1\t2\t3\t4\n", ":sep=tab:target=y"),
            (std::vector<double>{4}));
  expect_part(model.problem("a,b,c,y\n1,2,3,4\n", ":target=y:sep=x"), "sep=x: expected one of");
  expect_part(model.problem("a,b,c,y\n"), "has a header and no rows");
}

TEST(CsvData, RolesOfColumns) {
  const CsvModel model(CsvModel::kNumber);
  const std::string text = "a,b,c,y\n1,2,3,4\n";
  expect_part(model.problem(text, ":target=y,y"), "target= names column \"y\" twice");
  expect_part(model.problem(text, ":target=y:drop=y"), "is named by target= and by drop=");
  expect_part(model.problem(text, ":target=y:drop=a,a"), "drop= names column \"a\" twice");
  expect_part(model.problem(text, ":target=y:drop=a,b,c"), "no column is left for input/x");
  const std::string both = model.problem(text, ":target=z:drop=q");
  expect_part(both, "target=z: there is no such column, the header has \"a\", \"b\"");
  expect_part(both, "drop=q: there is no such column");
  expect_part(model.problem(text, ""), "(:target=COLUMN names a column)");
}

TEST(CsvData, EncodingsAndLineEndsReachTheModel) {
  const CsvModel model(CsvModel::kIndex);
  const std::string text = "a,b,c,y\n1,2,3,dog\n4,5,6,cat\n";
  std::string mac = text;
  std::replace(mac.begin(), mac.end(), '\n', '\r');
  for (const std::string& file : {text, mac, utf16(text, true), utf16(text, false),
                                  "\xef\xbb\xbf" + text, utf16(mac, true)}) {
    EXPECT_EQ(model.target(file), (std::vector<double>{1, 0}));
  }
}

}  // namespace
}  // namespace gradc::rt
