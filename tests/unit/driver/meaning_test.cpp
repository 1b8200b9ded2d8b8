// What columns, class numbers and characters mean stays with the model: trained on A, used on B
// whose columns, classes or characters are shuffled, missing or new, by the command, a compiled
// program, a compiled library, a session in C++ and in C. Every cell is right, that is the numbers
// of the same examples given as arrays, or refused by name. The table is printed.
#include "gradc/gradc.h"
#include "gradc/session.h"
#include "tests/unit/driver/command.h"
#include "tests/unit/driver/meaning_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

namespace gradc::test {
namespace {

/// What became of B: the numbers, or a refusal's text.
struct Answer {
  bool refused = false;
  std::string text;  ///< the message
  std::string numbers;
};

/// Bytes as a short text, for comparisons that print well.
std::string print_of(const std::string& bytes) {
  if (bytes.empty()) return {};
  return std::to_string(bytes.size()) + " bytes " + std::to_string(std::hash<std::string>()(bytes));
}

/// The tensors of a safetensors file, without its header.
std::string tensor_bytes(const std::string& path) {
  const std::string bytes = read_file(path);
  uint64_t length = 0;
  if (bytes.size() < 8) return {};
  memcpy(&length, bytes.data(), 8);
  return bytes.substr(std::min<size_t>(bytes.size(), 8 + length));
}

std::string number_text(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.6e", value);
  return text;
}

double json_number(const std::string& text, const std::string& key) {
  const size_t at = text.find("\"" + key + "\":");
  return at == std::string::npos ? std::nan("") : std::atof(text.c_str() + at + key.size() + 3);
}

/// The library's host: it reads the table itself and asks the library what goes where.
constexpr const char* kHost = R"(
#include "colour.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int refuse(const char* what, const char* name) { printf("refused %s \"%s\"\n", what, name); return 1; }
int main(int argc, char** argv) {
  colour* model = NULL;
  if (argc != 4 || colour_create(NULL, 0, 1, &model) != 0) return 3;
  if (colour_load(model, argv[1]) != 0) { puts(colour_last_error(model)); return 3; }
  int columns = 0, classes = 0, place[16], target = -1;
  while (colour_column_name(model, 0, columns) != NULL) ++columns;
  while (colour_class_name(model, 0, classes) != NULL) ++classes;
  if (columns != 3 || classes != 3 || colour_column_name(model, 1, 0) != NULL ||
      colour_class_name(model, -1, 0) != NULL || colour_character(model, 0, 0, NULL) != NULL) return 4;
  static float x[COLOUR_BATCH_SIZE * 3];
  static int y[COLOUR_BATCH_SIZE];
  char line[256];
  FILE* file = fopen(argv[2], "r");
  if (file == NULL || fgets(line, sizeof line, file) == NULL) return 5;
  int n = 0, seen = 0, rows = 0;
  for (char* cell = strtok(line, ",\n"); cell != NULL; cell = strtok(NULL, ",\n"), ++n) {
    place[n] = -1;
    if (strcmp(cell, "colour") == 0) { target = n; continue; }
    if (strcmp(cell, argv[3]) == 0) continue;
    for (int i = 0; i < columns; ++i)
      if (strcmp(cell, colour_column_name(model, 0, i)) == 0) { place[n] = i; ++seen; }
    if (place[n] < 0) return refuse("column", cell);
  }
  if (seen != columns) return refuse("a column is missing:", colour_column_name(model, 0, 1));
  while (fgets(line, sizeof line, file) != NULL) {
    n = 0;
    for (char* cell = strtok(line, ",\n"); cell != NULL; cell = strtok(NULL, ",\n"), ++n) {
      if (n == target) {
        for (y[rows] = 0; y[rows] < classes; ++y[rows])
          if (strcmp(cell, colour_class_name(model, 0, y[rows])) == 0) break;
        if (y[rows] == classes) return refuse("class", cell);
      } else if (place[n] >= 0) {
        x[rows * 3 + place[n]] = (float)atof(cell);
      }
    }
    ++rows;
  }
  fclose(file);
  /* The file's values are raw: the model's "data" section standardizes, a host does it itself. */
  for (int i = 0; i < rows * 3; ++i) x[i] = (float)((x[i] - MEAN[i % 3]) / STD[i % 3]);
  const void *inputs[] = {x}, *targets[] = {y};
  float loss = 0;
  if (colour_evaluate(model, inputs, targets, rows, &loss, NULL) != 0) return 6;
  if (colour_save(model, "saved.safetensors", 1) != 0) return 7;
  printf("loss %.9e\n", (double)loss);
  colour_destroy(model);
  return 0;
}
)";

/// The same for a text: the library says which number each byte has.
constexpr const char* kTextHost = R"(
#include "text.h"
#include <stdio.h>
#include <string.h>
int main(int argc, char** argv) {
  text* model = NULL;
  if (argc != 3 || text_create(NULL, 0, 1, &model) != 0) return 3;
  if (text_load(model, argv[1]) != 0) { puts(text_last_error(model)); return 3; }
  int number[256], count = 0;
  size_t length = 0;
  memset(number, -1, sizeof number);
  for (const char* one; (one = text_character(model, 0, count, &length)) != NULL; ++count) {
    if (length != 1) return 4;
    number[(unsigned char)*one] = count;
  }
  if (count == 0 || text_class_name(model, 0, 0) != NULL || text_column_name(model, 0, 0) != NULL) return 4;
  char bytes[TEXT_BATCH_SIZE * 4 + 2];
  FILE* file = fopen(argv[2], "rb");
  if (file == NULL) return 5;
  const int size = (int)fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  for (int i = 0; i < size; ++i)
    if (number[(unsigned char)bytes[i]] < 0) { printf("refused the character '%c'\n", bytes[i]); return 1; }
  int x[TEXT_BATCH_SIZE * 4], y[TEXT_BATCH_SIZE * 4];
  const int rows = (size - 1) / 4;
  for (int i = 0; i < rows * 4; ++i) {
    x[i] = number[(unsigned char)bytes[i]];
    y[i] = number[(unsigned char)bytes[i + 1]];
  }
  const void *inputs[] = {x}, *targets[] = {y};
  float loss = 0;
  if (text_evaluate(model, inputs, targets, rows, &loss, NULL) != 0) return 6;
  if (text_save(model, "saved.safetensors", 1) != 0) return 7;
  printf("loss %.9e\n", (double)loss);
  text_destroy(model);
  return 0;
}
)";

