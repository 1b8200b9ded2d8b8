#include "runtime/sorted_names.h"

#include <algorithm>

namespace gradc::rt {

void sort_names(Vec<const Str*>* names) {
  std::sort(names->begin(), names->end(),
            [](const Str* a, const Str* b) { return *a == *b ? a < b : *a < *b; });
}

Vec<size_t> sorted_places(const Vec<Str>& names) {
  Vec<const Str*> order;
  for (const Str& name : names)
    order.push(&name);
  sort_names(&order);
  Vec<size_t> places;
  for (const Str* name : order)
    places.push(static_cast<size_t>(name - names.data()));
  return places;
}

void sort_names(Vec<Str>* names) {
  Vec<Str> sorted;
  for (const size_t place : sorted_places(*names))
    sorted.push(static_cast<Str&&>((*names)[place]));
  *names = static_cast<Vec<Str>&&>(sorted);
}

}  // namespace gradc::rt
