// gradc ops, layers, schema: reference generated from the tables.
#include "frontend/reference.h"
#include "ir/ops_doc.h"
#include "tools/gradc/command.h"

#include <string>

namespace gradc::tool {

namespace {

void add(CLI::App& app, Selection& selection, const char* name, const char* help,
         std::string (*text)()) {
  app.add_subcommand(name, help)->callback([text, &selection] {
    selection.run = [text] {
      const auto written = write_text("", text());
      return written.ok() ? static_cast<int>(kSuccess) : report(written.diagnostics());
    };
  });
}

}  // namespace

void register_reference(CLI::App& app, Selection& selection) {
  add(app, selection, "ops", "print the op table (Markdown)", &ops_markdown);
  add(app, selection, "layers", "print layers, losses, optimizers and their options (Markdown)",
      &layer_reference);
  add(app, selection, "schema", "print the JSON Schema of a model",
      [] { return json_text(model_schema()); });
}

}  // namespace gradc::tool