/// The f64 values of a tensor of a safetensors file.
std::vector<double> f64_tensor(const std::string& path, const std::string& name) {
  const std::string bytes = read_file(path);
  const size_t at = bytes.find("\"" + name + "\":");
  const size_t offsets = bytes.find("\"data_offsets\":[", at);
  if (at == std::string::npos || offsets == std::string::npos) return {};
  size_t begin = 0, end = 0;
  if (std::sscanf(bytes.c_str() + offsets, "\"data_offsets\":[%zu,%zu]", &begin, &end) != 2)
    return {};
  std::vector<double> values((end - begin) / sizeof(double));
  memcpy(values.data(), tensor_bytes(path).data() + begin, end - begin);
  return values;
}

class Meaning : public ::testing::Test {
 protected:
  /// A trained model: weights, a checkpoint after half of the epochs, program.
  void train(const MeaningModel& model, const std::string& name) {
    model_ = scratch_ / (name + ".json");
    weights_ = scratch_ / (name + ".safetensors");
    checkpoint_ = scratch_ / (name + ".checkpoint");
    program_ = scratch_ / name;
    write_text_file(model_, model.json);
    const Outcome whole = gradc("train " + model_ + " --data " + model.spec + " --out " + weights_);
    ASSERT_EQ(whole.code, 0) << whole.output;
    const Outcome part = gradc("train " + model_ + " --data " + model.spec +
                               " --epochs 4 --checkpoint " + checkpoint_);
    ASSERT_EQ(part.code, 0) << part.output;
    const Outcome compiled = gradc("compile " + model_ + " -o " + program_);
    ASSERT_EQ(compiled.code, 0) << compiled.output;
  }

  Answer answer(const Outcome& outcome, const std::string& numbers) {
    EXPECT_TRUE(outcome.code == 0 || outcome.code == 1) << outcome.output;
    return {outcome.code != 0, outcome.output, outcome.code == 0 ? numbers : ""};
  }

  /// The four things that the command and a compiled program do; `run` begins the command line.
  Answer eval(const std::string& program, const std::string& data) {
    const Outcome outcome =
        shell(run("eval", program) + data + " --weights " + weights_ + " --json");
    return answer(outcome, number_text(json_number(outcome.output, "loss")) + " " +
                               number_text(json_number(outcome.output, "accuracy")));
  }
  Answer predict(const std::string& program, const std::string& data) {
    const std::string out = scratch_ / "p.npy";
    std::filesystem::remove(out);
    const Outcome outcome =
        shell(run("predict", program) + data + " --weights " + weights_ + " --out " + out);
    return answer(outcome, print_of(read_file(out)));
  }
  Answer resume(const std::string& program, const std::string& data) {
    const std::string copy = scratch_ / "copy.checkpoint", out = scratch_ / "r.safetensors";
    std::filesystem::copy_file(checkpoint_, copy,
                               std::filesystem::copy_options::overwrite_existing);
    const Outcome outcome =
        shell(run("train", program) + data + " --resume --checkpoint " + copy + " --out " + out);
    return answer(outcome, print_of(tensor_bytes(out)));
  }
  Answer tune(const std::string& program, const std::string& data) {
    const std::string out = scratch_ / "f.safetensors";
    const Outcome outcome =
        shell(run("train", program) + data + " --epochs 2 --weights " + weights_ + " --out " + out);
    return answer(outcome, print_of(tensor_bytes(out)));
  }

