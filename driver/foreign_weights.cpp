#include "driver/foreign_weights.h"

#include "runtime/safetensors.h"
#include "runtime/weights.h"
#include "support/utf8.h"

#include "exchange/weights.h"
#include "exchange/write.h"

#include <filesystem>

namespace gradc {
namespace {

rt::Status problems_of(const Status& status, const char* path) {
  rt::Status problems;
  if (status.ok()) return problems;
  for (const Diagnostic& problem : status.diagnostics()) {
    const std::string where = problem.place.file.empty() ? path : problem.place.file;
    rt::add_problem(problems, "%s: %s", where.c_str(), printable(problem.message).c_str());
  }
  return problems;
}

rt::Status read(const void* self, const char* path, rt::SafetensorsFile* out) {
  if (!exchange::has_foreign_weights(path)) return rt::read_safetensors(path, out);
  const auto& weights = *static_cast<const ForeignWeights*>(self);
  std::vector<Diagnostic> left_out;
  const Status status = exchange::read_foreign_weights(weights.model.model(), path, out, &left_out);
  if (weights.tell != nullptr && !left_out.empty()) weights.tell(left_out);
  return problems_of(status, path);
}

rt::Status prepare(const void* self, const char* path, bool* takes, rt::Str* main_file) {
  const exchange::FileFormat format = exchange::format_of_name(path);
  *takes = format != exchange::FileFormat::kNative;
  if (!*takes) return {};
  const auto& weights = *static_cast<const ForeignWeights*>(self);
  const std::string file = exchange::main_file(format, path);
  *main_file = rt::Str(file.c_str());
  if (format == exchange::FileFormat::kTfjs) {
    std::error_code error;
    std::filesystem::create_directories(path, error);  // what fails is told where it is written
  }
  return problems_of(exchange::check_writable(format, weights.model.model()), path);
}

rt::Status write(const void* self, const rt::Instance& instance, const char* path) {
  const auto& weights = *static_cast<const ForeignWeights*>(self);
  rt::Vec<rt::TensorView> views;
  rt::Vec<rt::Str> names;
  rt::collect_tensors(instance, true, &views, &names);
  rt::SafetensorsFile file;
  for (const rt::TensorView& view : views) {
    rt::Array array;
    array.name = rt::Str(view.name);
    array.dtype = view.dtype;
    array.dims.append(view.dims.data(), view.dims.size());
    array.data.append(static_cast<const uint8_t*>(view.data), view.bytes);
    file.arrays.push(std::move(array));
  }
  exchange::Written written;
  const Status status = exchange::write_model(exchange::format_of_name(path), weights.model.model(),
                                              &file, path, &written);
  if (weights.tell != nullptr && !written.left_out.empty()) weights.tell(written.left_out);
  return problems_of(status, path);
}

}  // namespace

rt::WeightsReader weights_reader(const ForeignWeights& weights) {
  return {.read = read, .self = &weights};
}

rt::WeightsWriter weights_writer(const ForeignWeights& weights) {
  return {.prepare = prepare, .write = write, .self = &weights};
}

}  // namespace gradc
