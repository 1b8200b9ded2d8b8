// How PyTorch keeps the parameters of a layer: which tensors of a module hold one, and where its
// elements stand there. Said once, for both directions.
#pragma once

#include "frontend/model.h"
#include "runtime/array.h"

#include "exchange/flattened_image.h"

#include <string>
#include <utility>
#include <vector>

namespace gradc::exchange {

/// A part of a tensor of a module that holds a parameter, or a part of it.
struct TorchPart {
  std::string end;  ///< of the tensor's name: "weight", "in_proj_weight", "out_proj.bias"
  Ints dims;        ///< of the whole tensor
  int64_t begin = 0, count = 0;  ///< rows of its first axis that are the part; 0: all
  Ints view;                     ///< the elements under these extents ...
  Ints perm;                     ///< ... with axis perm[i] in place i, are the part's
  bool gru_gates = false;        ///< blocks of the last axis of `view` are z, r, h; there r, z, n
};

struct TorchLayout {
  std::vector<TorchPart> parts;  ///< one; two biases of a recurrent layer, behind each other or ...
  bool sums = false;             ///< ... to be added; written as the sum and zeros
};

/// Of one parameter of a layer; no parts where PyTorch has nothing that is it. `image`: of a layer
/// behind a flattened image, its shape, channels last.
TorchLayout torch_layout(const Layer& layer, const ParameterSpec& spec, const Ints& image);

/// Why PyTorch has no such layer though it has the parameters ("" where it may have one).
std::string torch_refusal(const Layer& layer);

/// A part of a parameter in f32, out of the whole tensor, which has the part's `dims`; and back
/// into it.
rt::Array take_part(const TorchPart& part, const rt::Array& tensor);
void put_part(const TorchPart& part, rt::Array values, rt::Array& tensor);

/// "rnn.weight_ih_l1_reverse" is "weight_ih_reverse" of the module "rnn.l1": the layers of nn.LSTM
/// and its like are modules of their own.
std::pair<std::string, std::string> split_torch_name(const std::string& name);
std::string join_torch_name(const std::string& module, const std::string& end);

}  // namespace gradc::exchange
