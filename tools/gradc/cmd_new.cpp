// gradc new: a model for one's own data, after looking at them.
#include "driver/output.h"
#include "support/utf8.h"
#include "tools/gradc/command.h"
#include "tools/gradc/draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace gradc::tool {

namespace {

struct NewCommandLine {
  std::string spec;
  std::string output;
};

/// As a shell reads it.
std::string shell_word(const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("/._-:=,+%@").find(c) != std::string_view::npos;
  });
  if (plain) return text;
  std::string word = "'";
  for (const char c : text)
    word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

/// The schema that an installation has beside the command; empty: none is there.
std::string installed_schema() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const auto schema = self.parent_path().parent_path() / "share/gradc/model.schema.json";
  return std::filesystem::exists(schema, error) ? "file://" + schema.string() : std::string();
}

/// Before work is spent on what cannot be written, or would take the place of the data.
Status check_place(const NewCommandLine& options) {
  if (options.output.empty()) return Ok{};
  if (rt::names_file(options.spec.c_str(), options.output.c_str())) {
    return make_error(DiagKind::kFileUnwritable, {},
                      "\"{}\" holds the data: it would be overwritten", options.output);
  }
  return check_output(options.output);
}

int run(const NewCommandLine& options, Result<Draft> (*draft_of)(const std::string&)) {
  if (const Status place = check_place(options); !place.ok()) return report(place.diagnostics());
  const auto draft = draft_of(options.spec);
  if (!draft.ok()) return report(draft.diagnostics());
  Json model = Json::object();
  if (const std::string schema = installed_schema(); !schema.empty()) model["$schema"] = schema;
  model.update(draft->model);
  const auto written = write_text(options.output, json_text(model));
  if (!written.ok()) return report(written.diagnostics());
  const bool to_file = !options.output.empty() && !rt::is_standard_output(options.output.c_str());
  std::FILE* out = to_file ? stdout : stderr;
  for (const std::string& note : draft->notes)
    std::fprintf(out, "%s\n", note.c_str());
  const std::string file = to_file ? options.output : "MODEL.json";
  std::fprintf(out, "train it: gradc train %s --data %s --out weights.safetensors\n",
               printable(shell_word(file), 500).c_str(),
               printable(shell_word(draft->data), 500).c_str());
  return kSuccess;
}

struct Kind {
  const char* name;
  const char* help;
  const char* value;  ///< of the argument
  const char* argument;
  const char* example;
  Result<Draft> (*draft)(const std::string&);
};

constexpr Kind kKinds[] = {
    {"table", "look at a table and write a model for its columns; what was found is printed",
     "SPEC", "FILE.csv:target=COLUMN, as --data of train takes it",
     "gradc new table housing.csv:target=price -o housing.json", &draft_table},
    {"images", "look at a folder of images and write a model that tells its classes", "DIR",
     "a folder with a folder of PNG and JPEG files for each class, or the same in train, "
     "validation and test",
     "gradc new images flowers -o flowers.json", &draft_images},
    {"sound", "look at a folder of recordings and write a model that tells their classes", "DIR",
     "a folder with a folder of WAV, FLAC, Ogg, MP3 or AIFF files for each class, or the same in "
     "train, validation and test",
     "gradc new sound digits -o digits.json", &draft_sound},
    {"text", "look at a text and write a model that goes on with it, or that tells classes", "SPEC",
     "FILE:chars, FILE:bytes or FILE:words for a language model; FILE.csv:target=COLUMN for texts "
     "in a column",
     "gradc new text shakespeare.txt:chars -o shakespeare.json", &draft_text},
    {"series", "look at a table in the order of time and write a model that foretells a column",
     "SPEC", "FILE.csv:target=COLUMN, as --data of train takes it",
     "gradc new series riders.csv:target=rail -o riders.json", &draft_series},
};

}  // namespace

void register_new(CLI::App& app, Selection& selection) {
  CLI::App* command = app.add_subcommand("new", "write a model for one's own data");
  command->require_subcommand(1);
  for (const Kind& kind : kKinds) {
    CLI::App* one = command->add_subcommand(kind.name, kind.help);
    auto options = std::make_shared<NewCommandLine>();
    one->add_option(kind.value, options->spec, kind.argument)->required()->type_name("");
    one->add_option("-o,--out", options->output, "file for the model (default: standard output)")
        ->check(output_name());
    one->footer(fmt::format("Example:\n  {}", kind.example));
    one->callback([options, &kind, &selection] {
      selection.run = [options, &kind] { return run(*options, kind.draft); };
    });
  }
}

}  // namespace gradc::tool
