// Every wrong model and data file through the real command: exit code 1, within a second, with the
// file (and line) and what is wrong. Prints how many were tried. The texts of the models'
// diagnostics are compared in full by tests/unit/diagnostics.
#include "tests/support/sanitized.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <sys/resource.h>
#include <vector>

namespace gradc::test {
namespace {

// Seconds of processor time; sanitizers make everything several times slower.
#if GRADC_SANITIZED
constexpr double kLimit = 10.0;
#else
constexpr double kLimit = 1.0;
#endif

struct Timed {
  Outcome outcome;
  double seconds = 0.0;
};

/// Processor time of all children so far: what a command costs, however busy the machine is.
double children_seconds() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Timed timed(const std::string& line) {
  const double begin = children_seconds();
  Timed result{shell(line), 0.0};
  result.seconds = children_seconds() - begin;
  return result;
}

/// A machine that throttles gets a second and a third chance.
Timed best_of_three(const std::string& line) {
  Timed result = timed(line);
  for (int i = 0; i < 2 && result.seconds >= kLimit; ++i)
    result = timed(line);
  return result;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

TEST(BadInput, EveryWrongModelIsRefusedInTime) {
  const std::string folder = source("tests/diagnostics");
  size_t count = 0;
  double slowest = 0.0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    std::string expected = read_file(std::filesystem::path(entry.path()).replace_extension(".txt"));
    if (expected.find("error: ") == std::string::npos) continue;  // warnings only
    const std::string name = entry.path().filename().string();
    const Timed run = best_of_three("cd " + folder + " && " + tool() + " check " + name);
    EXPECT_EQ(run.outcome.code, 1) << name << "\n" << run.outcome.output;
    EXPECT_LT(run.seconds, kLimit) << name;
    EXPECT_EQ(first_line(run.outcome.output), first_line(expected)) << name;
    slowest = std::max(slowest, run.seconds);
    ++count;
  }
  const Scratch scratch;
  for (const char* unit : {"[", "{\"a\":"}) {  // nested 100,000 deep
    std::string text;
    for (int i = 0; i < 100000; ++i)
      text += unit;
    write_text_file(scratch / "deep.json", text);
    const Timed run = best_of_three(tool() + " check " + (scratch / "deep.json"));
    EXPECT_EQ(run.outcome.code, 1);
    EXPECT_LT(run.seconds, kLimit);
    EXPECT_NE(run.outcome.output.find("nested more than"), std::string::npos);
    slowest = std::max(slowest, run.seconds);
    ++count;
  }
  EXPECT_GE(count, 40U);
  std::printf("%zu wrong models refused, the slowest in %.2f s\n", count, slowest);
}

// ---- data files

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string npy(const std::string& descr, const std::string& shape, const std::string& data) {
  std::string header =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
  header.resize((header.size() + 11 + 63) / 64 * 64 - 10, ' ');
  header.back() = '\n';
  const auto size = static_cast<uint16_t>(header.size());
  return std::string("\x93NUMPY\x01\x00", 8) +
         std::string{reinterpret_cast<const char*>(&size), 2} + header + data;
}

std::string big_endian(uint32_t x) {
  return {static_cast<char>(x >> 24U), static_cast<char>(x >> 16U), static_cast<char>(x >> 8U),
          static_cast<char>(x)};
}

std::string idx(const std::vector<uint32_t>& dims, const std::string& data, char type = 8) {
  std::string text{'\0', '\0', type, static_cast<char>(dims.size())};
  for (const uint32_t dim : dims)
    text += big_endian(dim);
  return text + data;
}

std::string safetensors(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  return std::string{reinterpret_cast<const char*>(&size), 8} + header + data;
}

struct DataCase {
  std::string name;
  std::function<void()> make;  ///< writes the files
  std::string arguments;
  std::string expected;  ///< part of the output
};

class DataCases {
 public:
  explicit DataCases(const Scratch& scratch) : scratch_(scratch) {
    for (int i = 0; i < 32; ++i)
      x_.push_back(static_cast<float>(i) / 32.0F);
    write_text_file(scratch / "classes.json", model("[4]", ""));
    write_text_file(scratch / "images.json", model("[4, 4]", R"({"type": "flatten"},)"));
    write_text_file(scratch / "x.npy", npy("<f4", "(8, 4)", bytes_of(x_)));
    write_text_file(scratch / "y.npy", npy("<i4", "(8,)", bytes_of(y_)));
    add_idx();
    add_npy();
    add_containers();
    add_csv();
    add_weights();
  }

