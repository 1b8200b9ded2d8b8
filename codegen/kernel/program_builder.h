// A program while entries are lowered into it: kernels and constants that they share.
#pragma once

#include "codegen/kernel/program.h"
#include "ir/op_attrs.h"

#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gradc::kernel {

class ProgramBuilder {
 public:
  explicit ProgramBuilder(std::string name) { program_.name = std::move(name); }

  /// The number of a kernel that is equal up to names; this one if there is none yet.
  uint32_t kernel(Kernel kernel);
  /// The number of a constant: these elements, or the one element `count` times. One element is the
  /// same constant wherever it comes from.
  int64_t constant(DType dtype, const Dense& elements, int64_t count);
  /// Places the entry's barriers and adds it.
  void add(Entry entry);

  const Program& program() const { return program_; }
  Program take() { return std::move(program_); }

 private:
  Program program_;
  std::unordered_map<std::string, uint32_t> kernels_;
  std::unordered_set<std::string> names_;
  std::map<std::tuple<DType, const void*, uint64_t, int64_t>, int64_t> constants_;
  std::vector<Dense> alive_;
};

}  // namespace gradc::kernel
