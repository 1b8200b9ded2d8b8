// How each op is written in ONNX.
#pragma once

#include "ir/graph.h"
#include "ir/op.h"
#include "support/result.h"

#include "exchange/onnx/emit.h"

namespace gradc::exchange::onnx {

struct Rule {
  Op op;
  Status (*emit)(Emitter& emitter, const Node& first, const Node& second);
};

/// Null: ONNX has no such op.
const Rule* find_rule(Op op);

}  // namespace gradc::exchange::onnx
