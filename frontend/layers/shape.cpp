// Layers that only move or repeat elements: flatten, reshape, permute, repeat_vector.
#include "frontend/layer_def.h"

#include <algorithm>

namespace gradc::layers {
namespace {

int64_t product(const Ints& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape)
    count *= extent;  // checked when the shape was inferred
  return count;
}

Shape with_batch(const LayerBuildArgs& a, const Ints& shape) {
  Ints dims = {a.batch()};
  dims.insert(dims.end(), shape.begin(), shape.end());
  return Shape(dims);
}

constexpr OptionDef kFlattenOptions[] = {
    {.name = kDataFormat,
     .type = OptionType::kEnum,
     .default_json = "\"channels_last\"",
     .doc = "channels_first: axes are [channels, ...], and channels are moved behind the others "
            "first",
     .or_null = true,
     .choices = "channels_last channels_first"},
};

bool infer_flatten(LayerInferArgs& a) {
  a.output = {a.inputs[0].dtype, {product(a.shape())}};
  return true;
}

constexpr OptionDef kReshapeOptions[] = {
    {.name = "target_shape",
     .type = OptionType::kInts,
     .doc = "shape without the batch; one extent may be -1",
     .min = -1},
};

/// The target shape with -1 filled in; empty optional when the counts do not match.
std::optional<Ints> resolve_target(const Ints& target, int64_t count) {
  Ints shape = target;
  int64_t known = 1;
  int64_t free = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      if (free >= 0) return std::nullopt;
      free = static_cast<int64_t>(i);
    } else if (__builtin_mul_overflow(known, shape[i], &known)) {
      return std::nullopt;
    }
  }
  if (free >= 0) {
    if (known == 0 || count % known != 0) return std::nullopt;
    shape[static_cast<size_t>(free)] = count / known;
  } else if (known != count) {
    return std::nullopt;
  }
  return shape;
}

bool infer_reshape(LayerInferArgs& a) {
  const Ints& target = a.options().ints("target_shape");
  const int64_t count = product(a.shape());
  const auto shape = resolve_target(target, count);
  if (!shape) {
    return a.mismatch(
        "cannot turn its input {} of {} elements into target_shape {}{}", to_string(a.inputs[0]),
        count, shape_text(target),
        std::count(target.begin(), target.end(), -1) > 1 ? ", which has -1 more than once" : "");
  }
  a.output = {a.inputs[0].dtype, *shape};
  return true;
}

constexpr OptionDef kPermuteOptions[] = {
    {.name = "dims",
     .type = OptionType::kInts,
     .doc = "axis i of the result is axis dims[i] of the input; counted from 1, without the batch",
     .min = 1},
};

bool infer_permute(LayerInferArgs& a) {
  const Ints& dims = a.options().ints("dims");
  Ints sorted = dims;
  std::sort(sorted.begin(), sorted.end());
  bool permutation = sorted.size() == a.shape().size();
  for (size_t i = 0; permutation && i < sorted.size(); ++i)
    permutation = sorted[i] == static_cast<int64_t>(i) + 1;
  if (!permutation) {
    return a.mismatch("has dims {}, which are no permutation of 1 to {} for its input {}",
                      shape_text(dims), a.shape().size(), to_string(a.inputs[0]));
  }
  a.output.dtype = a.inputs[0].dtype;
  for (const int64_t axis : dims)
    a.output.shape.push_back(a.shape()[static_cast<size_t>(axis - 1)]);
  return true;
}

Val build_permute(const LayerBuildArgs& a) {
  Ints perm = {0};
  const Ints& dims = a.options().ints("dims");
  perm.insert(perm.end(), dims.begin(), dims.end());
  return transpose(a.in(), perm);
}

constexpr OptionDef kRepeatOptions[] = {
    {.name = "n", .type = OptionType::kInt, .doc = "number of steps", .min = 1},
};

bool infer_repeat(LayerInferArgs& a) {
  if (a.shape().size() != 1)
    return a.mismatch("repeats [features], got {}", to_string(a.inputs[0]));
  a.output = {a.inputs[0].dtype, {a.options().integer("n"), a.shape()[0]}};
  return true;
}

Val build_repeat(const LayerBuildArgs& a) {
  const Shape shape = {a.batch(), a.options().integer("n"), a.in().shape()[1]};
  return broadcast(a.in(), shape, {0, 2});
}

}  // namespace

extern constinit const LayerDef kFlatten{
    .base = {.type = "flatten",
             .summary = "All axes but the batch become one.",
             .options = kFlattenOptions},
    .integers = true,
    .infer = infer_flatten,
    .build =
        [](const LayerBuildArgs& a) {
          return reshape(a.in(), with_batch(a, {product(a.example_shape())}));
        },
};

extern constinit const LayerDef kReshape{
    .base = {.type = "reshape",
             .summary = "Another shape for the same elements.",
             .options = kReshapeOptions},
    .integers = true,
    .infer = infer_reshape,
    .build =
        [](const LayerBuildArgs& a) {
          const auto shape =
              resolve_target(a.options().ints("target_shape"), product(a.example_shape()));
          return reshape(a.in(), with_batch(a, shape.value()));
        },
};

extern constinit const LayerDef kPermute{
    .base = {.type = "permute", .summary = "Axes in another order.", .options = kPermuteOptions},
    .integers = true,
    .infer = infer_permute,
    .build = build_permute,
};

extern constinit const LayerDef kRepeatVector{
    .base = {.type = "repeat_vector",
             .summary = "Steps that are all the input.",
             .options = kRepeatOptions},
    .integers = true,
    .infer = infer_repeat,
    .build = build_repeat,
};

}  // namespace gradc::layers
