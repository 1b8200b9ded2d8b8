#include "driver/foreign_weights.h"

#include "runtime/safetensors.h"
#include "support/utf8.h"

#include "exchange/weights.h"

namespace gradc {
namespace {

rt::Status read(const void* self, const char* path, rt::SafetensorsFile* out) {
  if (!exchange::has_foreign_weights(path)) return rt::read_safetensors(path, out);
  const auto& model = *static_cast<const CompiledModel*>(self);
  const Status status = exchange::read_foreign_weights(model.model(), path, out);
  rt::Status problems;
  if (status.ok()) return problems;
  for (const Diagnostic& problem : status.diagnostics()) {
    const std::string where = problem.place.file.empty() ? path : problem.place.file;
    rt::add_problem(problems, "%s: %s", where.c_str(), printable(problem.message).c_str());
  }
  return problems;
}

}  // namespace

rt::WeightsReader weights_reader(const CompiledModel& model) {
  return {.read = read, .self = &model};
}

}  // namespace gradc
