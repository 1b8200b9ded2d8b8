// partition: the places where a mask holds, then the others. One thread goes over the mask twice.
#include "codegen/kernel/lower_unit.h"

namespace gradc::kernel {

namespace {

class PartitionLowering {
 public:
  PartitionLowering(Unit& unit, const Node& node)
      : unit_(unit),
        mask_(node.operands[0]),
        size_(unit.body().type(node.results[0]).num_elements()) {}

  Status run() {
    if (unit_.body().outputs().size() != 1)
      return make_error(DiagKind::kInternal, {}, "{}: more than the places", unit_.name());
    Unit::Frame frame = unit_.frame();
    Kernel kernel;
    kernel.name = frame.kernel.name;
    kernel.buffers = frame.kernel.buffers;
    Emitter e(kernel, unit_.body());
    for (const auto& [value, buffer] : frame.kernel.bindings)
      e.bind_buffer(value, buffer);
    KernelBuilder& b = e.builder();
    next_ = e.new_local("next", DType::kI64, true);
    e.block().push_back(Let{next_, b.constant(0, DType::kI64)});
    take(e, frame.output(0), true);
    take(e, frame.output(0), false);
    if (e.failed()) return make_error(DiagKind::kInternal, {}, "{}: {}", kernel.name, e.failure());
    unit_.add_call(frame, std::move(kernel));
    return Ok{};
  }

 private:
  /// for i { if mask[i] { places[next] = i; next += 1 } }, or where it does not hold.
  void take(Emitter& e, BufferId places, bool holding) {
    KernelBuilder& b = e.builder();
    const VarId i = e.new_var(holding ? "i" : "j", size_);
    auto loop = std::make_unique<For>();
    loop->var = i;
    loop->end = size_;
    e.open(&loop->body, {i});
    auto branch = std::make_unique<If>();
    branch->condition = e.value(mask_, {Affine::variable(i), {}});
    if (!holding) branch->condition = b.scalar(ScalarOp::kNot, DType::kBool, branch->condition);
    e.open(&branch->body, {});
    const auto limit = [&](int64_t x) { return b.constant(static_cast<double>(x), DType::kI64); };
    ExprId place = b.scalar(ScalarOp::kMax, DType::kI64, b.read(next_), limit(0));
    place = b.scalar(ScalarOp::kMin, DType::kI64, place, limit(size_ - 1));
    const ExprId index = b.index(Affine::variable(i), DType::kI32);
    e.block().push_back(Store{places, {}, place, index, false});
    e.block().push_back(Accumulate{next_, AccumulateOp::kSum, limit(1), {}});
    e.close();
    e.block().push_back(std::move(branch));
    e.close();
    e.block().push_back(std::move(loop));
  }

  Unit& unit_;
  const ValueId mask_;
  const int64_t size_;
  LocalId next_;
};

}  // namespace

Status lower_partition(Unit& unit, const Node& node) {
  return PartitionLowering(unit, node).run();
}

}  // namespace gradc::kernel
