#include "tests/unit/driver/meaning_table.h"

#include "tests/unit/driver/command.h"

#include <algorithm>
#include <array>
#include <set>

namespace gradc::test {

namespace {

/// A .npy file of 32-bit numbers.
template <class Number>
void write_npy(const std::string& path, const std::vector<Number>& values, size_t per_row) {
  const size_t rows = values.size() / per_row;
  std::string header = std::string("{'descr': '") +
                       (std::is_same_v<Number, float> ? "<f4" : "<i4") +
                       "', 'fortran_order': False, 'shape': (" + std::to_string(rows) + "," +
                       (per_row > 1 ? " " + std::to_string(per_row) : "") + "), }";
  header.resize((header.size() + 10 + 1 + 63) / 64 * 64 - 11, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Number));
  write_text_file(path, bytes);
}

struct Row {
  std::array<int, 3> values;  ///< of the columns a, b, c
  std::string colour;
};

const std::vector<std::string> kColours = {"blue", "green", "red"};  // as A numbers them

std::vector<Row> rows_of_a() {
  std::vector<Row> rows;
  for (int i = 0; i < 24; ++i) {
    const int which = (i * 7 + i / 5) % 3;
    Row row{{i % 4 * 5, i % 5 * 4, i % 7 * 3}, kColours[static_cast<size_t>(which)]};
    row.values[static_cast<size_t>(which)] += 60 + i;
    rows.push_back(row);
  }
  return rows;
}

/// Writes rows as a table whose header is `columns` (a, b, c, colour, or others, which hold 7).
std::string table_text(const std::vector<Row>& rows, const std::vector<std::string>& columns) {
  std::string text;
  for (size_t c = 0; c < columns.size(); ++c)
    text += (c > 0 ? "," : "") + columns[c];
  for (const Row& row : rows) {
    for (size_t c = 0; c < columns.size(); ++c) {
      const size_t place = std::string("abc").find(columns[c]);
      const bool feature = columns[c].size() == 1 && place != std::string::npos;
      text += c > 0 ? "," : "\n";
      if (feature) {
        text += std::to_string(row.values[place]);
      } else {
        text += columns[c] == "colour" ? row.colour : "7";
      }
    }
  }
  return text + "\n";
}

std::string arrays_of(const std::string& path, const std::vector<Row>& rows) {
  std::vector<float> x;
  std::vector<int32_t> y;
  for (const Row& row : rows) {
    for (int value : row.values)
      x.push_back(static_cast<float>(value));
    const auto found = std::find(kColours.begin(), kColours.end(), row.colour);
    y.push_back(static_cast<int32_t>(found - kColours.begin()));
  }
  write_npy(path + ".x.npy", x, 3);
  write_npy(path + ".y.npy", y, 1);
  return "--input x=" + path + ".x.npy --target p=" + path + ".y.npy";
}

}  // namespace

