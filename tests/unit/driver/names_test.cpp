// Names from a model where other languages are written: never code, never the end of a comment,
// never a symbol, a macro or a file that belongs to somebody else.
#include "driver/aot.h"
#include "driver/c_names.h"
#include "frontend/native_reader.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>
#include <vector>

namespace gradc::test {
namespace {

/// A model with these names in every place that takes one.
std::string model_text(const std::string& name, const std::string& layer, const std::string& input,
                       const std::string& output) {
  const nlohmann::json model = {
      {"name", name},
      {"inputs", {{{"name", input}, {"shape", {3}}}}},
      {"layers",
       {{{"type", "dense"}, {"units", 4}, {"name", layer}, {"inputs", {input}}},
        {{"type", "dense"}, {"units", 2}, {"name", output}}}},
      {"training",
       {{"loss", "mse"}, {"optimizer", "sgd"}, {"metrics", {"mse"}}, {"batch_size", 4}}}};
  return model.dump();
}

Result<Model> read(const std::string& text) {
  SourceSet sources;
  return read_model_text("model.json", text, sources);
}

/// What the header of a compiled library would be; `name` is one that the reader may refuse.
std::string header_of(const std::string& text, const std::string& symbol,
                      const char* name = nullptr) {
  const auto model = read(text);
  EXPECT_TRUE(model.ok()) << model.message();
  if (!model.ok()) return {};
  std::vector<Diagnostic> warnings;
  auto tables = make_tables(*model, 4, warnings);
  EXPECT_TRUE(tables.ok());
  gradc_rt_model& table = (*tables)->model();
  if (name != nullptr) table.name = name;
  table.compiler = "gradc 0.1.0, LLVM";
  table.target_triple = "x86_64";
  table.target_cpu = "cpu";
  return generated_header(table, symbol);
}

/// Compiles a file as every language that may include it; each with all warnings as errors.
void expect_compiles(const std::string& folder, const std::string& file, bool with_cxx = true) {
  const std::string flags = " -fsyntax-only -Wall -Wextra -Wpedantic -Werror -I" + folder + " ";
  std::vector<std::string> lines = {"cc -std=c11 -x c" + flags};
  if (with_cxx) {
    for (const char* standard : {"c++98", "c++11", "c++20"})
      lines.push_back("c++ -x c++ -std=" + std::string(standard) + flags);
  }
  for (const std::string& line : lines) {
    const Outcome outcome = shell(line + file);
    EXPECT_EQ(outcome.code, 0) << line << "\n" << outcome.output.substr(0, 2000);
  }
}

TEST(Names, IdentifiersAreNobodyElses) {
  EXPECT_EQ(c_identifier("mnist_mlp"), "mnist_mlp");
  EXPECT_EQ(c_identifier("my model-2"), "my_model_2");
  EXPECT_EQ(c_identifier(""), "model");
  EXPECT_EQ(c_identifier("model"), "model");
  EXPECT_EQ(c_identifier("///"), "model");
  EXPECT_EQ(c_identifier("2d"), "model_2d");
  EXPECT_EQ(c_identifier("_x"), "model_x");
  EXPECT_EQ(c_identifier("__init"), "model_init");
  EXPECT_EQ(c_identifier("a__b_"), "a_b");
  EXPECT_EQ(c_identifier("../../etc/passwd"), "model_etc_passwd");
  EXPECT_EQ(c_identifier("na\xC3\xAFve"), "na_ve");
  for (const char* word :
       {"int",    "class",  "new",           "std",    "default",  "co_await", "typeof",  "_Bool",
        "and",    "xor_eq", "main",          "NULL",   "errno",    "stdin",    "INT_MAX", "EOF",
        "printf", "exp",    "index",         "size_t", "uint8_t",  "complex",  "assert",  "linux",
        "unix",   "stdio",  "stdint",        "string", "pthread",  "sem",      "timer",   "mtx",
        "thrd",   "atomic", "pthread_mutex", "gradc",  "gradc_rt", "char8_t",  "nullptr"}) {
    EXPECT_EQ(c_identifier(word).substr(0, 6), "model_") << word;
  }
  for (const char* word : {"memory", "bytes", "handle", "iris", "MNIST", "model", "net", "text"})
    EXPECT_EQ(c_identifier(word), word);
  const std::string one(300, 'a'), two = std::string(300, 'a') + "b";
  EXPECT_LE(c_identifier(one).size(), 110U);
  EXPECT_NE(c_identifier(one), c_identifier(two));
}

TEST(Names, CommentsEndWhereTheyShould) {
  EXPECT_EQ(c_comment_text("plain name"), "plain name");
  EXPECT_EQ(c_comment_text("a*/b"), "a* /b");
  EXPECT_EQ(c_comment_text("*/*/"), "* / * /");
  EXPECT_EQ(c_comment_text("x/*y"), "x/ *y");
  EXPECT_EQ(c_comment_text("q?\?/"), "q? ?/");
  EXPECT_EQ(c_comment_text("back\\"), "back\\\\");
  EXPECT_EQ(c_comment_text("a\nb\r\x1b[31m"), "a\\x0ab\\x0d\\x1b[31m");
  EXPECT_EQ(c_comment_text("na\xC3\xAFve"), "na\xC3\xAFve");
  EXPECT_EQ(c_comment_text("\xE2\x80\xAE"
                           "evil"),
            "\\xe2\\x80\\xaeevil");                              // right-to-left override
  EXPECT_EQ(c_comment_text("\xFF\xC0\x80"), "\\xff\\xc0\\x80");  // not UTF-8
}

const std::vector<std::string> kHostile = {"x */ int evil(void){return 42;} /*",
                                           "a*",
                                           "*/",
                                           "/*",
                                           "q*/\n#error evil\n/*",
                                           "trail\\",
                                           "?\?/",
                                           "line\nbreak",
                                           "tab\tbell\x07",
                                           "\x1b[31mred",
                                           "NAME",
                                           "MODEL",
                                           "@",
                                           "#",
                                           "{}",
                                           "%s%n",
                                           "\"; evil(); \"",
                                           "../../up",
                                           "/etc/passwd",
                                           "-rf",
                                           "$(touch evil)",
                                           "`evil`",
                                           "<script>alert(1)</script>",
                                           "' onload='evil()",
                                           "na\xC3\xAFve \xE6\xBC\xA2\xE5\xAD\x97",
                                           "\xE2\x80\xAE"
                                           "bidi",
                                           std::string(1000, 'n'),
                                           "*\\\n/ int evil; /*",
                                           "]]>",
                                           "\\u0000",
                                           "a b c",
                                           "--",
                                           "...",
                                           "int"};

TEST(Names, HeadersCompileWhateverTheNames) {
  const Scratch scratch;
  std::string all =
      "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n#include "
      "<errno.h>\n"
      "#include <limits.h>\n#include <time.h>\n#include <signal.h>\n#include <pthread.h>\n#include "
      "<semaphore.h>\n";
  std::vector<std::string> names = kHostile;
  for (const char* word : {"",        "model",   "memory",   "bytes",    "threads",
                           "handle",  "out",     "rows",     "loss",     "metrics",
                           "outputs", "inputs",  "targets",  "name",     "data",
                           "path",    "status",  "text",     "seed",     "with_optimizer",
                           "NAME",    "auto",    "register", "restrict", "_Atomic",
                           "_x",      "__x",     "alignas",  "concept",  "export",
                           "this",    "not_eq",  "bitand",   "wchar_t",  "true",
                           "std",     "main",    "NULL",     "errno",    "stdin",
                           "stdout",  "INT_MAX", "EOF",      "BUFSIZ",   "FILE",
                           "va_list", "printf",  "malloc",   "exit",     "y0",
                           "gamma",   "signal",  "time",     "clock",    "pthread",
                           "sem",     "timer",   "linux",    "unix",     "stdio",
                           "math",    "gradc",   "gradc_rt"})
    names.push_back(word);
  std::set<std::string> symbols, macros;
  for (const std::string& name : names) {
    const std::string symbol = c_identifier(name);
    // Headers of names that differ in capitals alone are not for one source file.
    if (!macros.insert(ascii_upper(symbol)).second) continue;
    symbols.insert(symbol);
    const std::string text = header_of(model_text("m", "hidden", "x", "y"), symbol, name.c_str());
    write_text_file(scratch / (symbol + ".h"), text);
    all += "#include \"" + symbol + ".h\"\n";
  }
  EXPECT_GT(symbols.size(), 60U);
  std::string uses = "int main(void) {\n  int bad = 0;\n";
  for (const std::string& symbol : symbols)
    uses +=
        "  bad |= " + symbol + "_init((" + symbol + "*)0, 1) == " + ascii_upper(symbol) + "_OK;\n";
  write_text_file(scratch / "all.c", all + uses + "  return bad;\n}\n");
  expect_compiles(scratch / "", scratch / "all.c");
  EXPECT_EQ(all.find("evil"), all.find("evil_void"));
}

TEST(Names, NamesInsideTheModelStayInTheComment) {
  const Scratch scratch;
  std::string all;
  int count = 0, refused = 0;
  for (const std::string& name : kHostile) {
    const std::string text = model_text("m", name, count % 2 == 0 ? "in-" + name : "x",
                                        count % 3 == 0 ? "out-" + name : "y");
    if (!read(text).ok()) {  // what a model may not be called, its reader says
      ++refused;
      continue;
    }
    const std::string symbol = "m" + std::to_string(count++);
    write_text_file(scratch / (symbol + ".h"), header_of(text, symbol));
    write_text_file(scratch / (symbol + ".c"), generated_wrappers(symbol));
    all += "#include \"" + symbol + ".h\"\n";
  }
  EXPECT_GT(count + refused, 30);
  ASSERT_GT(count, 5);  // names without slash, space, quote and percent
  write_text_file(scratch / "all.c", all + "int main(void) { return m0_init(0, 1); }\n");
  expect_compiles(scratch / "", scratch / "all.c");
}

TEST(Names, WrappersCompileWhateverTheName) {
  const Scratch scratch;
  std::string files;
  for (const char* word :
       {"model", "memory", "handle", "table_", "NAME", "MODEL", "int", "status", "text"}) {
    const std::string symbol = c_identifier(word);
    write_text_file(scratch / (symbol + ".c"), generated_wrappers(symbol));
    files += " " + (scratch / (symbol + ".c"));
  }
  const Outcome outcome = shell("cc -std=c11 -fsyntax-only -Wall -Wextra -Werror" + files);
  EXPECT_EQ(outcome.code, 0) << outcome.output.substr(0, 2000);
}

TEST(Names, LibrariesOfModelsWithSuchNames) {
  for (const std::string name :
       {"", "memory", "pthread", "x */ int evil(void){return 42;} /*", "../up"}) {
    const Scratch scratch;
    std::string text = model_text(name, "a*", "x", "y");
    if (name.empty()) text.replace(text.find("\"name\":\"\","), 10, "");
    write_text_file(scratch / "m.json", text);
    const Outcome made =
        gradc("compile " + (scratch / "m.json") + " --emit static -o " + (scratch / "libm.a"));
    ASSERT_EQ(made.code, 0) << name << made.output;
    const std::string symbol = c_identifier(name);
    EXPECT_TRUE(std::filesystem::exists(scratch / (symbol + ".h"))) << symbol;
    write_text_file(scratch / "main.c",
                    "#include \"" + symbol + ".h\"\n#include <pthread.h>\nint main(void) { " +
                        symbol + "* p; return " + symbol + "_create(NULL, 0, 2, &p) || " + symbol +
                        "_init(p, 1); }\n");
    const Outcome linked =
        shell("cc " + (scratch / "main.c") + " " + (scratch / "libm.a") + " -o " +
              (scratch / "main") + " -lm -lpthread && " + (scratch / "main"));
    EXPECT_EQ(linked.code, 0) << name << linked.output;
  }
}

TEST(Names, PagesAndDrawingsKeepThemAsText) {
  const Scratch scratch;
  const std::string script = "<script>alert(1)</script>' onload='x\" y=\"";
  write_text_file(scratch / "m.json", model_text(script, "l<script>alert(1)&", "x", "y"));
  for (const std::string format : {"html", "dot", "text"}) {
    const Outcome shown = gradc("inspect " + (scratch / "m.json") + " --stage planned --format " +
                                format + " -o " + (scratch / "page"));
    ASSERT_EQ(shown.code, 0) << shown.output;
    const std::string page = read_file(scratch / "page");
    if (format == "html") {
      EXPECT_EQ(page.find("<script>"), std::string::npos);
      EXPECT_EQ(page.find("' onload="), std::string::npos);
    }
    if (format == "dot" && shell("command -v dot").code == 0) {
      EXPECT_EQ(shell("dot -Tplain " + (scratch / "page")).code, 0);
    }
  }
}

/// A layer's tensors may be called as those of the entry of one step are.
TEST(Names, ALayerCalledStepIsALayer) {
  const Scratch scratch;
  write_text_file(scratch / "step.gir", R"(graph @step {
  input %x : f32[BxD]
  param %input : f32[D] {init=ones}
  state %state0 : f32[D] {init=ones}
forward:
  %0   = broadcast %input {dims=[1]}  : f32[BxD]
  %1   = broadcast %state0 {dims=[1]} : f32[BxD]
  %2   = add %0, %1
  %y   = mul %x, %2
  return %y
}
)");
  const std::string model = scratch / "m.json";
  write_text_file(model, R"({"inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "gir", "name": "step", "file": "step.gir"},
               {"type": "dense", "name": "y", "units": 1}],
    "training": {"loss": "mse", "optimizer": "sgd", "batch_size": 4}})");
  const Outcome built = gradc("compile " + model + " -o " + (scratch / "program"));
  EXPECT_EQ(built.code, 0) << built.output;
  const Outcome info = shell((scratch / "program") + " info");
  EXPECT_NE(info.output.find("step/state0"), std::string::npos) << info.output;
  EXPECT_NE(info.output.find("step/input"), std::string::npos) << info.output;
}

}  // namespace
}  // namespace gradc::test
