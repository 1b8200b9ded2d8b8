// Kernels linked into this process, by what they are: programs that are compiled one after another
// share those that are equal up to names.
#pragma once

#include "codegen/llvm/kernel_compiler.h"
#include "runtime/model_abi.h"
#include "support/result.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace gradc::cg {

/// What is compiled together and kept together: its key in the cache (object_cache.h).
using BundleKey = std::shared_ptr<const std::string>;

struct KernelName {
  std::string text;    ///< canonical (kernel_printer.h): what the code follows from
  std::string symbol;  ///< in its objects
  bool parallel = false;
  int64_t parameters = 0;  ///< gradc_rt_kernel
  int64_t scratch = 0;     ///< bytes per thread
};

struct LinkedKernel {
  gradc_rt_kernel code;
  KernelName name;
  BundleKey bundle;  ///< null: kept nowhere
};

class KernelStore {
 public:
  KernelStore();
  KernelStore(const KernelStore&) = delete;
  KernelStore& operator=(const KernelStore&) = delete;
  ~KernelStore();

  /// Null if there is none of that text.
  const LinkedKernel* find(const std::string& text) const;
  /// Links objects and takes these kernels of theirs in; `name` is for messages.
  Status link(const std::string& name, std::span<const std::string> objects,
              std::span<const KernelName> kernels, const BundleKey& bundle);

 private:
  class Code;
  std::vector<std::unique_ptr<Code>> code_;
  std::unordered_map<std::string, LinkedKernel> kernels_;
};

}  // namespace gradc::cg
