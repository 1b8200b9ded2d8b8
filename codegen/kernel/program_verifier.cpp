// Programs: addresses by their ranges over all iterations, barriers by walking the steps as threads
// do, with the first iterations of every loop.
#include "codegen/kernel/kernel_verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace gradc::kernel {

namespace {

class ProgramVerifier {
 public:
  explicit ProgramVerifier(const Program& program) : program_(program) {}

  std::vector<Diagnostic> run() {
    for (const Kernel& kernel : program_.kernels) {
      std::vector<Diagnostic> found = verify(kernel);
      std::move(found.begin(), found.end(), std::back_inserter(errors_));
    }
    for (const Entry& entry : program_.entries) {
      entry_ = &entry;
      const size_t before = errors_.size();
      trips_.clear();
      steps(entry.steps);
      if (errors_.size() != before) continue;  // the walk takes addresses as they are
      running_.clear();
      iterations_.clear();
      walk(entry.steps);
    }
    return std::move(errors_);
  }

 private:
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    errors_.push_back(make_error(DiagKind::kInternal, {}, "entry @{}: {}", entry_->name,
                                 fmt::format(format, std::forward<Args>(args)...)));
  }

  void steps(const std::vector<Step>& list) {
    const Call* previous = nullptr;
    for (const Step& step : list) {
      if (const Call* call = step.call()) {
        if (call->joins_previous && previous == nullptr)
          error("a call that joins the one before it comes first");
        this->call(*call);
        previous = call;
        continue;
      }
      previous = nullptr;
      const Loop& loop = *step.loop();
      if (loop.trips < 1) return error("a loop of {} iterations", loop.trips);
      if (trips_.size() == kMaxLoops) return error("more than {} loops in one another", kMaxLoops);
      trips_.push_back(loop.trips);
      steps(loop.body);
      trips_.pop_back();
    }
  }

  void call(const Call& call) {
    if (call.kernel >= program_.kernels.size()) return error("no kernel {}", call.kernel);
    const Kernel& kernel = program_.kernels[call.kernel];
    if (call.arguments.size() != kernel.num_arguments()) {
      return error("@{} wants {} arguments, not {}", kernel.name, kernel.num_arguments(),
                   call.arguments.size());
    }
    for (size_t i = 0; i < call.arguments.size(); ++i)
      argument(kernel, kernel.buffers[i], call.arguments[i]);
  }

  /// The bytes there are at an address's base; none if there is no such base.
  int64_t room(const Address& address) const {
    const auto index = static_cast<size_t>(address.index);
    switch (address.where) {
      case Address::Where::kSlot:
        return address.index >= 0 && index < entry_->slots.size() &&
                       !entry_->slots[index].name.empty()
                   ? entry_->slots[index].type.bytes()
                   : -1;
      case Address::Where::kArena:
        return address.index == 0 ? entry_->arena_bytes : -1;
      case Address::Where::kConstant:
        return address.index >= 0 && index < program_.constants.size()
                   ? static_cast<int64_t>(program_.constants[index].elements.size()) *
                         dtype_bytes(program_.constants[index].dtype)
                   : -1;
    }
    return -1;
  }

  void argument(const Kernel& kernel, const Buffer& b, const Address& address) {
    const auto wrong = [&](std::string_view what) {
      error("@{}, argument {}: {}", kernel.name, b.name, what);
    };
    const int64_t have = room(address);
    if (have < 0) return wrong("there is no such buffer");
    std::vector<bool> seen(trips_.size(), false);
    bool aligned = address.offset % b.alignment == 0;
    for (const Stride& stride : address.strides) {
      if (stride.loop >= trips_.size() || seen[stride.loop])
        return wrong("a stride is of no loop around the call, or the second of its loop");
      seen[stride.loop] = true;
      if (stride.period < 0 || stride.phase < 0 ||
          stride.phase >= std::max<int64_t>(stride.period, 1))
        return wrong("a stride's phase is outside its period");
      aligned = aligned && stride.bytes % b.alignment == 0;
    }
    const auto [least, greatest] = address.offsets(trips_);
    const int64_t bytes = b.shape.num_elements() * dtype_bytes(b.dtype);
    if (least < 0 || greatest + bytes > have) {
      wrong(
          fmt::format("it spans bytes [{}, {}) of a buffer of {}", least, greatest + bytes, have));
    }
    if (!aligned) wrong(fmt::format("it is not aligned to {} bytes", b.alignment));
    if (address.where == Address::Where::kConstant && b.role != BufferRole::kIn)
      wrong("a constant is written");
  }

  // ---- barriers

  struct Touch {
    const Address* address = nullptr;
    int64_t begin = 0;
    int64_t end = 0;
    bool writes = false;
  };
  struct Running {
    const Kernel* kernel = nullptr;
    std::vector<Touch> touches;
    size_t group = 0;
  };

  static bool meet(const Touch& a, const Touch& b) {
    return (a.writes || b.writes) && a.address->same_base(*b.address) && a.begin < b.end &&
           b.begin < a.end;
  }

  void walk(const std::vector<Step>& list) {
    constexpr int64_t kMostIterations = 5;
    for (const Step& step : list) {
      if (const Call* call = step.call()) {
        walk(*call);
        continue;
      }
      const Loop& loop = *step.loop();
      if (loop.barrier_before) running_.clear();
      for (int64_t i = 0; i < std::min(loop.trips, kMostIterations); ++i) {
        if (i > 0 && loop.barrier_between) running_.clear();
        iterations_.push_back(i);
        walk(loop.body);
        iterations_.pop_back();
      }
    }
  }

  void walk(const Call& call) {
    if (call.barrier_before) running_.clear();
    if (!call.joins_previous) ++group_;
    Running now{&program_.kernels[call.kernel], {}, group_};
    for (size_t i = 0; i < call.arguments.size(); ++i) {
      const Address& address = call.arguments[i];
      const Buffer& b = now.kernel->buffers[i];
      const int64_t begin = address.offset_at(iterations_);
      now.touches.push_back({&address, begin, begin + b.shape.num_elements() * dtype_bytes(b.dtype),
                             b.role != BufferRole::kIn});
    }
    for (const Running& other : running_) {
      if (other.group == group_) continue;
      if (!other.kernel->is_parallel() && !now.kernel->is_parallel()) continue;
      const bool conflict =
          std::any_of(now.touches.begin(), now.touches.end(), [&](const Touch& a) {
            return std::any_of(other.touches.begin(), other.touches.end(),
                               [&](const Touch& b) { return meet(a, b); });
          });
      if (!conflict) continue;
      error("@{} and @{} touch the same memory without a barrier between them", other.kernel->name,
            now.kernel->name);
      break;
    }
    running_.push_back(std::move(now));
  }

  const Program& program_;
  const Entry* entry_ = nullptr;
  std::vector<int64_t> trips_;
  std::vector<int64_t> iterations_;
  std::vector<Running> running_;  ///< calls since the last barrier
  size_t group_ = 0;
  std::vector<Diagnostic> errors_;
};

}  // namespace

std::vector<Diagnostic> verify(const Program& program) {
  return ProgramVerifier(program).run();
}

}  // namespace gradc::kernel
