// gradc ops, layers, schema: reference generated from the tables.
#include "frontend/reference.h"
#include "ir/ops_doc.h"
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include <memory>
#include <string>

namespace gradc::tool {

namespace {

int print(const std::string& text) {
  const auto written = write_text("", text);
  return written.ok() ? static_cast<int>(kSuccess) : report(written.diagnostics());
}

/// A command that prints the whole of a table, or what it says of one name.
void add(CLI::App& app, Selection& selection, const char* name, const char* help,
         std::string (*all)(), std::string (*one)(std::string_view),
         std::vector<std::string> (*names)()) {
  auto word = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(name, help);
  CLI::Option* option = command->add_option("NAME", *word, "this one only");
  option->check(CLI::Validator(
      [one, names](std::string& given) {
        return one(given).empty() ? check_choice(given, names()) : std::string();
      },
      "", ""));
  offer_choices(option, names());
  command->callback([=, &selection] {
    selection.run = [=] { return print(word->empty() ? all() : one(*word)); };
  });
}

}  // namespace

void register_reference(CLI::App& app, Selection& selection) {
  add(app, selection, "ops", "print the op table (Markdown), or one op", &ops_markdown, &op_text,
      &op_names);
  add(app, selection, "layers",
      "print layers, losses, optimizers and their options (Markdown), or one of them",
      &layer_reference, &layer_reference, &layer_reference_names);
  app.add_subcommand("schema", "print the JSON Schema of a model")->callback([&selection] {
    selection.run = [] { return print(json_text(model_schema())); };
  });
}

}  // namespace gradc::tool
