// Runs an entry: walks its steps on every thread, calls kernels, meets at barriers. Allocates
// nothing.
#pragma once

#include "runtime/model_abi.h"

namespace gradc::rt {

/// The pointers of an entry's arguments, in their order: what slots, arena and constants are now,
/// without what loops add. One for each argument; to be made again when a slot or the arena moves.
void resolve_arguments(const gradc_rt_entry& entry, void* const* slots, void* arena,
                       void** pointers);

/// One thread's part of an entry; all threads of the pool call it with the same pointers.
void run_steps(const gradc_rt_entry& entry, void* const* pointers, const gradc_rt_thread& thread);

}  // namespace gradc::rt
