// The text of programs: printed, and parsed back to the same program.
//
//   program @mnist
//   constant 0: f32 = 1, 0.5
//   kernel @dense(...) { ... }
//   entry @train_step arena=4096 {
//     slot 0 "input/image": f32[64x28x28]
//     @dense(slot0, arena+128, constant0) at "dense_1"
//     barrier
//     loop 512 barrier {
//       @cell(slot3+2048-4*i0, arena+64+256*((i0+1)%2))
//       join @other(arena+0)
//     }
//   }
//
// The loops around a call are i0 (outermost), i1, ...; `barrier` stands before what it is before,
// and behind a loop's count where the threads meet between iterations; `join` marks a call that
// writes other elements than the one before it.
#pragma once

#include "codegen/kernel/program.h"
#include "support/result.h"

#include <string>
#include <string_view>

namespace gradc::kernel {

std::string to_string(const Program& program);
std::string to_string(const Address& address);

/// The program of a text, as to_string writes it; `file` is named in messages (kIrSyntax). What a
/// program must be beyond that, verify() says.
Result<Program> parse_program(std::string_view text, const std::string& file);

}  // namespace gradc::kernel
