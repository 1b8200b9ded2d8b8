// Layers that multiply by a matrix or look rows up in one: dense, embedding.
#include "frontend/layer_def.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kDenseOptions[] = {
    {.name = "units", .type = OptionType::kInt, .doc = "size of the result's last axis", .min = 1},
    GRADC_ACTIVATION_OPTION,
    GRADC_KERNEL_AND_BIAS_OPTIONS,
    {.name = "tied_to",
     .type = OptionType::kString,
     .default_json = "null",
     .doc = "the layer whose matrix, transposed, is the kernel: an embedding, or another dense "
            "layer; trained and saved there, once"},
};

/// The kernel, unless it is another layer's.
bool infer_kernel(LayerInferArgs& a, int64_t in, int64_t units) {
  if (!a.layer.tie) {
    a.parameter("kernel", {in, units});
    return true;
  }
  a.tied_shape = {units, in};
  for (const char* option : {"kernel_regularizer", "kernel_constraint"}) {
    if (a.options().component(option) == nullptr) continue;
    a.sink
        .error(DiagKind::kBadValue, a.option_place(option),
               "{} has no kernel of its own for {}: it is tied to \"{}\"", a.who(), option,
               a.options().text("tied_to"))
        .with_help("give it to that layer");
    return false;
  }
  return true;
}

bool infer_dense(LayerInferArgs& a) {
  if (a.shape().empty())
    return a.mismatch("needs an input of at least one axis beside the batch, got a scalar");
  const int64_t units = a.options().integer("units");
  if (!infer_kernel(a, a.shape().back(), units)) return false;
  if (a.options().flag("use_bias")) a.parameter("bias", {units});
  a.output.shape = a.shape();
  a.output.shape.back() = units;
  return infer_activated(a);
}

// [batch, ..., in] is one matrix with batch * ... rows.
Val build_dense(const LayerBuildArgs& a) {
  const Val x = a.in();
  const Val kernel = a.parameter("kernel");
  const int64_t in = kernel.shape()[0];
  const int64_t units = kernel.shape()[1];
  const bool flat = x.rank() == 2;
  Val y = flat ? x : reshape(x, Shape{x.type().num_elements() / in, in});
  y = matmul(y, kernel);
  if (a.options().flag("use_bias")) y = y + broadcast(a.parameter("bias"), y.shape(), {1});
  if (!flat) {
    std::vector<int64_t> dims = x.shape().to_vector();
    dims.back() = units;
    y = reshape(y, Shape(dims));
  }
  return apply_activation(a.options().component("activation"), y);
}

constexpr OptionDef kEmbeddingOptions[] = {
    {.name = "input_dim",
     .type = OptionType::kInt,
     .doc = "number of rows; indices are below it",
     .min = 1},
    {.name = "output_dim", .type = OptionType::kInt, .doc = "length of a row", .min = 1},
    GRADC_INITIALIZER("embeddings_initializer", "random_uniform"),
    GRADC_REGULATED("embeddings"),
    GRADC_ACTIVITY_REGULARIZER,
    {.name = "mask_zero",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "steps of index 0 do not count in the layers that follow"},
    GRADC_SPARSE_OPTION,
};

bool infer_embedding(LayerInferArgs& a) {
  if (!is_integer(a.inputs[0].dtype)) {
    a.sink
        .error(DiagKind::kTypeMismatch, a.place, "{} looks up integer indices, but its input is {}",
               a.who(), to_string(a.inputs[0]))
        .with_help("give the model's input \"dtype\": \"int32\"");
    return false;
  }
  const int64_t rows = a.options().integer("input_dim");
  const int64_t width = a.options().integer("output_dim");
  a.parameter("embeddings", {rows, width});
  a.parameters.back().by_rows = a.options().flag("sparse");
  a.output.shape = a.shape();
  a.output.shape.push_back(width);
  a.output_masked = a.options().flag("mask_zero");
  if (a.output_masked && a.shape().size() != 1)
    return a.mismatch("has mask_zero, which needs an input [steps] beside the batch, got {}",
                      to_string(a.inputs[0]));
  return true;
}

Val build_embedding(const LayerBuildArgs& a) {
  return a.builder.add(Op::kGather, {a.parameter("embeddings"), a.in()});
}

Val embedding_mask(const LayerBuildArgs& a) {
  return not_equal(a.in(), a.builder.splat(0.0, a.in().type()));
}

}  // namespace

extern constinit const LayerDef kDense{
    .base = {.type = "dense",
             .summary = "y = activation(x kernel + bias) over the last axis.",
             .options = kDenseOptions},
    .table = "kernel",
    .masks = MaskRule::kCarries,
    .infer = infer_dense,
    .build = build_dense,
};

extern constinit const LayerDef kEmbedding{
    .base = {.type = "embedding",
             .summary = "Each integer index becomes a trained row.",
             .options = kEmbeddingOptions},
    .integers = true,
    .table = "embeddings",
    .masks = MaskRule::kKnows,
    .infer = infer_embedding,
    .build = build_embedding,
    .build_mask = embedding_mask,
};

}  // namespace gradc::layers
