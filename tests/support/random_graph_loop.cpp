// Random loops: a state or two, slices, captures; smooth work on them, products with captured
// matrices, sums and loops inside.
#include "tests/support/random_graph_builder.h"

#include <algorithm>

namespace gradc::testing {

namespace {

/// A body that grows: values of one shape [rows, columns], and what the loop's operands must be.
class RandomBody {
 public:
  RandomBody(Random& random, int64_t rows, int64_t columns, int64_t steps, int depth)
      : random_(random), type_{DType::kF32, Shape{rows, columns}}, depth_(depth) {
    attrs_.steps = steps;
    attrs_.reverse = random.chance(0.4);
    attrs_.carries = random.below(3);
    attrs_.slices = random.below(3);
    for (int64_t i = 0; i < attrs_.carries; ++i)
      values_.push_back(arg(type_, type_, "c"));
    for (int64_t i = 0; i < attrs_.slices; ++i)
      values_.push_back(arg(type_, with_steps(type_), "x"));
    if (values_.empty()) values_.push_back(arg(type_, type_, "w"));
  }

  void run() {
    for (int64_t count = random_.between(2, 6); count > 0; --count)
      grow();
    std::vector<Val> next;
    for (int64_t i = 0; i < attrs_.carries; ++i)
      next.push_back(random_.chance(0.1) ? pick() : tanh(pick()));
    for (int64_t count = random_.between(attrs_.carries > 0 ? 0 : 1, 2); count > 0; --count) {
      const int64_t kind = random_.below(6);
      if (kind == 0) {
        const Val x = pick();
        next.push_back(reduce_sum(x * x, {1}));  // the sum of a softmax would say nothing
      } else if (kind == 1) {
        next.push_back(matmul(pick(), matrix(), false, random_.chance(0.5)));
      } else if (kind == 2 && attrs_.carries > 0) {
        next.push_back(next.front());  // the state itself
      } else {
        next.push_back(pick());
      }
    }
    for (const Val& value : next)
      body_->add_output("", value.id());
  }

  const std::vector<TensorType>& operands() const { return operands_; }
  const ScanAttrs& attrs() const { return attrs_; }
  std::shared_ptr<Graph> graph() const { return body_; }

 private:
  TensorType with_steps(const TensorType& type) const {
    Shape shape = {attrs_.steps};
    for (int64_t extent : type.shape)
      shape.push_back(extent);
    return type.with(shape);
  }

  Val arg(const TensorType& inside, const TensorType& outside, std::string_view hint) {
    operands_.push_back(outside);
    return builder_.input(InputKind::kArg, inside, "", hint);
  }

  Val capture(const Shape& shape) {
    const TensorType type{DType::kF32, shape};
    return arg(type, type, "w");
  }

  /// A captured square matrix: one that is there, or a new one.
  Val matrix() {
    if (matrices_.empty() || random_.chance(0.6))
      matrices_.push_back(capture({type_.shape[1], type_.shape[1]}));
    return random_.pick(matrices_);
  }

  Val pick() { return random_.pick(values_); }

  Val grown() {
    const Val x = pick();
    switch (random_.below(9)) {
      case 0:
        return x + pick();
      case 1:
        return tanh(x) * pick();
      case 2:
        return random_.chance(0.5) ? sin(x) : sigmoid(x);
      case 3:
        return tanh(matmul(x, matrix(), false, random_.chance(0.3)));
      case 4:
        return x + broadcast(capture({type_.shape[1]}), type_.shape, {1});
      case 5:
        return x - broadcast(reduce_sum(x, {1}) * 0.25, type_.shape, {0});
      case 6:
        return builder_.add(Op::kSoftmax, {x}, make_attrs(AxisAttrs{1}));
      case 7:
        return reverse(x, {random_.below(2)});
      default:
        return depth_ > 0 ? inner_loop(x) : x * 0.5;
    }
  }

  void grow() { values_.push_back(grown()); }

  /// A loop over the rows of one value, or a few steps with it as a state.
  Val inner_loop(Val x) {
    RandomBody inner(random_, type_.shape[0], type_.shape[1], random_.between(1, 3), depth_ - 1);
    inner.run();
    std::vector<Val> operands;
    for (const TensorType& type : inner.operands()) {
      if (type == type_) {
        operands.push_back(pick());
      } else if (type.rank() == 3) {
        operands.push_back(broadcast(pick(), type.shape, {1, 2}));
      } else {
        operands.push_back(capture(type.shape));
      }
    }
    for (const Val& result :
         builder_.add_multi(Op::kScan, operands, make_attrs(inner.attrs()), "", inner.graph())) {
      if (result.type() == type_) return result;
      if (result.rank() == 3 && result.shape()[1] == type_.shape[0] &&
          result.shape()[2] == type_.shape[1])
        return tanh(reduce_sum(result, {0}));
    }
    return x;
  }

  Random& random_;
  std::shared_ptr<Graph> body_ = std::make_shared<Graph>("step");
  Builder builder_{*body_};
  TensorType type_;
  int depth_;
  ScanAttrs attrs_;
  std::vector<TensorType> operands_;
  std::vector<Val> values_, matrices_;
};

}  // namespace

void RandomGraphBuilder::make_loop() {
  const Val x = tame(pick_float(2, 3));
  const bool stack = x.rank() == 3;
  const int64_t steps = stack ? x.shape()[0] : random_.between(1, 5);
  RandomBody body(random_, x.shape()[x.rank() - 2], x.shape()[x.rank() - 1], steps,
                  random_.chance(0.3) ? 1 : 0);
  body.run();
  std::vector<Val> operands;
  for (const TensorType& type : body.operands()) {
    std::vector<Val> fitting;
    for (const Entry& e : pool_) {
      if (e.val.type() == type) fitting.push_back(e.val);
    }
    if (type == x.type() && random_.chance(0.5)) {
      operands.push_back(x);
    } else if (!fitting.empty() && random_.chance(0.5)) {
      operands.push_back(tame(random_.pick(fitting)));
    } else {
      operands.push_back(weights(type));
    }
  }
  try_node(Op::kScan, std::move(operands), make_attrs(body.attrs()), body.graph());
}

}  // namespace gradc::testing
