// Questions about a parsed model.
#include "frontend/model.h"

#include "frontend/families.h"
#include "frontend/layer_def.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace gradc {

DType Layer::seen(DType dtype) const {
  return is_float(dtype) && def != &raw_op_layer() ? policy.compute : dtype;
}

const Call* Model::call_of(ModelValue value) const {
  if (value < inputs.size()) return nullptr;
  const auto next = std::upper_bound(calls.begin(), calls.end(), value,
                                     [](ModelValue v, const Call& call) { return v < call.first; });
  return &*std::prev(next);
}

const TensorSpec& Model::spec(ModelValue value) const {
  const Call* call = call_of(value);
  return call == nullptr ? inputs[value].spec : call->results[value - call->first].spec;
}

bool Model::masked(ModelValue value) const {
  const Call* call = call_of(value);
  return call != nullptr && call->results[value - call->first].masked;
}

const std::string& Model::value_name(ModelValue value) const {
  const Call* call = call_of(value);
  return call == nullptr ? inputs[value].name : call->results[value - call->first].name;
}

TensorSpec Model::target_spec(const OutputLoss& loss) const {
  TensorSpec target = spec(outputs[loss.output].value);
  if (is_float(target.dtype)) target.dtype = accumulator_dtype(target.dtype);
  if (loss_target(loss.loss) != TargetKind::kSameShape) target.dtype = DType::kI32;
  target.shape = loss_target_shape(loss.loss, std::move(target.shape));
  return target;
}

namespace {
int64_t count_elements(const Model& model, bool trainable) {
  int64_t total = 0;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& parameter : layer.parameters) {
      if (parameter.trainable != trainable || parameter.carried) continue;
      int64_t count = 1;
      for (const int64_t extent : parameter.shape)
        count *= extent;
      total += count;
    }
  }
  return total;
}
}  // namespace

int64_t Model::num_trainable() const {
  return count_elements(*this, true);
}
int64_t Model::num_not_trainable() const {
  return count_elements(*this, false);
}

const DataRule* Model::data_rule(std::string_view rule_name, bool is_target) const {
  for (const DataRule& rule : data) {
    if (rule.name == rule_name && rule.is_target == is_target) return &rule;
  }
  return nullptr;
}

}  // namespace gradc