  const std::vector<DataCase>& all() const { return cases_; }

 private:
  static std::string model(const std::string& shape, const std::string& layer) {
    return R"({"inputs": [{"name": "x", "shape": )" + shape + R"(}], "layers": [)" + layer +
           R"({"type": "dense", "units": 3, "name": "y"}], "training": {"loss": {"type": )"
           R"("sparse_categorical_crossentropy", "from_logits": true}, "optimizer": "adam", )"
           R"("batch_size": 4, "epochs": 1}})";
  }

  /// A folder with MNIST's names, one file of it replaced.
  void mnist(const std::string& name, const std::string& file, const std::string& content,
             const std::string& expected) {
    const auto make = [this, name, file, content] {
      const std::string folder = scratch_ / name;
      std::filesystem::create_directory(folder);
      const std::string images = "train-images-idx3-ubyte", labels = "train-labels-idx1-ubyte";
      if (!file.starts_with(images))
        write_text_file(folder + "/" + images, idx({8, 4, 4}, std::string(128, 'a')));
      if (!file.starts_with(labels)) write_text_file(folder + "/" + labels, idx({8}, kLabels));
      write_text_file(folder + "/" + file, content);
    };
    cases_.push_back({name, make, "train images.json --data " + name, expected});
  }

  void add_idx() {
    const std::string images = "train-images-idx3-ubyte", labels = "train-labels-idx1-ubyte";
    const std::string good = idx({8, 4, 4}, std::string(128, 'a'));
    mnist("idx_truncated", images, good.substr(0, 130),
          "needs 128 bytes of data, the file has 114");
    mnist("idx_header", images, good.substr(0, 9), "header is cut off");
    mnist("idx_empty", images, "", "not an IDX file");
    mnist("idx_other", images, "\x89PNG" + good.substr(4), "not an IDX file");
    mnist("idx_type", images, idx({8, 4, 4}, "", 0x33), "not an IDX file");
    mnist("idx_trailing", images, good + "x", "the file has 129");
    mnist("idx_huge", images, idx({~0U, ~0U, ~0U}, "abc"), "needs more than 2^62 bytes");
    mnist("idx_rank", images, idx(std::vector<uint32_t>(100, 1), "a"), "rank is 100");
    mnist("idx_shape", images, idx({8, 2, 8}, std::string(128, 'a')), "each example is [2, 8]");
    mnist("idx_no_rows", images, idx({0, 4, 4}, ""), "train-images-idx3-ubyte has 0");
    mnist("label_range", labels, idx({8}, kLabels.substr(0, 7) + "\x05"),
          "example 7 is 5, target/y needs values from 0 to 2");
    mnist("label_count", labels, idx({5}, kLabels.substr(0, 5)), "has 5 examples");
    mnist("gz_not", images + ".gz", "no gzip data", "train-images-idx3-ubyte.gz");
    write_text_file(scratch_ / "plain", good);
    shell("gzip -n -k " + (scratch_ / "plain"));
    const std::string packed = read_file(scratch_ / "plain.gz");
    mnist("gz_truncated", images + ".gz", packed.substr(0, packed.size() - 9),
          "the stream ends too early");
    std::string corrupt = packed;
    corrupt[packed.size() - 6] ^= 0x55;
    mnist("gz_corrupt", images + ".gz", corrupt, "gzip data cannot be unpacked");
  }

  void arrays(const std::string& name, const std::string& x, const std::string& y,
              const std::string& expected) {
    const auto make = [this, name, x, y] {
      if (!x.empty()) write_text_file(scratch_ / (name + "_x.npy"), x);
      if (!y.empty()) write_text_file(scratch_ / (name + "_y.npy"), y);
    };
    cases_.push_back({name, make,
                      "train classes.json --input x=" + (x.empty() ? "x" : name + "_x") +
                          ".npy --target y=" + (y.empty() ? "y" : name + "_y") + ".npy",
                      expected});
  }

