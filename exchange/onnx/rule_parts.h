// What the rules are made of: an emitter, and a node in both graphs.
#pragma once

#include "ir/op_attrs.h"

#include "exchange/onnx/emit.h"

namespace gradc::exchange::onnx {

struct Rules {
  Emitter& e;
  const Node& a;
  const Node& b;

  ValueId out(size_t i = 0) const { return a.results[i]; }
  ValueId in(size_t i = 0) const { return a.operands[i]; }
  Graph& graph() const { return e.out_; }
  const std::string& hint() const { return e.hint(out()); }
  template <class T>
  const T& attr() const {
    return a.attrs.as<T>();
  }
  Result<std::string> name(size_t i = 0) const { return e.full(in(i)); }

  Status give(std::string name) const {
    e.set(out(), std::move(name));
    return Ok{};
  }
  Status give(std::string_view op, const Names& inputs, Attributes attributes = {}) const {
    return give(graph().add(op, inputs, std::move(attributes), hint()));
  }

  /// Operands of an elementwise op: what others repeat need not be repeated.
  Result<Names> elementwise() const {
    bool whole = false;
    for (const ValueId operand : a.operands)
      whole = whole || !e.is_thin(operand);
    Names names;
    for (const ValueId operand : a.operands) {
      GRADC_TRY(std::string name, whole ? e.thin_or_full(operand) : e.full(operand));
      whole = true;
      names.push_back(std::move(name));
    }
    return names;
  }

  static Status elementwise_as(Emitter& e, const Node& a, const Node& b, std::string_view op) {
    const Rules r{e, a, b};
    GRADC_TRY(const Names names, r.elementwise());
    return r.give(op, names);
  }

  // ---- elementwise ----
  Status made_of(std::string_view inner, bool number_first, std::string_view outer,
                 double number) const;
  static Status expm1(Emitter& e, const Node& a, const Node& b);
  static Status erfc(Emitter& e, const Node& a, const Node& b);
  static Status log1p(Emitter& e, const Node& a, const Node& b);
  static Status rsqrt(Emitter& e, const Node& a, const Node& b);
  static Status is_finite(Emitter& e, const Node& a, const Node& b);
  static Status not_equal(Emitter& e, const Node& a, const Node& b);
  static Status cast(Emitter& e, const Node& a, const Node& b);

  // ---- sources and views ----
  static Status constant(Emitter& e, const Node& a, const Node& b);
  static std::string bytes_of(DType dtype, double value);
  static Status iota(Emitter& e, const Node& a, const Node& b);
  /// Axes of extent 1 where the operand has none; the repetition itself is put off.
  static Status broadcast(Emitter& e, const Node& a, const Node& b);
  static Status reshape(Emitter& e, const Node& a, const Node& b);
  static Status transpose(Emitter& e, const Node& a, const Node& b);
  static Status slice(Emitter& e, const Node& a, const Node& b);
  static Status reverse(Emitter& e, const Node& a, const Node& b);
  /// Elements apart: an axis behind each, padded, and cut.
  static std::string spread(const Rules& r, std::string x, const PadAttrs& attrs);
  static Status pad(Emitter& e, const Node& a, const Node& b);
  static Status concat(Emitter& e, const Node& a, const Node& b);

  // ---- reductions, products, windows, rows ----
  static Status reduce(Emitter& e, const Node& a, const Node& b, std::string_view op);
  static Status argmax(Emitter& e, const Node& a, const Node& b);
  static Status matmul(Emitter& e, const Node& a, const Node& b);
  /// [spatial, in / groups, out] -> [out, in / groups, spatial].
  static std::string filter(const Rules& r, const std::string& name, int rank);
  static Ints or_all(const Ints& given, int rank, int64_t otherwise);
  static Ints joined(const Ints& low, const Ints& high);
  static Status conv(Emitter& e, const Node& a, const Node& b);
  static Status conv_transpose(Emitter& e, const Node& a, const Node& b);
  static Status pool(Emitter& e, const Node& a, const Node& b, std::string_view op);
  static Status gather(Emitter& e, const Node& a, const Node& b);
  static Status softmax(Emitter& e, const Node& a, const Node& b, std::string_view op);
  static Status layer_norm(Emitter& e, const Node& a, const Node& b);

  // ---- loops ----
  static Status scan(Emitter& e, const Node& a, const Node& b);
};

}  // namespace gradc::exchange::onnx
