#include "codegen/kernel/lower_unit.h"

#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/kernel_verifier.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/fusion_form.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace gradc::kernel {

// ---- frames and calls
// -------------------------------------------------------------------------------

UnitRef Unit::temporary(DType dtype, const Shape& shape) {
  lowered_.temporaries.push_back({dtype, shape});
  return {UnitRef::Kind::kTemporary, lowered_.temporaries.size() - 1};
}

namespace {

Dense one_element(int64_t number) {
  return std::make_shared<const std::vector<double>>(1, static_cast<double>(number));
}

}  // namespace

BufferId Unit::Frame::find(UnitRef ref) const {
  const auto it = std::find(refs.begin(), refs.end(), ref);
  GRADC_CHECK(it != refs.end(), "{}: no such buffer", kernel.name);
  return BufferId(static_cast<size_t>(it - refs.begin()));
}

BufferId Unit::Frame::add(std::string name, DType dtype, const Shape& shape, BufferRole role,
                          UnitRef ref) {
  kernel.buffers.push_back({std::move(name), dtype, shape, role, false, dtype_bytes(dtype)});
  refs.push_back(ref);
  return BufferId(refs.size() - 1);
}

Unit::Frame Unit::frame(const std::string& suffix) {
  Frame result;
  result.kernel.name = name_ + suffix;
  const auto named = [](const Value& v, std::string_view prefix, size_t i) {
    return v.name.empty() ? fmt::format("{}{}", prefix, i) : v.name;
  };
  for (size_t i = 0; i < body_.inputs().size(); ++i) {
    const ValueId value = body_.inputs()[i].value;
    const TensorType& type = body_.type(value);
    result.bind(value, result.add(named(body_.value(value), "a", i), type.dtype, type.shape,
                                  BufferRole::kIn, {UnitRef::Kind::kOperand, i}));
  }
  for (size_t i = 0; i < body_.outputs().size(); ++i) {
    const ValueId value = body_.outputs()[i].value;
    const TensorType& type = body_.type(value);
    std::string name = "out." + named(body_.value(value), "r", i);
    const auto same = [&](const GraphOutput& other) { return other.value == value; };
    const auto before = std::count_if(
        body_.outputs().begin(), body_.outputs().begin() + static_cast<std::ptrdiff_t>(i), same);
    if (before > 0) name += fmt::format(".again{}", before);
    result.add(std::move(name), type.dtype, type.shape, BufferRole::kOut,
               {UnitRef::Kind::kResult, i});
  }
  for (const auto& [r, o] : aliases_) {
    result.kernel.buffers[result.output(r).index].may_alias = true;
    result.kernel.buffers[o].may_alias = true;
  }
  lowered_.constants.clear();
  const auto add_constant = [&](const char* name, const TensorType& type, Dense elements) {
    lowered_.constants.emplace_back(type.dtype, std::move(elements));
    const size_t number = lowered_.constants.size();
    return result.add(fmt::format("{}{}", name, number), type.dtype, type.shape, BufferRole::kIn,
                      {UnitRef::Kind::kConstant, number - 1});
  };
  std::unordered_map<int64_t, BufferId> streams;
  for (const NodeId id : body_.nodes()) {
    const Node& node = body_.node(id);
    if (node.op == Op::kConstant) {
      const auto& attrs = node.attrs.as<ConstantAttrs>();
      if (attrs.value->size() == 1) continue;
      result.bind(node.results[0],
                  add_constant("constant", body_.type(node.results[0]), attrs.value));
    } else if (node.op == Op::kRandomUniform) {
      const int64_t stream = node.attrs.as<RandomAttrs>().stream;
      const auto [buffer, is_new] = streams.try_emplace(stream);
      if (is_new) buffer->second = add_constant("stream", {DType::kI64, {}}, one_element(stream));
      result.bind(node.results[0], buffer->second);
    }
  }
  return result;
}

