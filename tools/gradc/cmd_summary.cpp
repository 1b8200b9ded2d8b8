// gradc summary: the layers of a model as a table.
#include "driver/summary.h"
#include "tools/gradc/command.h"

#include "exchange/read_model.h"

#include <memory>

namespace gradc::tool {

void register_summary(CLI::App& app, Selection& selection) {
  struct Options {
    std::string model;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("summary", "layers, output shapes and parameters of a model");
  command->footer("Example:\n  gradc summary examples/lenet.json");
  command->add_option("MODEL", options->model, "the model's JSON, or another program's file")
      ->required();
  command->add_flag("--json", options->json, "print one JSON object");
  command->callback([options, &selection] {
    selection.run = [options] {
      SourceSet sources;
      const auto model = exchange::read_model(options->model, sources, given_of_model());
      if (!model.ok()) return report(model.diagnostics());
      report(model->warnings);
      const auto written =
          write_text("", options->json ? json_text(summary_json(*model)) : summary_text(*model));
      return written.ok() ? static_cast<int>(kSuccess) : report(written.diagnostics());
    };
  });
}

}  // namespace gradc::tool
