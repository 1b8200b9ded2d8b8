#include "driver/gir_program.h"

#include "support/check.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <set>

namespace gradc {

namespace {

using kernel::Address;
using kernel::BufferRole;

/// How the calls of an entry use the slots.
struct SlotUses {
  std::set<int64_t> read_first;  ///< before anything wrote it
  std::set<int64_t> written;
};

SlotUses uses_of(const kernel::Program& program, const kernel::Entry& entry) {
  SlotUses uses;
  kernel::for_each_call(entry.steps, [&](const kernel::Call& call, std::span<const int64_t>) {
    const kernel::Kernel& kernel = program.kernels[call.kernel];
    for (size_t i = 0; i < call.arguments.size(); ++i) {
      const Address& address = call.arguments[i];
      if (address.where != Address::Where::kSlot) continue;
      const BufferRole role = kernel.buffers[i].role;
      const bool reads = role == BufferRole::kIn || role == BufferRole::kInOut;
      if (reads && !uses.written.contains(address.index)) uses.read_first.insert(address.index);
    }
    for (size_t i = 0; i < call.arguments.size(); ++i) {
      if (call.arguments[i].where == Address::Where::kSlot &&
          kernel.buffers[i].role != BufferRole::kIn)
        uses.written.insert(call.arguments[i].index);
    }
  });
  return uses;
}

int64_t flops_of(const kernel::Program& program, const kernel::Entry& entry) {
  int64_t flops = 0;
  kernel::for_each_call(entry.steps, [&](const kernel::Call& call, std::span<const int64_t> trips) {
    int64_t times = 1;
    for (const int64_t trip : trips)
      times *= trip;
    flops += times * program.kernels[call.kernel].flops;
  });
  return flops;
}

bool is_seed(const std::string& name, const TensorType& type) {
  return name == "seed" && type.dtype == DType::kI64 && type.rank() == 0;
}

}  // namespace

Result<std::unique_ptr<GirProgram>> GirProgram::create(GirFile& file, const GirOptions& options) {
  auto result = std::unique_ptr<GirProgram>(new GirProgram());
  result->options_ = options;
  BuildOptions build;
  build.times = &result->times_;
  build.memory_budget_bytes = options.memory_budget_bytes;
  GRADC_TRY(result->program_, lower_gir(file, options.target, build));
  GRADC_TRY_STATUS(result->find_entry(file));
  if (file.graph != nullptr) {
    result->describe_graph(*file.graph);
  } else {
    result->describe_slots();
  }
  result->finish(file);
  return result;
}

Status GirProgram::find_entry(const GirFile& file) {
  std::string names;
  for (const kernel::Entry& entry : program_.entries) {
    names += (names.empty() ? "" : ", ") + entry.name;
    if (entry.name == options_.entry || options_.entry.empty()) entry_ = &entry;
  }
  if (file.graph != nullptr) entry_ = &program_.entries.front();
  const bool clear = !options_.entry.empty() || program_.entries.size() == 1;
  if (entry_ != nullptr && clear) return Ok{};
  return make_error(DiagKind::kInvalidUsage, Place{file.path, "", false},
                    "{}; the entries of the program are: {}",
                    options_.entry.empty()
                        ? "which entry is to run is not clear"
                        : fmt::format("there is no entry \"{}\"", options_.entry),
                    names.empty() ? "none" : names);
}

void GirProgram::add(const std::string& name, int64_t kind, Role role, const TensorType& type,
                     const InitSpec* init) {
  gradc_rt_tensor tensor{};
  tensor.name = strings_.emplace_back(name).c_str();
  tensor.kind = kind;
  tensor.dtype = static_cast<int64_t>(type.dtype);
  tensor.rank = type.rank();
  std::copy(type.shape.begin(), type.shape.end(), tensor.dims);
  tensor.bytes = type.bytes();
  tensor.slot = static_cast<int64_t>(tensors_.size());
  if (init != nullptr && !init->kind.empty())
    tensor.initializer = &initializers_.emplace_back(initializer_of(*init));
  tensors_.push_back(tensor);
  roles_.push_back(role);
}

void GirProgram::describe_graph(const Graph& graph) {
  std::set<ValueId> updated;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.op == Op::kUpdate) updated.insert(node.operands[0]);
  }
  std::set<std::string> names;
  for (const GraphInput& input : graph.inputs()) {
    const TensorType& type = graph.type(input.value);
    const bool changes = updated.contains(input.value);
    names.insert(input.name);
    if (input.kind == InputKind::kInput) {
      const bool seed = is_seed(input.name, type);
      add(input.name, seed ? GRADC_RT_SEED : GRADC_RT_INPUT, seed ? Role::kStarts : Role::kGiven,
          type, nullptr);
    } else {
      add(input.name, input.kind == InputKind::kParam ? GRADC_RT_PARAMETER : GRADC_RT_STATE,
          changes ? Role::kUpdated : Role::kStarts, type, &input.init);
    }
  }
  for (const GraphOutput& output : graph.outputs()) {
    std::string name = output.name;
    while (!names.insert(name).second)
      name += "_";  // an input's name, which its new value has in the results
    add(name, GRADC_RT_OUTPUT, Role::kResult, graph.type(output.value), nullptr);
  }
}

