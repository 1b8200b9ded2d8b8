// The gradc command: reads the command line and runs one sub-command.
#include "driver/version.h"
#include "tools/gradc/command.h"

#include <cstdio>
#include <exception>

namespace {

constexpr const char* kFooter = R"(First steps:
  gradc train examples/fashion_mnist_mlp.json --data /usr/share/datasets/fashion-mnist --out weights.safetensors
  gradc eval examples/fashion_mnist_mlp.json --data /usr/share/datasets/fashion-mnist --weights weights.safetensors
  gradc compile examples/fashion_mnist_mlp.json -o fashion_mnist
  gradc inspect examples/fashion_mnist_mlp.json --stage fused
Exit codes: 0 success, 1 an error in what was given, 2 wrong usage, 70 an internal error.)";

int run(int argc, char** argv) {
  using namespace gradc::tool;
  CLI::App app{"gradc: a compiler for training neural networks"};
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", [] { return gradc::version_text(); });
  Selection selection;
  register_train(app, selection);
  register_eval(app, selection);
  register_predict(app, selection);
  register_run(app, selection);
  register_compile(app, selection);
  register_inspect(app, selection);
  register_plan(app, selection);
  register_check(app, selection);
  register_bench(app, selection);
  register_opt(app, selection);
  register_reference(app, selection);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsageError;
  }
  return selection.run();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(
        stderr,
        "gradc: internal error: %s\n  please report it with the model and the command line\n",
        error.what());
    return 70;
  }
}
