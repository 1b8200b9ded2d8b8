// AOT emission: one module with every kernel and the model's tables.
#include "codegen/object_writer.h"

#include "codegen/llvm/failures.h"
#include "codegen/llvm/machine.h"
#include "codegen/llvm/model_tables.h"
#include "codegen/llvm/program_module.h"

#include <llvm/Support/raw_ostream.h>

#include <chrono>

namespace gradc {

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

std::string text_of(const llvm::Module& module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, nullptr);
  stream.flush();
  return text;
}

}  // namespace

Result<ObjectFile> write_object(const kernel::Program& program, const TargetInfo& target,
                                const ObjectOptions& options) {
  const cg::LlvmFailures failures;
  const auto begin = Clock::now();
  GRADC_TRY(auto made, cg::make_machine(target));
  const cg::Abandonable<llvm::TargetMachine> machine(std::move(made));
  const cg::Abandonable<llvm::LLVMContext> context;
  const cg::Abandonable<llvm::Module> owner(cg::symbol_text(program.name), *context);
  llvm::Module& module = *owner;
  cg::prepare_module(module, *machine);
  ObjectFile file;
  std::vector<llvm::Function*> kernels;
  for (size_t k = 0; k < program.kernels.size(); ++k) {
    const std::string name = cg::kernel_symbol(program, k, options.symbol_prefix);
    file.kernel_scratch.push_back(cg::emit_kernel(module, program.kernels[k], name, target,
                                                  /*is_internal=*/options.model != nullptr));
    kernels.push_back(module.getFunction(name));
  }
  if (options.model != nullptr) {
    cg::emit_model_tables(module, *options.model, options.model_symbol, program, kernels,
                          file.kernel_scratch);
  }
  file.timings.emit_ms = milliseconds_since(begin);
  cg::check_module(module);
  auto stage = Clock::now();
  cg::optimize(module, *machine);
  file.timings.optimize_ms = milliseconds_since(stage);
  stage = Clock::now();
  if (options.kind == ObjectKind::kLlvm) {
    file.bytes = text_of(module);
  } else {
    const auto kind =
        options.kind == ObjectKind::kObject ? cg::FileKind::kObject : cg::FileKind::kAssembly;
    const llvm::SmallVector<char, 0> bytes = cg::emit_file(module, *machine, kind);
    file.bytes.assign(bytes.data(), bytes.size());
  }
  file.timings.codegen_ms = milliseconds_since(stage);
  file.timings.kernels = static_cast<int64_t>(program.kernels.size());
  file.timings.code_bytes = static_cast<int64_t>(file.bytes.size());
  file.timings.wall_ms = milliseconds_since(begin);
  return file;
}

}  // namespace gradc
