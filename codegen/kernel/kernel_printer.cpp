#include "codegen/kernel/kernel_printer.h"

#include "codegen/kernel/kernel_words.h"
#include "ir/attrs.h"
#include "ir/element.h"
#include "support/check.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>
#include <unordered_map>

namespace gradc::kernel {

namespace {

/// Names as they stand in text: words that do not begin with a digit, no two alike.
class PlainNames {
 public:
  PlainNames() = default;
  template <class Range, class Name>
  PlainNames(const Range& items, Name name_of) {
    std::unordered_map<std::string, size_t> used;
    for (const auto& item : items) {
      const std::string base = plain(name_of(item));
      std::string name = base;
      while (!used.emplace(name, 1).second)
        name = fmt::format("{}.{}", base, used[base]++);
      names_.push_back(std::move(name));
    }
  }
  const std::string& operator[](size_t index) const { return names_[index]; }

 private:
  static std::string plain(std::string name) {
    for (char& c : name) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
      if (!letter && !(c >= '0' && c <= '9') && c != '.') c = '_';
    }
    const bool word = !name.empty() && name[0] != '.' && !(name[0] >= '0' && name[0] <= '9');
    const bool number = name == "inf" || name == "nan";  // what constants are called
    return word && !number ? name : "v" + name;
  }

  std::vector<std::string> names_;
};

class Printer {
 public:
  Printer(const Kernel& kernel, bool canonical) : kernel_(kernel), canonical_(canonical) {
    if (canonical) return;
    buffers_ = PlainNames(kernel.buffers, [](const Buffer& b) { return b.name; });
    vars_ = PlainNames(kernel.vars, [](const std::string& v) { return v; });
    locals_ = PlainNames(kernel.locals, [](const Local& l) { return l.name; });
  }

  std::string kernel() {
    write("kernel @{}(", canonical_ ? std::string("k") : symbol(kernel_.name));
    for (size_t i = 0; i < kernel_.buffers.size(); ++i) {
      if (kernel_.buffers[i].role == BufferRole::kLocal) continue;
      if (i > 0) write(", ");
      declare(BufferId(i));
    }
    write(")");
    if (!canonical_ && kernel_.flops != 0) write(" flops={}", kernel_.flops);
    write(" {{\n");
    depth_ = 1;
    for (size_t i = 0; i < kernel_.buffers.size(); ++i) {
      if (kernel_.buffers[i].role != BufferRole::kLocal) continue;
      indent();
      declare(BufferId(i));
      write("\n");
    }
    block(kernel_.body);
    write("}}\n");
    return std::move(out_);
  }

  std::string expr_text(ExprId id) {
    expr(id);
    return std::move(out_);
  }

  std::string affine_text(const Affine& value) {
    affine(value);
    return std::move(out_);
  }