namespace {

/// Visits every buffer a kernel touches.
template <class Visit>
void for_each_buffer(Kernel& kernel, Block& block, const Visit& visit) {
  for (Stmt& stmt : block) {
    if (auto* store = std::get_if<Store>(&stmt)) visit(store->buffer);
    if (auto* loop = std::get_if<std::unique_ptr<For>>(&stmt))
      for_each_buffer(kernel, (*loop)->body, visit);
    if (auto* branch = std::get_if<std::unique_ptr<If>>(&stmt))
      for_each_buffer(kernel, (*branch)->body, visit);
    if (auto* contract = std::get_if<std::unique_ptr<Contract>>(&stmt))
      for_each_buffer(kernel, (*contract)->epilogue, visit);
  }
}

void mark_expr(const Kernel& kernel, ExprId id, std::vector<bool>& live) {
  if (!id.valid() || live[id.index]) return;
  live[id.index] = true;
  for (const ExprId arg : kernel.expr(id).args)
    mark_expr(kernel, arg, live);
}

void mark_block(const Kernel& kernel, const Block& block, std::vector<bool>& live) {
  for (const Stmt& stmt : block) {
    if (const auto* let = std::get_if<Let>(&stmt)) mark_expr(kernel, let->expr, live);
    if (const auto* add = std::get_if<Accumulate>(&stmt)) {
      mark_expr(kernel, add->expr, live);
      mark_expr(kernel, add->factor, live);
    }
    if (const auto* store = std::get_if<Store>(&stmt)) {
      mark_expr(kernel, store->expr, live);
      mark_expr(kernel, store->dynamic, live);
    }
    if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt)) {
      mark_expr(kernel, (*loop)->below, live);
      mark_block(kernel, (*loop)->body, live);
    }
    if (const auto* branch = std::get_if<std::unique_ptr<If>>(&stmt)) {
      mark_expr(kernel, (*branch)->condition, live);
      mark_block(kernel, (*branch)->body, live);
    }
    if (const auto* contract = std::get_if<std::unique_ptr<Contract>>(&stmt)) {
      mark_expr(kernel, (*contract)->m_below, live);
      mark_expr(kernel, (*contract)->k_below, live);
      mark_expr(kernel, (*contract)->a, live);
      mark_expr(kernel, (*contract)->b, live);
      mark_block(kernel, (*contract)->epilogue, live);
    }
  }
}

}  // namespace

std::optional<SpecifiedRows> Unit::specified_rows(const Frame& frame, const Kernel& kernel) const {
  if (!rows_) return std::nullopt;
  SpecifiedRows rows{frame.find({UnitRef::Kind::kOperand, *rows_}), {}};
  rows.widths.resize(kernel.buffers.size(), 0);
  for (size_t i = 0; i < frame.refs.size(); ++i) {
    const Shape& shape = kernel.buffers[i].shape;
    if (frame.refs[i].kind == UnitRef::Kind::kResult)
      rows.widths[i] = shape.num_elements() / std::max<int64_t>(shape[0], 1);
  }
  return rows;
}

void Unit::add_call(const Frame& frame, Kernel kernel, bool joins_previous) {
  InPlace in_place;
  for (const auto& [result, operand] : aliases_)
    in_place.emplace_back(frame.output(result), frame.find({UnitRef::Kind::kOperand, operand}));
  end_early(kernel, specified_rows(frame, kernel), in_place);
  std::vector<bool> live(kernel.exprs.size(), false);
  mark_block(kernel, kernel.body, live);
  std::vector<bool> used(kernel.buffers.size(), false);
  for (size_t i = 0; i < kernel.exprs.size(); ++i) {
    if (live[i] && kernel.exprs[i].kind == ExprKind::kLoad)
      used[kernel.exprs[i].buffer.index] = true;
  }
  for_each_buffer(kernel, kernel.body, [&](BufferId& id) { used[id.index] = true; });
  std::vector<Buffer> buffers;
  std::vector<UnitRef> refs;
  std::vector<BufferId> renamed(kernel.buffers.size(), BufferId(0));
  for (size_t i = 0; i < kernel.buffers.size(); ++i) {
    if (!used[i]) continue;
    renamed[i] = BufferId(buffers.size());
    buffers.push_back(kernel.buffers[i]);
    if (i < frame.refs.size()) refs.push_back(frame.refs[i]);
  }
  for (Expr& e : kernel.exprs) {
    if (e.kind == ExprKind::kLoad) e.buffer = renamed[e.buffer.index];
  }
  for_each_buffer(kernel, kernel.body, [&](BufferId& id) { id = renamed[id.index]; });
  kernel.buffers = std::move(buffers);
  lowered_.calls.push_back({std::move(kernel), std::move(refs), joins_previous});
}

Status Unit::add_nest(const Frame& frame, const Nest& nest, bool joins_previous) {
  GRADC_TRY(Kernel kernel, build_nest(frame.kernel, body_, nest));
  add_call(frame, std::move(kernel), joins_previous);
  return Ok{};
}

std::vector<NestStore> output_stores(const Unit::Frame& frame, const Graph& body,
                                     NestCursor& cursor, size_t space) {
  std::vector<NestStore> stores;
  for (size_t i = 0; i < body.outputs().size(); ++i) {
    const ExprId value = cursor.emitter().value(body.outputs()[i].value, cursor.at(space));
    stores.push_back({frame.output(i), cursor.at(space), value});
  }
  return stores;
}

// ---- dispatch
// ------------------------------------------------------------------------------------

