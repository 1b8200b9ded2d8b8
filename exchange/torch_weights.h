// Weights of PyTorch, in a safetensors file under its own names ("features.0.weight"): its modules
// are the layers, in order or by a map, and their tensors are turned as gradc's layers keep them,
// or back (torch_layout.h).
#pragma once

#include "frontend/model.h"
#include "runtime/safetensors.h"
#include "support/result.h"

#include <map>
#include <string>
#include <vector>

namespace gradc::exchange {

/// Whether the names in a file are PyTorch's ("fc.weight"), not gradc's ("fc/kernel").
bool has_torch_names(const rt::SafetensorsFile& file);

/// Layer -> module, from a JSON object {"conv": "features.0", ...}.
using ModuleMap = std::map<std::string, std::string>;
Result<ModuleMap> read_module_map(const std::string& path);

/// The tensors by gradc's names. An empty map takes the modules that are called as the layers, with
/// dots for slashes, if there is one for each; else the k-th module for the k-th layer with
/// parameters. `report` has a line for each tensor; all that does not fit is said at once.
Status assign_torch_weights(const Model& model, const std::string& path, rt::SafetensorsFile file,
                            const ModuleMap& map, rt::SafetensorsFile* out,
                            std::vector<std::string>* report);

/// The tensors that PyTorch's modules would have, from those by gradc's names: `map` says which
/// module a layer is; an empty one calls it as the layer, with dots for slashes. `report` as above.
/// What PyTorch has no tensors for is said at once.
Status torch_weights(const Model& model, const std::string& path, const rt::SafetensorsFile& file,
                     const ModuleMap& map, rt::SafetensorsFile* out,
                     std::vector<std::string>* report);

}  // namespace gradc::exchange
