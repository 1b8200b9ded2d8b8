#include "tests/support/file_commands.h"

#include <array>

namespace gradc::testing {

std::span<const FileCommand> file_commands() {
  static constexpr std::array kCommands = {
      FileCommand{"parse", file_command_parse, /*checks_itself=*/true},
      FileCommand{"verify", file_command_verify, /*checks_itself=*/true},
      FileCommand{"interpret", file_command_interpret},
      FileCommand{"dot", file_command_dot},
      FileCommand{"json", file_command_json},
      FileCommand{"passes", file_command_passes},
      FileCommand{"kernel", file_command_kernel, /*checks_itself=*/true},
      FileCommand{"plan", file_command_plan},
      FileCommand{"kernels", file_command_kernels},
      FileCommand{"llvm", file_command_llvm},
      FileCommand{"asm", file_command_asm},
  };
  return kCommands;
}

}  // namespace gradc::testing
