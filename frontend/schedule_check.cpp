#include "frontend/schedule_check.h"

#include "frontend/layer_def.h"

#include <algorithm>

namespace gradc {

void check_schedule(DiagnosticSink& sink, const Component& schedule) {
  if (schedule.def->type == "warmup")
    return check_schedule(sink, *schedule.options.component("learning_rate"));
  if (schedule.def->type != "piecewise_constant_decay") return;
  const Ints& boundaries = schedule.options.ints("boundaries");
  const size_t values = schedule.options.numbers("values").size();
  if (values != boundaries.size() + 1) {
    sink.error(DiagKind::kBadValue, schedule.place, "{} boundaries need {} values, got {}",
               boundaries.size(), boundaries.size() + 1, values);
  }
  if (!std::is_sorted(boundaries.begin(), boundaries.end())) {
    sink.error(DiagKind::kBadValue, schedule.place, "boundaries {} do not increase",
               shape_text(boundaries));
  }
}

}  // namespace gradc
