// Which program's file this is: options and formulas differ between Keras's versions.
#pragma once

#include "frontend/json_reader.h"

namespace gradc::exchange {

struct Dialect {
  int major = 2;
  int minor = 0;
  bool tfjs = false;  ///< TensorFlow.js wrote it, or says how it is trained

  bool before(int other_major, int other_minor) const {
    return major != other_major ? major < other_major : minor < other_minor;
  }
};

/// What translating one file shares.
struct Context {
  DiagnosticSink& sink;
  Dialect dialect{};
};

/// From "keras_version" of the document or of its parts, else from how it is written.
Dialect find_dialect(const JsonCursor& root);

}  // namespace gradc::exchange
