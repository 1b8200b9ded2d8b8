// The native model JSON (docs/schema.md) -> Model. Reports every problem of the file at once.
#pragma once

#include "frontend/json_reader.h"
#include "frontend/model.h"
#include "frontend/set_values.h"
#include "support/source_file.h"

#include <map>
#include <optional>
#include <string>

namespace gradc {

/// A description of another dialect as a native one.
struct Translation {
  OwnJson json;
  PlaceMap places;
  /// What the file does not say and was assumed is told, unless a file around it says it.
  std::vector<Diagnostic> assumed;
};

/// Shapes of inputs that a file leaves open: of one example, by the input's name.
using InputShapes = std::map<std::string, Ints>;

/// What is said beside a model's file.
struct Given {
  InputShapes shapes = {};
  SetValues values = {};
};

/// Other programs' files: how the description in one is found, and made native.
struct Dialects {
  /// The text of the description that a file or folder holds.
  Result<SourceFile> (*open)(const std::string& path, size_t max_bytes);
  /// Nothing for a native description, and after a report.
  std::optional<Translation> (*translate)(const JsonCursor& root, const InputShapes& shapes,
                                          DiagnosticSink& sink);
};

struct ReadOptions {
  const Dialects* dialects = nullptr;  ///< null: native files only
  Given given = {};
};

/// Reads a model file, and the one that its "model" member names, if any. The texts stay in
/// `sources`, so that the caller can render the diagnostics.
Result<Model> read_model_file(const std::string& path, SourceSet& sources,
                              const ReadOptions& options = {});

/// The same for text in memory; `path` is used in messages and for a relative "model" member.
Result<Model> read_model_text(const std::string& path, std::string text, SourceSet& sources,
                              const ReadOptions& options = {});

}  // namespace gradc
