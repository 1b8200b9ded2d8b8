// Recursive descent over tokens, one statement a line; after an error reading goes on at the next
// line.
#include "codegen/kernel/kernel_parser.h"

#include "codegen/kernel/expr_parser.h"
#include "codegen/kernel/kernel_words.h"

namespace gradc::kernel {

namespace {

constexpr int kMaxBlocks = 64;  // in one another

class Parser : private ExprParser {
 public:
  Parser(std::string_view text, const std::string& file, size_t offset, DiagnosticSink& sink)
      : ExprParser(text, file, offset, sink) {}

  std::vector<Kernel> file();

 private:
  bool kernel();
  bool header();
  bool buffer();
  void block(Block& out, int depth);
  bool statement(Block& out, int depth);
  bool body(Block& out, int depth, bool readable);
  bool let(Block& out);
  bool accumulate(Block& out);
  bool store(Block& out);
  bool loop(LoopKind kind, For& out);
  bool contract(Contract& out);
  bool dims(std::string_view label, std::vector<ContractDim>& out);
  bool declare_local(const std::string& name, DType dtype, bool is_mutable, LocalId& out);
  bool end_of_line() { return at_line_end() || expected("the end of the line"); }
};

// ---- statements --------------------------------------------------------------------------------

bool Parser::declare_local(const std::string& name, DType dtype, bool is_mutable, LocalId& out) {
  const auto [it, fresh] = locals_.emplace(name, LocalId(kernel_.locals.size()));
  out = it->second;
  if (fresh) {
    kernel_.locals.push_back({name, dtype, is_mutable});
    return true;
  }
  const Local& local = kernel_.locals[out.index];
  if (local.dtype == dtype && local.mutable_ == is_mutable) return true;
  return fail(peek(), "%{} was defined as {} {} before", name, local.mutable_ ? "var" : "let",
              dtype_name(local.dtype));
}

/// let %x: f32 = expr
bool Parser::let(Block& out) {
  const bool is_mutable = take().text == "var";
  if (peek().kind != TokenKind::kLocal) return expected("a local such as %x");
  const std::string name = take().text;
  DType dtype{};
  Let let;
  // The expression comes first: it cannot read what is defined here for the first time.
  if (!expect(":") || !this->dtype(dtype) || !expect("=") || !expr(let.expr)) return false;
  if (!declare_local(name, dtype, is_mutable, let.local)) return false;
  out.emplace_back(let);
  return true;
}

/// %acc += expr, or %acc fma= expr, expr
bool Parser::accumulate(Block& out) {
  const Token name = take();
  const auto found = locals_.find(name.text);
  if (found == locals_.end()) return fail(name, "%{} is not defined above", name.text);
  std::string sign = peek().text;
  if (peek().kind == TokenKind::kWord && peek(1).is("=")) sign += "=";
  const bool fused = sign == kFusedWord;
  const auto op = fused ? std::optional(AccumulateOp::kSum) : find_word(kAccumulateWords, sign);
  if (!op) return expected("+=, *=, max=, min= or fma=");
  if (take().kind == TokenKind::kWord) take();
  Accumulate accumulate{found->second, *op, {}, {}};
  if (!expr(accumulate.expr)) return false;
  if (fused && (!expect(",") || !expr(accumulate.factor))) return false;
  out.emplace_back(accumulate);
  return true;
}

/// x[i] = expr
bool Parser::store(Block& out) {
  Store store;
  if (!place(store.buffer, store.index, store.dynamic)) return false;
  store.add = accept("+=");
  if ((!store.add && !expect("=")) || !expr(store.expr)) return false;
  out.emplace_back(std::move(store));
  return true;
}

/// i in 0..8 below=%count grain=4 sums=groups ahead
bool Parser::loop(LoopKind kind, For& out) {
  take();
  out.kind = kind;
  if (!declare_var(out.var) || !expect_word("in") || !integer(out.begin) || !expect("..") ||
      !integer(out.end))
    return false;
  if (accept_word("below") && (!expect("=") || !expr(out.below))) return false;
  if (accept_word("grain") && (!expect("=") || !integer(out.grain))) return false;
  if (accept_word("sums")) {
    if (!expect("=")) return false;
    const auto order = find_word(kOrderWords, peek().text);
    if (!order) return expected("groups or lanes");
    out.sums = *order;
    take();
  }
  out.ahead = accept_word("ahead");
  return true;
}

bool Parser::dims(std::string_view label, std::vector<ContractDim>& out) {
  if (!accept_word(label)) return true;
  if (!expect("=") || !expect("(")) return false;
  do {
    ContractDim& dim = out.emplace_back();
    if (!declare_var(dim.var) || !expect(":") || !integer(dim.extent)) return false;
  } while (accept(","));
  return expect(")");
}

/// contract m=(i:64) n=(j:10) k=(p:128) a=expr b=expr acc=%acc: f32
bool Parser::contract(Contract& out) {
  take();
  out.parallel = !accept_word("serial");
  if (!dims("batch", out.batch) || !dims("m", out.m) || !dims("n", out.n) || !dims("k", out.k))
    return false;
  if (accept_word("m_below") && (!expect("=") || !expr(out.m_below))) return false;
  if (accept_word("k_below") && (!expect("=") || !expr(out.k_below))) return false;
  if (!expect_word("a") || !expect("=") || !expr(out.a)) return false;
  if (!expect_word("b") || !expect("=") || !expr(out.b)) return false;
  if (!expect_word("acc") || !expect("=")) return false;
  if (peek().kind != TokenKind::kLocal) return expected("a local such as %acc");
  const std::string name = take().text;
  DType dtype{};
  return expect(":") && this->dtype(dtype) && declare_local(name, dtype, false, out.acc);
}

/// The block behind a "{"; also where its first line could not be read, so that what follows is
/// not taken for something else.
bool Parser::body(Block& out, int depth, bool readable) {
  if (!readable) {
    skip_line();
    if (!after_brace()) return false;
  } else if (!expect("{") || !end_of_line()) {
    return false;
  }
  if (depth >= kMaxBlocks) return fail(peek(), "blocks are nested more than {} deep", +kMaxBlocks);
  block(out, depth + 1);
  return expect("}") && readable;
}

bool Parser::statement(Block& out, int depth) {
  const Token& first = peek();
  const bool stores = first.kind == TokenKind::kWord && peek(1).is("[");
  if (stores) return store(out);
  if (first.kind == TokenKind::kLocal) return accumulate(out);
  if (first.is_word("let") || first.is_word("var")) return let(out);
  if (first.is_word("if")) {
    take();
    auto branch = std::make_unique<If>();
    const bool readable = expr(branch->condition);
    if (!body(branch->body, depth, readable)) return false;
    out.emplace_back(std::move(branch));
    return true;
  }
  if (first.is_word("contract")) {
    auto contraction = std::make_unique<Contract>();
    const bool readable = contract(*contraction);
    if (!body(contraction->epilogue, depth, readable)) return false;
    out.emplace_back(std::move(contraction));
    return true;
  }
  const auto kind =
      first.kind == TokenKind::kWord ? find_word(kLoopWords, first.text) : std::nullopt;
  if (!kind) {
    Block ignored;
    return expected("a statement") || body(ignored, depth, /*readable=*/false);
  }
  auto nested = std::make_unique<For>();
  const bool readable = loop(*kind, *nested);
  if (!body(nested->body, depth, readable)) return false;
  out.emplace_back(std::move(nested));
  return true;
}

void Parser::block(Block& out, int depth) {
  for (skip_blank_lines(); !at_end() && !peek().is("}"); skip_blank_lines()) {
    if (!statement(out, depth) || !end_of_line()) skip_line();
  }
}

// ---- kernels -----------------------------------------------------------------------------------

/// x: in f32[64x10] alias align=64
bool Parser::buffer() {
  if (peek().kind != TokenKind::kWord) return expected("the name of a buffer");
  const Token name = take();
  Buffer buffer;
  buffer.name = name.text;
  if (!expect(":")) return false;
  const auto role =
      peek().kind == TokenKind::kWord ? find_word(kRoleWords, peek().text) : std::nullopt;
  if (!role) return expected("in, out, inout or local");
  take();
  buffer.role = *role;
  if (!type(buffer.dtype, buffer.shape)) return false;
  buffer.may_alias = accept_word("alias");
  buffer.alignment = dtype_bytes(buffer.dtype);
  if (accept_word("align") && !(expect("=") && integer(buffer.alignment))) return false;
  if (!buffers_.emplace(name.text, BufferId(kernel_.buffers.size())).second)
    return fail(name, "there are two buffers \"{}\"", name.text);
  kernel_.buffers.push_back(std::move(buffer));
  return true;
}

bool Parser::header() {
  if (!expect_word("kernel")) return false;
  if (peek().kind != TokenKind::kSymbol) return expected("a name such as @dense");
  kernel_.name = take().text;
  if (!expect("(")) return false;
  for (bool first = true; !peek().is(")"); first = false) {
    if ((!first && !expect(",")) || !buffer()) return false;
    if (kernel_.buffers.back().role == BufferRole::kLocal)
      return expected("a local buffer in the kernel, not among its arguments");
  }
  take();
  return !accept_word("flops") || (expect("=") && integer(kernel_.flops));
}

bool Parser::kernel() {
  begin_kernel();
  const bool readable = header();
  if (!readable) {
    skip_line();
    if (!after_brace()) return false;
  } else if (!expect("{") || !end_of_line()) {
    return false;
  }
  for (skip_blank_lines(); peek(1).is(":") && peek().kind == TokenKind::kWord; skip_blank_lines()) {
    if (!buffer() || !end_of_line()) {
      skip_line();
    } else if (kernel_.buffers.back().role != BufferRole::kLocal) {
      expected("arguments in the first line of the kernel");
    }
  }
  block(kernel_.body, 0);
  return expect("}") && end_of_line();
}

std::vector<Kernel> Parser::file() {
  std::vector<Kernel> kernels;
  for (skip_blank_lines(); !at_end(); skip_blank_lines()) {
    if (kernel()) {
      kernels.push_back(std::move(kernel_));
    } else {
      skip_line();
    }
  }
  return kernels;
}

}  // namespace

Result<Kernel> parse_kernel(std::string_view text, const std::string& file, size_t begin) {
  DiagnosticSink sink;
  std::vector<Kernel> kernels = Parser(text, file, begin, sink).file();
  if (sink.has_errors()) return Failure(sink.take());
  if (kernels.size() != 1) {
    return make_error(DiagKind::kIrSyntax, Place{file, {}, false, begin, begin + 1},
                      "expected one kernel, found {}", kernels.size());
  }
  return std::move(kernels.front());
}

Result<std::vector<Kernel>> parse_kernels(std::string_view text, const std::string& file) {
  DiagnosticSink sink;
  std::vector<Kernel> kernels = Parser(text, file, 0, sink).file();
  if (sink.has_errors()) return Failure(sink.take());
  return kernels;
}

}  // namespace gradc::kernel