  static std::string run(const std::string& command, const std::string& program) {
    const size_t space = program.find(' ');  // "gradc MODEL" or a program
    return space == std::string::npos
               ? program + " " + command + " "
               : program.substr(0, space) + " " + command + program.substr(space) + " ";
  }

  /// Notes a cell and checks it: refused by name, or the numbers of `right`.
  void cell(const MeaningCase& one, const std::string& column, const Answer& seen,
            const Answer& right, bool refused) {
    const std::string where = one.name + ", " + column + ": ";
    const bool same = !seen.refused && seen.numbers == right.numbers && !seen.numbers.empty();
    table_[column].push_back(seen.refused ? "refused" : same ? "right" : "WRONG");
    if (refused) {
      EXPECT_TRUE(seen.refused) << where << seen.numbers;
      for (const std::string& name : one.named)
        EXPECT_NE(seen.text.find(name), std::string::npos) << where << name << "\n" << seen.text;
    } else {
      EXPECT_TRUE(same) << where << seen.text << seen.numbers << "\nexpected " << right.numbers;
    }
  }

  void print(const MeaningModel& model, const std::vector<std::string>& columns) {
    std::string text = "\n| B |";
    for (const std::string& column : columns)
      text += " " + column + " |";
    text += "\n|---|";
    for (size_t i = 0; i < columns.size(); ++i)
      text += "---|";
    for (size_t row = 0; row < model.cases.size(); ++row) {
      text += "\n| " + model.cases[row].name + " |";
      for (const std::string& column : columns)
        text += " " + table_[column][row] + " |";
    }
    std::printf("%s\n\n", text.c_str());
  }

  /// The command or a program on all of B.
  void commands(const MeaningModel& model, const std::string& label, const std::string& program) {
    const std::string jit = tool() + " " + model_;
    for (const MeaningCase& one : model.cases) {
      const std::string data = "--data " + one.spec;
      const std::string file = one.csv.empty() ? one.spec : one.spec.substr(0, one.csv.size());
      const std::string drop = one.spec.find(":drop") == std::string::npos
                                   ? ""
                                   : one.spec.substr(one.spec.find(":drop"));
      const std::string pair = one.inputs.substr(0, one.inputs.find(" --target"));
      const std::string inputs = pair.empty() ? "" : "--in " + pair.substr(pair.find('=') + 1);
      // A class that is new is no matter where no class is read.
      const bool classes_only = one.name.starts_with("classes");
      Answer right;
      const auto expect = [&](const Answer& arrays) { right = one.refused ? Answer{} : arrays; };
      expect(one.refused ? Answer{} : eval(jit, one.inputs));
      cell(one, label + " eval", eval(program, data), right, one.refused);
      const bool predicts = !one.refused || classes_only;
      if (!one.refused) expect(predict(jit, inputs));
      if (one.refused && predicts)
        right = predict(jit, "--in " + model.spec.substr(0, model.spec.find(':')));
      cell(one, label + " predict", predict(program, "--in " + file + drop), right, !predicts);
      if (!one.refused) expect(resume(jit, "--data " + model.spec));
      cell(one, label + " resume", resume(program, data), right, !one.same_rows);
      if (!one.refused) expect(tune(jit, one.inputs));
      cell(one, label + " train --weights", tune(program, data), right, one.refused);
    }
  }

  void sessions(const MeaningModel& model) {
    SessionStatus status;
    const auto session = Session::load(model_, {}, &status);
    ASSERT_NE(session, nullptr) << status.message;
    ASSERT_TRUE(session->load_weights(weights_).ok());
    gradc_session* handle = gradc_session_load(model_.c_str(), nullptr, nullptr, 0);
    ASSERT_NE(handle, nullptr);
    ASSERT_EQ(gradc_session_load_weights(handle, weights_.c_str()), GRADC_OK);
    for (const MeaningCase& one : model.cases) {
      const Answer right = one.refused ? Answer{} : eval(tool() + " " + model_, one.inputs);
      double loss = 0, accuracy = 0;
      const SessionStatus evaluated = session->evaluate_data(one.spec, &loss, {&accuracy, 1});
      cell(one, "Session",
           {!evaluated.ok(), evaluated.message, number_text(loss) + " " + number_text(accuracy)},
           right, one.refused);
      loss = accuracy = 0;
      const gradc_status code =
          gradc_session_evaluate_data(handle, one.spec.c_str(), &loss, &accuracy, 1);
      cell(one, "C ABI",
           {code != GRADC_OK, gradc_last_error(handle),
            number_text(loss) + " " + number_text(accuracy)},
           right, one.refused);
    }
    gradc_session_destroy(handle);
  }