void GirProgram::describe_slots() {
  const SlotUses uses = uses_of(program_, *entry_);
  const std::vector<kernel::Slot>& slots = entry_->slots;
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    const bool reads = uses.read_first.contains(number), writes = uses.written.contains(number);
    const std::string name = slots[i].name.empty() ? fmt::format("slot{}", i) : slots[i].name;
    if (is_seed(name, slots[i].type)) {
      add(name, GRADC_RT_SEED, Role::kStarts, slots[i].type, nullptr);
    } else if (reads) {
      add(name, writes ? GRADC_RT_STATE : GRADC_RT_INPUT, writes ? Role::kUpdated : Role::kGiven,
          slots[i].type, nullptr);
    } else {
      add(name, GRADC_RT_OUTPUT, writes ? Role::kResult : Role::kUnused, slots[i].type, nullptr);
    }
  }
}

void GirProgram::finish(const GirFile& file) {
  for (int i = 0; i < kNumEntryPoints; ++i)
    entries_.emplace_back().name = entry_name(static_cast<EntryPoint>(i)).data();
  flops_ = flops_of(program_, *entry_);
  model_.abi_version = GRADC_RT_ABI_VERSION;
  model_.name = strings_.emplace_back(file.path).c_str();
  model_.batch_size = 1;
  model_.num_tensors = model_.num_slots = static_cast<int64_t>(tensors_.size());
  model_.tensors = tensors_.data();
  model_.entries = entries_.data();
  model_.target_triple = options_.target.triple.c_str();
  model_.target_cpu = options_.target.cpu.c_str();
}

bool GirProgram::has_start(size_t tensor) const {
  switch (roles_[tensor]) {
    case Role::kGiven:
      return false;
    case Role::kResult:
    case Role::kUnused:
      return true;
    case Role::kStarts:
    case Role::kUpdated:
      return tensors_[tensor].kind == GRADC_RT_SEED || tensors_[tensor].initializer != nullptr;
  }
  GRADC_UNREACHABLE();
}

Status GirProgram::compile() {
  if (code_ != nullptr) return Ok{};
  JitOptions jit;
  jit.cache = options_.cache ? &*options_.cache : nullptr;
  GRADC_TRY(code_, jit_compile(program_, options_.target, jit));
  const JitEntry* compiled = code_->find(entry_->name);
  GRADC_CHECK(compiled != nullptr, "the entry {} was not compiled", entry_->name);
  gradc_rt_entry& out = entries_[GRADC_RT_PREDICT];
  const char* const name = out.name;
  out = compiled->table;
  out.name = name;
  const CompileTimings& timings = code_->timings();
  times_.add("llvm", std::chrono::duration_cast<std::chrono::nanoseconds>(
                         std::chrono::duration<double, std::milli>(timings.wall_ms)));
  return Ok{};
}

}  // namespace gradc
