#include "ir/scalar_op.h"

#include <array>

namespace gradc {

namespace {

struct Row {
  std::string_view name;
  int arity = 0;
  int cost = 0;
};

constexpr std::array<Row, kNumScalarOps + 1> kRows = {{
#define GRADC_SCALAR_OP(enumerator, name, arity, cost) {name, arity, cost},
#include "ir/scalar_ops.def"
#undef GRADC_SCALAR_OP
    {"none", 0, 0},
}};

constexpr int kExpensive = 16;

const Row& row(ScalarOp op) {
  return kRows[static_cast<size_t>(op)];
}

}  // namespace

std::string_view scalar_op_name(ScalarOp op) {
  return row(op).name;
}

int scalar_op_arity(ScalarOp op) {
  return row(op).arity;
}

int scalar_op_cost(ScalarOp op) {
  return row(op).cost;
}

bool is_expensive(ScalarOp op) {
  return scalar_op_cost(op) >= kExpensive;
}

}  // namespace gradc