  /// The C library of the model and a host of it, as `scratch_ / "host"`.
  void build_host(const std::string& name, const std::string& code) {
    const std::string archive = "lib" + name + ".a";
    ASSERT_EQ(gradc("compile " + model_ + " --emit static -o " + (scratch_ / archive)).code, 0);
    write_text_file(scratch_ / "host.c", code);
    const Outcome built =
        shell("cd " + (scratch_ / "") + " && cc -std=c11 -Wall -Wextra -Werror host.c " + archive +
              " -lm -lpthread -o host");
    ASSERT_EQ(built.code, 0) << built.output;
  }

  /// One cell of the library's column: the host with these arguments.
  void host_cell(const MeaningCase& one, const std::string& arguments) {
    Answer right;
    if (!one.refused) {
      const Outcome outcome = shell(run("eval", tool() + " " + model_) + one.inputs +
                                    " --weights " + weights_ + " --json");
      right.numbers = number_text(json_number(outcome.output, "loss"));
    }
    const Outcome ran = shell("cd " + (scratch_ / "") + " && ./host " + weights_ + " " + arguments);
    const size_t at = ran.output.find("loss ");
    const std::string numbers =
        at == std::string::npos ? "" : number_text(std::atof(ran.output.c_str() + at + 5));
    MeaningCase unnamed = one;
    unnamed.named.clear();
    cell(unnamed, "C library", answer(ran, numbers), right, one.refused);
  }

  /// What the library has saved means the same.
  void check_saved(const MeaningCase& one) {
    const Answer right = eval(tool() + " " + model_, one.inputs);
    weights_ = scratch_ / "saved.safetensors";
    EXPECT_EQ(eval(tool() + " " + model_, "--data " + one.spec).numbers, right.numbers);
  }

  void table_library(const MeaningModel& model) {
    const std::vector<double> mean = f64_tensor(weights_, "data/x/mean");
    const std::vector<double> std = f64_tensor(weights_, "data/x/std");
    ASSERT_EQ(mean.size(), 3U);
    ASSERT_EQ(std.size(), 3U);
    std::string constants;
    for (const auto& [name, values] : {std::pair{"MEAN", mean}, std::pair{"STD", std}}) {
      char text[256];
      std::snprintf(text, sizeof text, "static const double %s[3] = {%.17g, %.17g, %.17g};\n", name,
                    values[0], values[1], values[2]);
      constants += text;
    }
    ASSERT_NO_FATAL_FAILURE(build_host("colour", constants + kHost));
    for (const MeaningCase& one : model.cases)
      host_cell(one, one.csv + (one.spec.find(":drop=d") != std::string::npos ? " d" : " -"));
    check_saved(model.cases[7]);
  }

  void text_library(const MeaningModel& model) {
    ASSERT_NO_FATAL_FAILURE(build_host("text", kTextHost));
    for (const MeaningCase& one : model.cases)
      host_cell(one, one.spec.substr(0, one.spec.find(":chars")));
    check_saved(model.cases[3]);
  }

  Scratch scratch_;
  std::string model_, weights_, checkpoint_, program_;
  std::map<std::string, std::vector<std::string>> table_;
};

const std::vector<std::string> kCommands = {" eval", " predict", " resume", " train --weights"};

std::vector<std::string> columns_of(std::initializer_list<std::string> more) {
  std::vector<std::string> columns;
  for (const char* label : {"gradc", "program"}) {
    for (const std::string& command : kCommands)
      columns.push_back(label + command);
  }
  columns.insert(columns.end(), more);
  return columns;
}

TEST_F(Meaning, OfTablesStaysWithTheModel) {
  const MeaningModel model = colour_model(scratch_ / "");
  ASSERT_NO_FATAL_FAILURE(train(model, "colour"));
  commands(model, "gradc", tool() + " " + model_);
  commands(model, "program", program_);
  sessions(model);
  table_library(model);
  print(model, columns_of({"Session", "C ABI", "C library"}));
}

TEST_F(Meaning, OfTextsStaysWithTheModel) {
  const MeaningModel model = text_model(scratch_ / "");
  ASSERT_NO_FATAL_FAILURE(train(model, "text"));
  commands(model, "gradc", tool() + " " + model_);
  commands(model, "program", program_);
  sessions(model);
  text_library(model);
  print(model, columns_of({"Session", "C ABI", "C library"}));
}

}  // namespace
}  // namespace gradc::test
