// Layers while they are connected: what wiring.cpp finds out and model_parts.cpp takes over.
#pragma once

#include "frontend/expand.h"
#include "frontend/model.h"
#include "support/suggest.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gradc {

inline constexpr size_t kNone = SIZE_MAX;

/// An input of an entry: a model input or a result of another entry.
struct Source {
  bool is_input = false;
  size_t index = kNone;     ///< kNone: unknown name, already reported
  std::string result = {};  ///< its name; empty: the first
  size_t position = 0;      ///< of the result, known once the other entry is inferred
};

/// What names mean.
class References {
 public:
  References(Expansion& expansion, DiagnosticSink& sink);

  /// What a reference in a scope means; reports unknown names with the names of the same scope.
  Source resolve(const Reference& reference, const std::string& prefix);

 private:
  const NameIndex& names_in(const std::string& prefix);

  Expansion& expansion_;
  DiagnosticSink& sink_;
  std::map<std::string, size_t> inputs_;
  std::map<std::string, size_t> entries_;
  std::map<std::string, NameIndex> known_;  ///< by scope
};

struct Wired {
  Expansion& expansion;
  References& references;
  DiagnosticSink& sink;
  Model& model;  ///< has its inputs
  std::vector<Layer> layers = {};
  std::vector<size_t> layer_of = {};              ///< per entry; kNone: none, reported
  std::vector<std::vector<Source>> sources = {};  ///< per entry: its inputs, then its named ones
  std::vector<size_t> order = {};                 ///< of entries, topological
  std::vector<std::vector<CallResult>> results = {};  ///< per entry; empty: wrong, reported

  const LayerEntry& entry(size_t i) const { return expansion.entries[i]; }
  /// The position of a result of an inferred entry; reports a name that none of them has.
  bool find_result(Source& source, const Reference& reference);
};

/// Moves the layers that reach an output into the model, and its outputs.
void take_needed_parts(Wired& wired, const std::optional<JsonCursor>& outputs);

}  // namespace gradc
