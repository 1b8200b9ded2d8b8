#include "frontend/dtype_policy.h"

#include "support/suggest.h"

namespace gradc {

std::optional<DTypePolicy> read_policy(DiagnosticSink& sink, const JsonCursor& at) {
  const auto name = read_string(sink, at);
  if (!name) return std::nullopt;
  if (*name == "float32") return DTypePolicy{};
  if (*name == "float64") return DTypePolicy{DType::kF64, std::nullopt};
  if (*name == "mixed_bfloat16") return DTypePolicy{DType::kF32, DType::kBF16};
  if (*name == "mixed_float16") {
    sink.error(DiagKind::kUnsupported, at.place(),
               "\"mixed_float16\" needs a loss scale, or small gradients become zero")
        .with_help("\"mixed_bfloat16\" has f32's range and needs none");
    return std::nullopt;
  }
  if (*name == "float16" || *name == "bfloat16") {
    sink.error(DiagKind::kUnsupported, at.place(),
               "\"{}\" keeps parameters in 16 bits, which lose small steps", *name)
        .with_help("\"mixed_bfloat16\" multiplies in 16 bits and keeps parameters in f32");
    return std::nullopt;
  }
  static const NameIndex known(split_words(kPolicyNames));
  sink.error(DiagKind::kBadValue, at.place(), "unknown dtype policy \"{}\"", *name)
      .with_help(known.suggestion(*name));
  return std::nullopt;
}

}  // namespace gradc