  void add_npy() {
    const std::string good = npy("<f4", "(8, 4)", bytes_of(x_));
    arrays("npy_truncated", good.substr(0, good.size() - 5), "", "the file has 123");
    arrays("npy_header", good.substr(0, 20), "", "header is cut off");
    arrays("npy_other", "hello", "", "not an .npy file");
    arrays("npy_objects", npy("|O", "(8, 4)", bytes_of(x_)), "", "element type '|O'");
    arrays("npy_huge", npy("<f4", "(4611686018427387904, 4)", bytes_of(x_)), "", "npy_huge_x.npy");
    arrays("npy_wrong_shape", npy("<f4", "(8, 3)", bytes_of(x_).substr(0, 96)), "",
           "each example is [3]");
    std::vector<float> broken = x_;
    broken[13] = __builtin_nanf("");
    arrays("npy_nan", npy("<f4", "(8, 4)", bytes_of(broken)), "", "example 3, value 1 is nan");
    broken[13] = __builtin_inff();
    arrays("npy_inf", npy("<f4", "(8, 4)", bytes_of(broken)), "", "example 3, value 1 is inf");
    const auto labels = [](int32_t last) {
      return npy("<i4", "(8,)", bytes_of(std::vector<int32_t>{0, 1, 2, 0, 1, 2, 0, last}));
    };
    arrays("npy_label_range", "", labels(3), "example 7 is 3");
    arrays("npy_label_negative", "", labels(-1), "example 7 is -1");
    arrays("npy_label_count", "", npy("<i4", "(4,)", bytes_of(y_).substr(0, 16)), "has 4 examples");
    arrays("npy_label_fraction", "", npy("<f4", "(8,)", bytes_of(x_).substr(0, 32)),
           "needs whole numbers");
  }

  void file(const std::string& name, const std::string& ending, const std::string& content,
            const std::string& expected, const std::string& option = "") {
    const auto make = [this, name, ending, content] {
      write_text_file(scratch_ / (name + ending), content);
    };
    cases_.push_back({name, make, "train classes.json --data " + name + ending + option, expected});
  }

  void add_containers() {
    const std::string npz = read_file(source("tests/unit/runtime/data/stored.npz"));
    file("npz_truncated", ".npz", npz.substr(0, npz.size() / 2), "the file is cut off");
    file("npz_other", ".npz", "this is no archive at all", "not an .npz file");
    std::string corrupt = npz;
    corrupt[120] ^= 0x7f;
    file("npz_corrupt", ".npz", corrupt, "npz_corrupt.npz");
    const std::string data = bytes_of(x_) + bytes_of(y_);
    const auto header = [](const std::string& x) {
      return R"({"x": )" + x +
             R"(, "y": {"dtype": "I32", "shape": [8], "data_offsets": [128, 160]}})";
    };
    const std::string x = R"({"dtype": "F32", "shape": [8, 4], "data_offsets": [0, 128]})";
    const std::string good = safetensors(header(x), data);
    file("st_truncated", ".safetensors", good.substr(0, good.size() - 3), "of 157 bytes of data");
    file("st_short", ".safetensors", "abc", "it has 3 bytes");
    file("st_huge_header", ".safetensors", std::string(8, '\x7f') + "{}", "cut off");
    file("st_malformed", ".safetensors", safetensors("{\"x\": nope", ""), "header is malformed");
    file("st_deep", ".safetensors", safetensors(std::string(100000, '['), ""), "is malformed");
    file(
        "st_offsets", ".safetensors",
        safetensors(header(R"({"dtype": "F32", "shape": [8, 4], "data_offsets": [0, 999]})"), data),
        "claims bytes 0 to 999");
    file("st_overflow", ".safetensors",
         safetensors(header(R"({"dtype": "F32", "shape": [4611686018427387904, 4], )"
                            R"("data_offsets": [0, 128]})"),
                     data),
         "F32[4611686018427387904, 4]");
  }

