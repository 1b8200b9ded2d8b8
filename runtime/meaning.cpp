// Matching names of a file with the names that a model knows.
#include "runtime/meaning.h"

#include "runtime/sorted_names.h"
#include "runtime/text.h"

#include <algorithm>

namespace gradc::rt {
namespace {

// Looks each of `wanted` up in `among`; those that are not there are returned.
Vec<Str> look_up(const Vec<Str>& wanted, const Vec<Str>& among, Vec<size_t>* places) {
  const Vec<size_t> order = sorted_places(among);
  Vec<Str> missing;
  places->clear();
  for (const Str& name : wanted) {
    const size_t* found =
        std::lower_bound(order.begin(), order.end(), name,
                         [&](size_t place, const Str& key) { return among[place] < key; });
    const bool there = found != order.end() && among[*found] == name;
    places->push(there ? *found : 0);
    if (!there) missing.push(name.clone());
  }
  return missing;
}

}  // namespace

TensorMeaning TensorMeaning::clone() const {
  TensorMeaning copy;
  copy.columns = columns.clone();
  copy.classes = classes.clone();
  copy.characters = characters.clone();
  copy.categories = categories.clone();
  copy.fill = fill.clone();
  copy.tokens = tokens.clone();
  return copy;
}

Status match_all(const char* where, const char* what, const char* cure, const Vec<Str>& seen,
                 const Vec<Str>& known, Vec<size_t>* places) {
  const Vec<Str> missing = look_up(known, seen, places);
  Vec<size_t> unused;
  const Vec<Str> added = look_up(seen, known, &unused);
  if (missing.empty() && added.empty()) return {};
  Str text;
  if (!missing.empty()) text.appendf("lacks %s", shown_list(missing).c_str());
  if (!added.empty()) {
    text.appendf("%s%s, which the model was not trained with%s",
                 text.empty() ? "has " : " and has ", shown_list(added).c_str(), cure);
  }
  return error("%s: %s: the file %s; the model knows %s, the file has %s", where, what,
               text.c_str(), shown_list(known).c_str(), shown_list(seen).c_str());
}

Status match_some(const char* where, const char* what, const Vec<Str>& seen, const Vec<Str>& known,
                  Vec<size_t>* places) {
  const Vec<Str> added = look_up(seen, known, places);
  if (added.empty()) return {};
  return error(
      "%s: %s: the file has %s, which the model was not trained with; the model knows %s, the file "
      "has %s",
      where, what, shown_list(added).c_str(), shown_list(known).c_str(), shown_list(seen).c_str());
}

}  // namespace gradc::rt
