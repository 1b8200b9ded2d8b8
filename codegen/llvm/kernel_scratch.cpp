#include "codegen/kernel_scratch.h"

#include "codegen/llvm/failures.h"
#include "codegen/llvm/machine.h"
#include "codegen/llvm/program_module.h"

namespace gradc {

Result<std::vector<int64_t>> kernel_scratch(const kernel::Program& program,
                                            const TargetInfo& target) {
  const cg::LlvmFailures failures;
  GRADC_TRY(auto made, cg::make_machine(target));
  const cg::Abandonable<llvm::TargetMachine> machine(std::move(made));
  const cg::Abandonable<llvm::LLVMContext> context;
  const cg::Abandonable<llvm::Module> module(cg::symbol_text(program.name), *context);
  cg::prepare_module(*module, *machine);
  std::vector<int64_t> bytes;
  for (size_t k = 0; k < program.kernels.size(); ++k) {
    bytes.push_back(cg::emit_kernel(*module, program.kernels[k], cg::kernel_symbol(program, k, "k"),
                                    target,
                                    /*is_internal=*/true));
  }
  return bytes;
}

}  // namespace gradc
