// What the columns, class numbers and character numbers of a tensor stand for. The readers of
// tables and texts find it in a file (DataSet::meanings); what a model was trained with is handed
// to them as `known`, and then a file's columns, classes and characters are matched by name.
#pragma once

#include "runtime/status.h"

#include <cstddef>
#include <cstdint>

namespace gradc::rt {

/// One tensor's meaning; a list that does not apply is empty.
struct TensorMeaning {
  Vec<Str> columns;     // an input from a table: the name of each value of an example
  Vec<Str> classes;     // a target of classes named by text: the name of each number
  Vec<Str> characters;  // a text by characters: the bytes of each number
  Vec<Str> categories;  // an input from a table: of each column of names in turn, as many as its
                        // rule says, in the order of their numbers; "" is free
  Vec<Str> fill;        // of each column of a rule: what stands for a missing number; "": none does
  Vec<Str> tokens;      // of texts: the token of each number, after padding and unknown (tokens.h)

  bool empty() const {
    return columns.empty() && classes.empty() && characters.empty() && categories.empty() &&
           fill.empty() && tokens.empty();
  }
  TensorMeaning clone() const;
};

/// The place of each of `known` in `seen`. Names that are missing from `seen`, or that `known` does
/// not have, are refused with both lists; `what` says what they are ("columns"), `cure` what helps
/// against new ones.
Status match_all(const char* where, const char* what, const char* cure, const Vec<Str>& seen,
                 const Vec<Str>& known, Vec<size_t>* places);

/// The place of each of `seen` in `known`: a file may have fewer, but none that is new.
Status match_some(const char* where, const char* what, const Vec<Str>& seen, const Vec<Str>& known,
                  Vec<size_t>* places);

}  // namespace gradc::rt
