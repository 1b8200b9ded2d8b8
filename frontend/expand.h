// From the JSON "layers" list to flat entries: names (Keras's automatic ones too), blocks repeated,
// references as written. Nothing is connected yet.
#pragma once

#include "frontend/json_reader.h"
#include "frontend/model.h"

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gradc {

struct Reference {
  std::string name;  ///< full name (with the scope's prefix)
  std::string written;
  Place place;
};

enum class EntryType : uint8_t { kLayer, kShared };

/// One element of "layers" after expansion.
struct LayerEntry {
  EntryType type = EntryType::kLayer;
  std::string name = {};    ///< full: "encoder_0/dense"
  std::string prefix = {};  ///< of its scope: "encoder_0/"
  JsonCursor json;
  std::string type_name = {};                        ///< "dense"
  const LayerDef* def = nullptr;                     ///< null: unknown, already reported
  std::vector<Reference> inputs = {};                ///< empty: nothing comes before it
  std::vector<std::optional<Reference>> named = {};  ///< as LayerDef::named_inputs
  std::optional<Reference> shared_with = {};         ///< kShared: the layer that is called again
};

/// All names of a model, before they are connected.
struct Expansion {
  DType input_dtype = DType::kF32;  ///< of inputs that name none
  std::vector<ModelInput> inputs;
  std::vector<LayerEntry> entries;
  std::map<std::string, std::string> aliases;  ///< block inputs and results -> what they stand for
  std::map<std::string, Place> declared;       ///< every name that can be referred to
  std::string last;                            ///< name of the last element of "layers"
  std::deque<OwnJson> rewritten;               ///< block layers with their parameters filled in

  /// An input or an entry, and which of its results.
  struct Meaning {
    std::string name;    ///< empty: aliases form a circle
    std::string result;  ///< empty: the first
  };
  /// Follows aliases; nothing when the name is unknown. Behind the last dot of a name that is none
  /// stands a result: "lstm.state_h".
  std::optional<Meaning> resolve(const std::string& name);

 private:
  std::string follow(const std::string& name);
};

/// Reads "inputs", "layers" and "blocks" of the top-level object.
void expand_layers(ObjectReader& top, Expansion& expansion);

}  // namespace gradc