namespace {

/// The node a body is built around, by how codegen treats it; none for elementwise bodies.
std::optional<NodeId> central_node(const Graph& body) {
  std::optional<NodeId> reduction;
  for (const NodeId id : body.nodes()) {
    const Node& node = body.node(id);
    switch (def(node.op).lowering) {
      case Lowering::kMatmul:
      case Lowering::kConv:
      case Lowering::kPool:
      case Lowering::kAttention:
        return id;
      case Lowering::kGather:
        if (node.op != Op::kGather) return id;
        break;
      case Lowering::kReduce:
        reduction = id;
        break;
      case Lowering::kScalar:
      case Lowering::kView:
      case Lowering::kSource:
      case Lowering::kStructure:
      case Lowering::kComposite:
        break;
    }
  }
  return reduction;
}

Status lower_fused(Unit& unit) {
  const std::optional<NodeId> center = central_node(unit.body());
  if (!center) return lower_elementwise(unit);
  const Node& node = unit.body().node(*center);
  switch (def(node.op).lowering) {
    case Lowering::kReduce:
      return lower_reduction(unit);
    case Lowering::kMatmul:
    case Lowering::kConv:
      return lower_contraction(unit, node);
    case Lowering::kPool:
      return lower_pool(unit, node);
    case Lowering::kGather:
      if (node.op == Op::kPartition) return lower_partition(unit, node);
      if (node.op == Op::kDistinct) return lower_distinct(unit, node);
      return lower_scatter(unit, node);
    case Lowering::kAttention:
      return lower_attention(unit, node);
    case Lowering::kScalar:
    case Lowering::kView:
    case Lowering::kSource:
    case Lowering::kStructure:
    case Lowering::kComposite:
      break;
  }
  GRADC_UNREACHABLE();
}

/// A body with one node, its operands as arguments (each value once).
std::shared_ptr<Graph> single_node_body(const Graph& body, const Node& node,
                                        std::vector<ValueId>& arguments) {
  auto single = std::make_shared<Graph>(std::string(op_name(node.op)));
  std::unordered_map<ValueId, ValueId> inner;
  std::vector<ValueId> operands;
  for (const ValueId operand : node.operands) {
    if (!inner.contains(operand)) {
      inner[operand] =
          single->add_input(InputKind::kArg, body.type(operand), {}, body.value(operand).name);
      arguments.push_back(operand);
    }
    operands.push_back(inner[operand]);
  }
  std::vector<TensorType> types;
  for (const ValueId result : node.results)
    types.push_back(body.type(result));
  const NodeId id =
      single->add_node(node.op, operands, node.attrs, types, node.phase, {}, "r", node.body);
  for (const ValueId result : single->node(id).results)
    single->add_output({}, result);
  return single;
}

class Unfused {
 public:
  explicit Unfused(Unit& unit) : unit_(unit), body_(unit.body()) {}

  Status run() {
    unit_.lowered() = {};
    for (size_t i = 0; i < body_.inputs().size(); ++i)
      place_[body_.inputs()[i].value] = {UnitRef::Kind::kOperand, i};
    for (const NodeId id : body_.nodes())
      GRADC_TRY_STATUS(node(body_.node(id)));
    for (size_t i = 0; i < body_.outputs().size(); ++i)
      GRADC_TRY_STATUS(copy_output(i));
    return Ok{};
  }

 private:
  Status node(const Node& node) {
    if (def(node.op).lowering == Lowering::kComposite || node.op == Op::kKernel)
      return make_error(DiagKind::kUnsupported, {}, "{} cannot be lowered to kernels",
                        op_name(node.op));
    std::vector<ValueId> arguments;
    const std::shared_ptr<Graph> single = single_node_body(body_, node, arguments);
    for (const ValueId result : node.results) {
      const TensorType& type = body_.type(result);
      place_[result] = unit_.temporary(type.dtype, type.shape);
    }
    Unit part(unit_.name() + "." + std::string(op_name(node.op)), *single);
    GRADC_TRY_STATUS(lower_fused(part));
    return append(part.lowered(), arguments, node.results);
  }

  Status append(LoweredUnit& part, std::span<const ValueId> arguments,
                std::span<const ValueId> results) {
    LoweredUnit& all = unit_.lowered();
    const size_t temporaries = all.temporaries.size();
    const size_t constants = all.constants.size();
    all.temporaries.insert(all.temporaries.end(), part.temporaries.begin(), part.temporaries.end());
    all.constants.insert(all.constants.end(), part.constants.begin(), part.constants.end());
    for (UnitCall& call : part.calls) {
      for (UnitRef& ref : call.arguments) {
        switch (ref.kind) {
          case UnitRef::Kind::kOperand:
            ref = place_.at(arguments[ref.index]);
            break;
          case UnitRef::Kind::kResult:
            ref = place_.at(results[ref.index]);
            break;
          case UnitRef::Kind::kTemporary:
            ref.index += temporaries;
            break;
          case UnitRef::Kind::kConstant:
            ref.index += constants;
            break;
        }
      }
      all.calls.push_back(std::move(call));
    }
    return Ok{};
  }

