// Where the threads of a program have to meet.
#pragma once

#include "codegen/kernel/program.h"

namespace gradc::kernel {

/// Sets the barriers of an entry anew: one before a call that touches memory which a call since the
/// last barrier wrote, or writes what one read; between iterations of a loop where one conflicts
/// with another. Two calls on one thread are in order as it is.
void place_barriers(const Program& program, Entry& entry);

}  // namespace gradc::kernel
