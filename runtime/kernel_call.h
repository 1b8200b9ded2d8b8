// Calls a kernel. Compiled kernels have a parameter for each argument, so that what may overlap is
// said of parameters and no function stands between the steps and the kernel; the type of the call
// follows from their number.
#pragma once

#include "runtime/model_abi.h"

#include <array>
#include <cstddef>
#include <utility>

// Clang's function sanitizer looks for a type before the first instruction of what is called, where
// compiled kernels have none, and at the start of a page no memory.
#if defined(__clang__)
#define GRADC_RT_CALLS_KERNELS __attribute__((no_sanitize("function")))
#else
#define GRADC_RT_CALLS_KERNELS
#endif

namespace gradc::rt {

namespace kernel_call {

using Call = void (*)(const gradc_rt_kernel& kernel, void* const* arguments, int32_t thread,
                      int32_t threads, void* scratch);

template <size_t>
using Pointer = void*;

template <size_t... I>
GRADC_RT_CALLS_KERNELS void with_parameters(gradc_rt_kernel_fn fn, void* const* arguments,
                                            int32_t thread, int32_t threads, void* scratch,
                                            std::index_sequence<I...>) {
  using Kernel = void (*)(Pointer<I>..., int32_t, int32_t, void*);
  const auto code = reinterpret_cast<Kernel>(reinterpret_cast<void (*)()>(fn));
  code(arguments[I]..., thread, threads, scratch);
}

template <size_t Parameters>
GRADC_RT_CALLS_KERNELS void call(const gradc_rt_kernel& kernel, void* const* arguments,
                                 int32_t thread, int32_t threads, void* scratch) {
  if constexpr (Parameters == 0)
    kernel.fn(arguments, thread, threads, scratch);
  else
    with_parameters(kernel.fn, arguments, thread, threads, scratch,
                    std::make_index_sequence<Parameters>());
}

template <size_t... N>
constexpr std::array<Call, sizeof...(N)> calls(std::index_sequence<N...>) {
  return {&call<N>...};
}

/// By number of parameters.
inline constexpr auto kCalls = calls(std::make_index_sequence<GRADC_RT_MAX_PARAMETERS + 1>());

}  // namespace kernel_call

/// Runs one thread's part of a kernel on its arguments, pointers to elements.
inline void call_kernel(const gradc_rt_kernel& kernel, void* const* arguments, int32_t thread,
                        int32_t threads, void* scratch) {
  kernel_call::kCalls[static_cast<size_t>(kernel.parameters)](kernel, arguments, thread, threads,
                                                              scratch);
}

}  // namespace gradc::rt

#undef GRADC_RT_CALLS_KERNELS