 private:
  template <class... Args>
  void write(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  void indent() { out_.append(depth_ * 2, ' '); }

  static std::string symbol(const std::string& name) {
    return is_plain_word(name) ? name : quote(name);
  }
  std::string name(BufferId id) const {
    return canonical_ ? fmt::format("b{}", id.index) : buffers_[id.index];
  }
  std::string name(VarId id) {
    return canonical_ ? fmt::format("i{}", number(var_numbers_, id.index)) : vars_[id.index];
  }
  std::string name(LocalId id) {
    return canonical_ ? fmt::format("%{}", number(local_numbers_, id.index))
                      : "%" + locals_[id.index];
  }
  /// In the order in which they appear, so that the order in which they were made does not matter.
  static size_t number(std::unordered_map<size_t, size_t>& numbers, size_t index) {
    return numbers.emplace(index, numbers.size()).first->second;
  }

  void declare(BufferId id) {
    const Buffer& b = kernel_.buffer(id);
    write("{}: {} {}", name(id), word_of(kRoleWords, b.role),
          to_string(TensorType{b.dtype, b.shape}));
    if (b.may_alias) write(" alias");
    if (canonical_ || b.alignment != dtype_bytes(b.dtype)) write(" align={}", b.alignment);
  }

  void affine(const Affine& value) {
    bool first = true;
    for (const auto& [var, coefficient] : value.terms) {
      if (!first) out_ += coefficient < 0 ? " - " : " + ";
      const int64_t shown = first || coefficient > 0 ? coefficient : -coefficient;
      if (shown != 1) write("{}*", shown);
      write("{}", name(var));
      first = false;
    }
    if (first) {
      write("{}", value.offset);
    } else if (value.offset != 0) {
      write(" {} {}", value.offset < 0 ? '-' : '+',
            value.offset < 0 ? -value.offset : value.offset);
    }
  }

  void place(BufferId buffer, const Affine& index, ExprId dynamic) {
    write("{}[", name(buffer));
    if (!dynamic.valid() || !index.is_constant() || index.offset != 0) affine(index);
    if (dynamic.valid()) {
      if (!index.is_constant() || index.offset != 0) write(" + ");
      expr(dynamic);
    }
    write("]");
  }

  void call(std::string_view function, const Expr& e) {
    write("{}(", function);
    for (size_t i = 0; i < e.args.size() && e.args[i].valid(); ++i) {
      if (i > 0) write(", ");
      expr(e.args[i]);
    }
    if (e.imm != 0) write(", {}", e.imm);
    write(")");
  }

  void scalar(const Expr& e) {
    if (e.op == ScalarOp::kCast) return call(dtype_name(e.dtype), e);
    const std::string_view sign = word_of(kInfixWords, e.op);
    if (sign.empty()) return call(scalar_op_name(e.op), e);
    write("(");
    expr(e.args[0]);
    write(" {} ", sign);
    expr(e.args[1]);
    write(")");
  }

  void expr(ExprId id) {
    const Expr& e = kernel_.expr(id);
    untyped(e);
    if (e.dtype != implied_dtype(kernel_, e)) write(":{}", dtype_name(e.dtype));
  }

  void untyped(const Expr& e) {
    switch (e.kind) {
      case ExprKind::kConst:
        if (canonical_) {
          write("{:a}", e.value);
        } else {
          write("{}", element_text(e.value, e.dtype));
        }
        return;
      case ExprKind::kIndex:
        write("(");
        affine(e.index);
        write(")");
        return;
      case ExprKind::kLoad:
        return place(e.buffer, e.index, e.args[0]);
      case ExprKind::kLocal:
        write("{}", name(e.local));
        return;
      case ExprKind::kScalar:
        return scalar(e);
      case ExprKind::kFloorDiv:
        return call("floor_div", e);
      case ExprKind::kFloorMod:
        return call("floor_mod", e);
      case ExprKind::kGuard:
        return call("guard", e);
      case ExprKind::kRandom:
        return call("random", e);
    }
    GRADC_UNREACHABLE();
  }

  void block(const Block& body) {
    for (const Stmt& stmt : body) {
      indent();
      std::visit([this](const auto& s) { statement(s); }, stmt);
    }
  }

  void nested(const Block& body) {
    write(" {{\n");
    ++depth_;
    block(body);
    --depth_;
    indent();
    write("}}\n");
  }

  void statement(const Let& s) {
    const Local& local = kernel_.locals[s.local.index];
    write("{} {}: {} = ", local.mutable_ ? "var" : "let", name(s.local), dtype_name(local.dtype));
    expr(s.expr);
    write("\n");
  }

  void statement(const Accumulate& s) {
    const std::string_view sign = s.factor.valid() ? kFusedWord : word_of(kAccumulateWords, s.op);
    write("{} {} ", name(s.local), sign);
    expr(s.expr);
    if (s.factor.valid()) {
      write(", ");
      expr(s.factor);
    }
    write("\n");
  }

  void statement(const Store& s) {
    place(s.buffer, s.index, s.dynamic);
    write(" {} ", s.add ? "+=" : "=");
    expr(s.expr);
    write("\n");
  }

  void below(std::string_view word, ExprId limit) {
    if (!limit.valid()) return;
    write(" {}=", word);
    expr(limit);
  }

  void statement(const std::unique_ptr<For>& s) {
    write("{} {} in {}..{}", word_of(kLoopWords, s->kind), name(s->var), s->begin, s->end);
    below("below", s->below);
    if (s->grain != 1) write(" grain={}", s->grain);
    if (s->sums != SumOrder::kSequence) write(" sums={}", word_of(kOrderWords, s->sums));
    if (s->ahead) write(" ahead");
    nested(s->body);
  }

  void statement(const std::unique_ptr<If>& s) {
    write("if ");
    expr(s->condition);
    nested(s->body);
  }

  void dims(std::string_view label, const std::vector<ContractDim>& list) {
    if (list.empty()) return;
    write(" {}=(", label);
    for (size_t i = 0; i < list.size(); ++i)
      write("{}{}:{}", i > 0 ? ", " : "", name(list[i].var), list[i].extent);
    write(")");
  }

  void statement(const std::unique_ptr<Contract>& s) {
    write("contract{}", s->parallel ? "" : " serial");
    dims("batch", s->batch);
    dims("m", s->m);
    dims("n", s->n);
    dims("k", s->k);
    below("m_below", s->m_below);
    below("k_below", s->k_below);
    write(" a=");
    expr(s->a);
    write(" b=");
    expr(s->b);
    write(" acc={}: {}", name(s->acc), dtype_name(kernel_.locals[s->acc.index].dtype));
    nested(s->epilogue);
  }

  const Kernel& kernel_;
  const bool canonical_;
  PlainNames buffers_, vars_, locals_;
  std::unordered_map<size_t, size_t> var_numbers_, local_numbers_;
  std::string out_;
  size_t depth_ = 0;
};

}  // namespace

std::string to_string(const Kernel& kernel) {
  return Printer(kernel, false).kernel();
}

std::string to_string(const Kernel& kernel, ExprId expr) {
  return Printer(kernel, false).expr_text(expr);
}

std::string to_string(const Kernel& kernel, const Affine& affine) {
  return Printer(kernel, false).affine_text(affine);
}

std::string canonical_text(const Kernel& kernel) {
  return Printer(kernel, true).kernel();
}

}  // namespace gradc::kernel
