#include "frontend/batch_check.h"

#include "frontend/layer_def.h"

#include <algorithm>

namespace gradc {
namespace {

class BatchCheck {
 public:
  BatchCheck(const Model& model, int64_t batch_size, DiagnosticSink& sink)
      : model_(model), batch_size_(batch_size), sink_(sink) {}

  void run() {
    const size_t errors = sink_.all().size();
    for (const ModelInput& input : model_.inputs)
      check_size(input.name, input.spec, input.place);
    for (const Call& call : model_.calls) {
      for (const CallResult& result : call.results)
        check_size(result.name, result.spec, call.place);
    }
    if (sink_.all().size() != errors) return;
    // The model was read for its own batch size.
    if (model_.training && model_.training->batch_size == batch_size_) return;
    for (const Call& call : model_.calls)
      infer_again(call);
  }

 private:
  void check_size(const std::string& name, const TensorSpec& spec, const Place& place) {
    int64_t bytes = 0;
    const auto elements = checked_product(spec.shape);
    if (elements && !__builtin_mul_overflow(*elements, batch_size_, &bytes) &&
        !__builtin_mul_overflow(bytes, dtype_bytes(spec.dtype), &bytes) &&
        bytes <= kMaxTensorBytes) {
      return;
    }
    sink_.error(DiagKind::kTooLarge, place,
                "\"{}\" of shape {} for {} examples is too large: at most {} bytes", name,
                shape_text(spec.shape), batch_size_, kMaxTensorBytes);
  }

  TensorSpec seen(const Layer& layer, ModelValue value) const {
    TensorSpec spec = model_.spec(value);
    spec.dtype = layer.seen(spec.dtype);
    return spec;
  }

  /// The layer's own rule for this batch. What it makes of an example must be the same.
  void infer_again(const Call& call) {
    const Layer& layer = model_.layers[call.layer];
    std::vector<TensorSpec> inputs;
    std::vector<bool> masks;
    for (const ModelValue value : call.inputs) {
      inputs.push_back(seen(layer, value));
      masks.push_back(model_.masked(value));
    }
    std::vector<std::optional<TensorSpec>> named;
    for (const auto& value : call.named)
      named.push_back(value ? std::optional(seen(layer, *value)) : std::nullopt);
    const bool masked = std::find(masks.begin(), masks.end(), true) != masks.end();
    LayerInferArgs args{.layer = layer,
                        .inputs = inputs,
                        .sink = sink_,
                        .place = call.place,
                        .batch_size = batch_size_,
                        .masked = masked,
                        .masks = std::move(masks),
                        .named = std::move(named),
                        .output = {},
                        .parameters = {}};
    if (!infer_layer(args)) return;
    const TensorSpec& inferred = call.output();
    if (args.output.shape != inferred.shape)
      args.mismatch("gives {} for each of {} examples, but {} for other batches",
                    shape_text(args.output.shape), batch_size_, shape_text(inferred.shape));
  }

  const Model& model_;
  int64_t batch_size_;
  DiagnosticSink& sink_;
};

}  // namespace

void check_batch_size(const Model& model, int64_t batch_size, DiagnosticSink& sink) {
  BatchCheck(model, batch_size, sink).run();
}

}  // namespace gradc
