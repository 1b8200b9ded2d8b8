// The format follows from the file's name.
#include "runtime/predictions.h"

#include "runtime/output_file.h"
#include "runtime/safetensors.h"

namespace gradc::rt {
namespace {

enum class Format { kNpy, kSafetensors, kCsv };

// Where a name has no ending (standard output, a pipe) the number of outputs decides.
Format format_of(const Instance& instance, const char* out) {
  const Str path(out);
  if (path.ends_with(".csv")) return Format::kCsv;
  if (path.ends_with(".npy")) return Format::kNpy;
  const bool many = path.ends_with(".safetensors") || instance.count_of(GRADC_RT_OUTPUT) > 1;
  return many ? Format::kSafetensors : Format::kNpy;
}

Status check_npy(const Instance& instance, const char* out) {
  OutputPlace place;
  GRADC_RT_TRY(find_output(out, &place));
  if (!Str(out).ends_with(".npy") && !place.in_place) {
    return usage_error("--out %s: expected a .npy, .safetensors or .csv file", out);
  }
  const int64_t outputs = instance.count_of(GRADC_RT_OUTPUT);
  if (outputs == 1) return {};
  return error("%s: the model has %lld outputs, a .npy file holds one: use .safetensors or .csv",
               out, static_cast<long long>(outputs));
}

}  // namespace

Status check_prediction_file(const Instance& instance, const char* out) {
  switch (format_of(instance, out)) {
    case Format::kNpy:
      return check_npy(instance, out);
    case Format::kSafetensors:
      return {};
    case Format::kCsv:
      return check_csv_predictions(instance, out);
  }
  return {};
}

Status write_predictions(const Instance& instance, const Vec<Array>& outputs, const char* out) {
  switch (format_of(instance, out)) {
    case Format::kNpy:
      return write_npy(out, outputs[0]);
    case Format::kCsv:
      return write_csv_predictions(instance, outputs, out);
    case Format::kSafetensors:
      break;
  }
  Vec<TensorView> views;
  for (const Array& array : outputs) {
    views.push(
        {array.name.c_str(), array.dtype, array.dims.span(), array.data.data(), array.data.size()});
  }
  return write_safetensors(out, {views.data(), views.size()}, {});
}

}  // namespace gradc::rt