  Status copy_output(size_t i) {
    const ValueId value = body_.outputs()[i].value;
    Graph copy("copy");
    copy.add_output({}, copy.add_input(InputKind::kArg, body_.type(value), {}, "x"));
    Unit part(unit_.name() + ".copy", copy);
    GRADC_TRY_STATUS(lower_elementwise(part));
    UnitCall call = std::move(part.lowered().calls[0]);
    call.arguments = {place_.at(value), {UnitRef::Kind::kResult, i}};
    unit_.lowered().calls.push_back(std::move(call));
    return Ok{};
  }

  Unit& unit_;
  const Graph& body_;
  std::unordered_map<ValueId, UnitRef> place_;
};

/// What the verifier finds in the kernels of a lowered unit, as a failure.
Status verified(Status lowered, const LoweredUnit& unit) {
  if (!lowered.ok()) return lowered;
  for (const UnitCall& call : unit.calls) {
    std::vector<Diagnostic> errors = verify(call.kernel);
    if (errors.empty()) continue;
    errors.front().with_note("the kernel:\n" + to_string(call.kernel));
    return Failure(std::move(errors));
  }
  return lowered;
}

}  // namespace

Status lower_unit(Unit& unit) {
  Status fused = verified(lower_fused(unit), unit.lowered());
  if (fused.ok() || unit.body().num_nodes() <= 1) return fused;
  return verified(Unfused(unit).run(), unit.lowered());
}

// ---- elementwise
// ---------------------------------------------------------------------------------

namespace {

/// A value at the points of an elementwise kernel, and where it goes: the points are rows, of which
/// each is row number `part` of `parts` in its place. A value of its own is one row.
struct ElementStore {
  BufferId buffer;
  ValueId value;
  int64_t row = 1;
  int64_t part = 0;
  int64_t parts = 1;

  Index place(NestCursor& cursor) const {
    const Index& at = cursor.at(0);
    if (parts == 1) return at;
    Emitter& emitter = cursor.emitter();
    const Index first = emitter.scaled(emitter.floor_div(at, row), row * parts);
    return emitter.plus(
        first, emitter.plus(emitter.floor_mod(at, row), Emitter::constant_index(part * row)));
  }
};

/// The parts of a concatenation, each with its own store.
void add_part_stores(const Graph& body, ValueId joined, std::span<const ValueId> parts,
                     BufferId buffer, std::vector<ElementStore>& stores) {
  const auto axis = static_cast<int>(body.node(body.def(joined)).attrs.as<AxisAttrs>().axis);
  const Shape& shape = body.type(parts[0]).shape;
  int64_t row = 1;
  for (int i = axis; i < shape.rank(); ++i)
    row *= shape[i];
  for (size_t i = 0; i < parts.size(); ++i) {
    stores.push_back(
        {buffer, parts[i], row, static_cast<int64_t>(i), static_cast<int64_t>(parts.size())});
  }
}

}  // namespace

Status lower_elementwise(Unit& unit) {
  const Graph& body = unit.body();
  const Unit::Frame frame = unit.frame();
  Kernel scratch;
  Emitter emitter(scratch, body);
  const std::vector<NodeId> nodes = body.nodes();
  std::vector<ValueId> outputs;
  for (const GraphOutput& output : body.outputs())
    outputs.push_back(output.value);
  const Shape points = elementwise_points(body, outputs, nodes);
  const int64_t total = points.num_elements();
  std::set<int64_t> cuts;
  std::vector<ElementStore> stores;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::span<const ValueId> parts = joined_parts(body, outputs[i], nodes);
    const bool whole = body.type(outputs[i]).num_elements() == total;
    if (!whole && (parts.empty() || body.type(parts[0]).shape != points))
      return make_error(DiagKind::kInternal, {}, "{}: results of different sizes", unit.name());
    if (whole)
      stores.push_back({frame.output(i), outputs[i], total, 0, 1});
    else
      add_part_stores(body, outputs[i], parts, frame.output(i), stores);
  }
  for (const ElementStore& store : stores) {
    const std::set<int64_t>& below = emitter.cuts(store.value);
    cuts.insert(below.begin(), below.end());
    if (store.row < total) cuts.insert(store.row);
  }
  Nest nest;
  nest.dims = chain_dims(stride_chain(cuts, total), total);
  nest.offsets = {0};
  nest.points = [&](NestCursor& at) {
    std::vector<NestStore> result;
    for (const ElementStore& store : stores)
      result.push_back({store.buffer, store.place(at), at.emitter().value(store.value, at.at(0))});
    return result;
  };
  return unit.add_nest(frame, nest);
}

}  // namespace gradc::kernel