  void add_csv() {
    const std::string head = "a,b,c,d,label\n1,2,3,4,0\n";
    const auto csv = [&](const std::string& name, const std::string& text,
                         const std::string& expected) {
      file(name, ".csv", text, expected, ":target=label");
    };
    csv("csv_nan", head + "1,nan,3,4,1\n", "csv_nan.csv:3: column \"b\" holds \"nan\"");
    csv("csv_empty_cell", head + "1,,3,4,1\n", "csv_empty_cell.csv:3: column \"b\" is empty");
    csv("csv_text", head + "1,two,3,4,1\n", "csv_text.csv:3: column \"b\" holds \"two\"");
    csv("csv_short", head + "1,2\n", "csv_short.csv:3: the row has 2 fields");
    csv("csv_quote", head + "1,\"2,3,4,1\n", "csv_quote.csv:3: a quoted field begins here");
    csv("csv_label_range", head + "1,2,3,4,3\n", "target/y needs values from 0 to 2");
    csv("csv_label_fraction", head + "1,2,3,4,0.5\n",
        "csv_label_fraction.csv:3: column \"label\" holds \"0.5\"");
    csv("csv_columns", "a,label\n1,0\n", "each example is");
    csv("csv_no_target", "a,b,c,d,class\n1,2,3,4,0\n", "there is no such column");
    csv("csv_empty", "", "the CSV file is empty");
    csv("csv_twice", "a,label,c,d,label\n1,2,3,4,0\n", "columns 2 and 5 are both called \"label\"");
    csv("csv_no_header", "5.1,3.5,1.4,0.2,0\n1,2,3,4,0\n",
        "is data, names of columns were expected");
    csv("csv_unnamed", ",a,b,c,d,label\n0,1,2,3,4,0\n", "column 1 has no name");
    csv("csv_semicolons", "a;b;c;d;label\n1;2;3;4;0\n", "say :sep=; after");
    csv("csv_zeros", std::string("a,b,c,d,label\n1,2,\0,4,0\n", 24), "field 3 holds a zero byte");
    csv("csv_latin", "a,b,c,d,label\n1,2,3,4,caf\xe9\n", "which is not UTF-8 (byte 4)");
    csv("csv_classes", "a,b,c,d,label\n1,2,3,4,a\n1,2,3,4,b\n1,2,3,4,c\n1,2,3,4,d\n",
        "has 4 classes");
    csv("csv_line_break", head + "1,\"two\nlines\",3,4,1\n", "holds \"two\\nlines\", a number");
    csv("csv_terminal", head + "1,\x1b[2J,3,4,1\n", "holds \"\\x1b[2J\", a number");
    csv("csv_class_range", head + "1,2,3,4,1e300\n", "column \"label\" holds \"1e300\"");
  }

  void add_weights() {
    const std::string train = "cd " + (scratch_ / ".") + " && " + tool() +
                              " train classes.json --input x=x.npy --target y=y.npy ";
    EXPECT_EQ(shell(train + "--out good.safetensors --checkpoint check.safetensors").code, 0);
    const std::string good = read_file(scratch_ / "good.safetensors");
    const auto weights = [&](const std::string& name, const std::string& content,
                             const std::string& expected) {
      write_text_file(scratch_ / (name + ".safetensors"), content);
      cases_.push_back(
          {name, [] {},
           "eval classes.json --input x=x.npy --target y=y.npy --weights " + name + ".safetensors",
           expected});
    };
    weights("weights_truncated", good.substr(0, good.size() - 5), "bytes of data");
    weights("weights_other", "garbage, and more garbage", "not a safetensors file");
    std::string renamed = good;
    renamed.replace(renamed.find("y/kernel"), 8, "z/kernel");
    weights("weights_renamed", renamed, "\"z/kernel\"");
    const std::string check = read_file(scratch_ / "check.safetensors");
    const auto resume = [&](const std::string& name, const std::string& content,
                            const std::string& expected) {
      write_text_file(scratch_ / (name + ".safetensors"), content);
      cases_.push_back({name, [] {},
                        "train classes.json --input x=x.npy --target y=y.npy --epochs 2 --resume "
                        "--checkpoint " +
                            name + ".safetensors",
                        expected});
    };
    resume("checkpoint_truncated", check.substr(0, check.size() - 5), "bytes of data");
    resume("checkpoint_empty", "", "it has 0 bytes");
    resume("checkpoint_of_weights", good, "is not a checkpoint");
  }

  static inline const std::string kLabels = std::string("\0\1\2\0\1\2\0\1", 8);
  const Scratch& scratch_;
  std::vector<float> x_;
  std::vector<int32_t> y_ = {0, 1, 2, 0, 1, 2, 0, 1};
  std::vector<DataCase> cases_;
};

TEST(BadInput, EveryWrongDataFileIsRefusedInTime) {
  const Scratch scratch;
  const DataCases cases(scratch);
  double slowest = 0.0;
  for (const DataCase& one : cases.all()) {
    one.make();
    const Timed run =
        best_of_three("cd " + (scratch / ".") + " && " + tool() + " " + one.arguments);
    EXPECT_EQ(run.outcome.code, 1) << one.name << "\n" << run.outcome.output;
    EXPECT_LT(run.seconds, kLimit) << one.name;
    EXPECT_NE(run.outcome.output.find(one.expected), std::string::npos)
        << one.name << ", expected: " << one.expected << "\n"
        << run.outcome.output;
    EXPECT_NE(run.outcome.output.find("gradc: error: "), std::string::npos) << one.name;
    slowest = std::max(slowest, run.seconds);
  }
  EXPECT_GE(cases.all().size(), 40U);
  std::printf("%zu wrong data files refused, the slowest in %.2f s\n", cases.all().size(), slowest);
}

}  // namespace
}  // namespace gradc::test
