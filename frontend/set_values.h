// Values of a model's description that are given beside its file, by their paths: --set.
#pragma once

#include "support/diagnostic.h"
#include "support/json.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// "training.optimizer.learning_rate=0.1". A path that begins with '/' is a JSON pointer. Elements
/// of a list go by their number or by their "name".
struct SetValue {
  std::string path;
  std::vector<std::string> steps;
  std::shared_ptr<const OwnJson> value;  ///< JSON, or else a text as it stands
};
using SetValues = std::vector<SetValue>;

/// Nothing for a text that is not of the form PATH=VALUE.
std::optional<SetValue> parse_set_value(std::string_view text);

/// Changes a document by those that are of it, and gives the others back: a file around another one
/// ("model") takes those whose first member it has. The last step may be a new member; what the
/// document does not have before is reported.
SetValues set_values(SetValues values, Json& document, const std::string& file,
                     DiagnosticSink& sink);

}  // namespace gradc
