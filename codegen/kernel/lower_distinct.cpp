// distinct: the indices in order, by counting digits from the last to the first, and then one walk
// over them. One thread does it: there are as many indices as rows that a batch looks up.
#include "codegen/kernel/lower_unit.h"
#include "ir/op_attrs.h"

#include <algorithm>
#include <array>
#include <bit>

namespace gradc::kernel {

namespace {

/// Bits of a digit, so that all counts stay in the first cache.
constexpr int kMostBits = 11;

class DistinctLowering {
 public:
  DistinctLowering(Unit& unit, const Node& node)
      : unit_(unit),
        node_(node),
        size_(unit.body().type(node.operands[0]).num_elements()),
        rows_(node.attrs.as<ScatterAttrs>().rows),
        row_type_(unit.body().type(node.results[0]).dtype) {
    const int bits =
        std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(rows_ - 1))));
    passes_ = (bits + kMostBits - 1) / kMostBits;
    digits_ = int64_t{1} << static_cast<unsigned>((bits + passes_ - 1) / passes_);
  }

  Status run() {
    Unit::Frame frame = unit_.frame();
    const std::array<BufferId, 2> results = {result(frame, 0), result(frame, 1)};
    const size_t wanted = static_cast<size_t>(
        std::count_if(node_.results.begin(), node_.results.end(),
                      [&](ValueId value) { return unit_.body().is_output(value); }));
    if (unit_.body().outputs().size() != wanted)
      return make_error(DiagKind::kInternal, {}, "{}: more than rows and places", unit_.name());
    for (size_t side = 0; side < 2; ++side) {
      keys_[side] = temporary(frame, "keys", row_type_);
      from_[side] = temporary(frame, "from", DType::kI32);
    }
    Kernel kernel;
    kernel.name = frame.kernel.name;
    kernel.buffers = frame.kernel.buffers;
    Emitter e(kernel, unit_.body());
    e_ = &e;
    for (const auto& [value, buffer] : frame.kernel.bindings)
      e.bind_buffer(value, buffer);
    counts_ = b().buffer("counts", DType::kI32, Shape({digits_}), BufferRole::kLocal);
    take();
    int64_t weight = 1;
    for (int pass = 0; pass < passes_; ++pass, weight *= digits_)
      sort(static_cast<size_t>(pass % 2), weight);
    name(static_cast<size_t>(passes_ % 2), results[0], results[1]);
    if (e.failed()) return make_error(DiagKind::kInternal, {}, "{}: {}", kernel.name, e.failure());
    unit_.add_call(frame, std::move(kernel));
    return Ok{};
  }

 private:
  // ---- buffers
  // -------------------------------------------------------------------------------------

  /// A result, or a place for one that nobody asks for.
  BufferId result(Unit::Frame& frame, size_t number) {
    const Graph& body = unit_.body();
    for (size_t i = 0; i < body.outputs().size(); ++i) {
      if (body.outputs()[i].value == node_.results[number]) return frame.output(i);
    }
    const TensorType& type = body.type(node_.results[number]);
    return frame.add("unread", type.dtype, type.shape, BufferRole::kOut,
                     unit_.temporary(type.dtype, type.shape));
  }

  BufferId temporary(Unit::Frame& frame, const std::string& name, DType dtype) {
    const Shape shape({size_});
    return frame.add(name + std::to_string(frame.refs.size()), dtype, shape, BufferRole::kInOut,
                     unit_.temporary(dtype, shape));
  }

  // ---- pieces of code
  // ------------------------------------------------------------------------------

  KernelBuilder& b() { return e_->builder(); }
  ExprId number(int64_t x) { return b().constant(static_cast<double>(x), DType::kI64); }

  /// x, as the verifier sees too, from 0 to below `end`.
  ExprId within(ExprId x, int64_t end) {
    x = b().scalar(ScalarOp::kMax, DType::kI64, x, number(0));
    return b().scalar(ScalarOp::kMin, DType::kI64, x, number(end - 1));
  }

  /// Evaluated here, before what is stored next.
  ExprId now(const std::string& name, ExprId x) {
    const LocalId local = e_->new_local(name, b().at(x).dtype, false);
    e_->block().push_back(Let{local, x});
    return b().read(local);
  }

  ExprId read(BufferId buffer, Affine at) { return b().cast(b().load(buffer, at), DType::kI64); }
  ExprId read_at(BufferId buffer, ExprId at) {
    return b().cast(b().load(buffer, {}, at), DType::kI64);
  }

  template <class Body>
  void loop(const std::string& name, int64_t end, Body body) {
    const VarId var = e_->new_var(name, end);
    auto loop = std::make_unique<For>();
    loop->var = var;
    loop->end = end;
    e_->open(&loop->body, {var});
    body(Affine::variable(var));
    e_->close();
    e_->block().push_back(std::move(loop));
  }

  template <class Body>
  void where(ExprId condition, Body body) {
    auto branch = std::make_unique<If>();
    branch->condition = condition;
    e_->open(&branch->body, {});
    body();
    e_->close();
    e_->block().push_back(std::move(branch));
  }

  void store(BufferId buffer, const Affine& at, ExprId dynamic, ExprId value, bool add = false) {
    const DType dtype = e_->kernel().buffer(buffer).dtype;
    e_->block().push_back(Store{buffer, at, dynamic, b().cast(value, dtype), add});
  }

  // ---- the parts
  // -----------------------------------------------------------------------------------

  void take() {
    loop("i", size_, [&](const Affine& i) {
      const ExprId index = b().cast(e_->value(node_.operands[0], {i, {}}), DType::kI64);
      store(keys_[0], i, {}, within(index, rows_));
      store(from_[0], i, {}, b().index(i));
    });
  }

  ExprId digit(size_t side, const Affine& i, int64_t weight) {
    return b().floor_mod(b().floor_div(read(keys_[side], i), weight), digits_);
  }

  /// By one digit, those of one digit in the order that they have.
  void sort(size_t side, int64_t weight) {
    loop("c", digits_, [&](const Affine& c) { store(counts_, c, {}, number(0)); });
    loop("i", size_,
         [&](const Affine& i) { store(counts_, {}, digit(side, i, weight), number(1), true); });
    const LocalId next = e_->new_local("next", DType::kI64, true);
    e_->block().push_back(Let{next, number(0)});
    loop("c", digits_, [&](const Affine& c) {
      const ExprId count = now("count", read(counts_, c));
      store(counts_, c, {}, b().read(next));
      e_->block().push_back(Accumulate{next, AccumulateOp::kSum, count, {}});
    });
    loop("i", size_, [&](const Affine& i) {
      const ExprId own = now("digit", digit(side, i, weight));
      const ExprId place = now("place", within(read_at(counts_, own), size_));
      store(keys_[1 - side], {}, place, read(keys_[side], i));
      store(from_[1 - side], {}, place, read(from_[side], i));
      store(counts_, {}, own, number(1), true);
    });
  }

  /// Rows by their first index, places by all, and nothing behind the last row.
  void name(size_t side, BufferId rows, BufferId places) {
    const int64_t most = std::min(size_, rows_);
    const LocalId last = e_->new_local("last", DType::kI64, true);
    const LocalId before = e_->new_local("before", DType::kI64, true);
    e_->block().push_back(Let{last, number(-1)});
    e_->block().push_back(Let{before, number(-1)});
    loop("i", size_, [&](const Affine& i) {
      const ExprId key = now("key", read(keys_[side], i));
      const ExprId from = now("from", within(read(from_[side], i), size_));
      where(b().scalar(ScalarOp::kLt, DType::kBool, b().read(before), key), [&] {
        e_->block().push_back(Accumulate{last, AccumulateOp::kSum, number(1), {}});
        e_->block().push_back(Accumulate{before, AccumulateOp::kMax, key, {}});
        store(rows, {}, within(b().read(last), most), key);
      });
      store(places, {}, from, within(b().read(last), most));
    });
    loop("j", most, [&](const Affine& j) {
      where(b().scalar(ScalarOp::kLt, DType::kBool, b().read(last), b().index(j)),
            [&] { store(rows, j, {}, number(rows_)); });
    });
  }

  Unit& unit_;
  const Node& node_;
  const int64_t size_;
  const int64_t rows_;
  const DType row_type_;
  int passes_ = 1;
  int64_t digits_ = 2;
  Emitter* e_ = nullptr;
  std::array<BufferId, 2> keys_, from_;
  BufferId counts_;
};

}  // namespace

Status lower_distinct(Unit& unit, const Node& node) {
  return DistinctLowering(unit, node).run();
}

}  // namespace gradc::kernel