MeaningModel colour_model(const std::string& folder) {
  MeaningModel model;
  model.json = R"({"name": "colour", "inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dense", "units": 3}, {"type": "softmax", "name": "p"}],
    "data": {"x": {"standardize": true}},
    "training": {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"],
                 "optimizer": {"type": "adam", "learning_rate": 0.05},
                 "batch_size": 32, "epochs": 20}})";
  const std::vector<Row> a = rows_of_a();
  const std::vector<std::string> header = {"a", "b", "c", "colour"};
  write_text_file(folder + "a.csv", table_text(a, header));
  model.spec = folder + "a.csv:target=colour";
  const auto add = [&](const std::string& name, const std::vector<Row>& rows,
                       const std::vector<std::string>& columns, MeaningCase one) {
    const std::string path = folder + "b" + std::to_string(model.cases.size());
    write_text_file(path + ".csv", table_text(rows, columns));
    one.name = name;
    one.csv = path + ".csv";
    one.spec = one.csv + ":target=colour" + one.spec;
    if (!one.refused) one.inputs = arrays_of(path, rows);
    model.cases.push_back(std::move(one));
  };
  const auto only = [&](std::set<std::string> colours) {
    std::vector<Row> rows;
    std::copy_if(a.begin(), a.end(), std::back_inserter(rows),
                 [&](const Row& row) { return colours.contains(row.colour); });
    return rows;
  };
  std::vector<Row> backwards(a.rbegin(), a.rend()), violet = a, capital = a;
  violet[3].colour = "violet";
  capital[5].colour = "Red";
  add("the same", a, header, {.same_rows = true});
  add("classes missing: red only", only({"red"}), header, {});
  add("classes missing: blue only", only({"blue"}), header, {});
  add("classes missing: no blue", only({"green", "red"}), header, {});
  add("classes reordered", backwards, header, {});
  add("classes added", violet, header, {.refused = true, .named = {"violet", "blue", "green"}});
  add("classes renamed", capital, header, {.refused = true, .named = {"Red", "red", "blue"}});
  add("columns reordered", a, {"c", "colour", "a", "b"}, {.same_rows = true});
  add("columns and classes", only({"red", "green"}), {"b", "a", "colour", "c"}, {});
  add("columns missing", a, {"a", "c", "colour"}, {.refused = true, .named = {"\"b\"", "\"a\""}});
  add("columns added", a, {"a", "b", "c", "d", "colour"}, {.refused = true, .named = {"\"d\""}});
  add("columns renamed", a, {"a", "B", "c", "colour"},
      {.refused = true, .named = {"\"b\"", "\"B\""}});
  add("columns added and dropped", a, {"d", "a", "colour", "b", "c"},
      {.spec = ":drop=d", .same_rows = true});
  return model;
}

MeaningModel text_model(const std::string& folder) {
  constexpr size_t kLength = 4;
  MeaningModel model;
  model.json = R"({"name": "text", "inputs": [{"name": "t", "shape": [4], "dtype": "int32"}],
    "layers": [{"type": "embedding", "input_dim": 16, "output_dim": 6},
               {"type": "dense", "units": 16, "name": "p"}],
    "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
                 "metrics": ["accuracy"], "optimizer": {"type": "adam", "learning_rate": 0.05},
                 "batch_size": 32, "epochs": 10}})";
  const std::string a = "abacus decade, facade bead; cabbage face abcdefgus, ;abba dabs\n";
  const std::string table = [&] {
    const std::set<char> letters(a.begin(), a.end());
    return std::string(letters.begin(), letters.end());
  }();
  write_text_file(folder + "a.txt", a);
  model.spec = folder + "a.txt:chars";
  const auto add = [&](const std::string& name, const std::string& text, MeaningCase one) {
    const std::string path = folder + "t" + std::to_string(model.cases.size());
    write_text_file(path + ".txt", text);
    one.name = name;
    one.spec = path + ".txt:chars";
    std::vector<int32_t> x, y;
    for (size_t i = 0; i < (text.size() - 1) / kLength * kLength; ++i) {
      x.push_back(static_cast<int32_t>(table.find(text[i])));
      y.push_back(static_cast<int32_t>(table.find(text[i + 1])));
    }
    if (!one.refused) {
      write_npy(path + ".x.npy", x, kLength);
      write_npy(path + ".y.npy", y, kLength);
      one.inputs = "--input t=" + path + ".x.npy --target p=" + path + ".y.npy";
    }
    model.cases.push_back(std::move(one));
  };
  add("the same text", a, {.same_rows = true});
  add("characters missing", "facade gag feed, cabbage\n", {});
  add("one character", "gggggggggggg", {});
  add("characters reordered", "us gaga; fade, cab\n", {});
  add("characters added", "facade\n a zebra bead\n",
      {.refused = true, .named = {"txt:2:4: ", "\"z\""}});
  add("a capital letter", "Abacus decade, facade\n",
      {.refused = true, .named = {"txt:1:1: ", "\"A\""}});
  add("an accent", "facade\n\nd\u00e9cade, caf\u00e9\n",
      {.refused = true, .named = {"txt:3:2: ", "\"\u00e9\""}});
  return model;
}

}  // namespace gradc::test
