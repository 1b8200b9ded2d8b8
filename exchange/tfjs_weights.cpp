// The shards of a group are one run of bytes, from which the weights are cut in order: a weight may
// straddle shards. Quantised values are v scale + min.
#include "exchange/tfjs_weights.h"

#include "frontend/json_reader.h"
#include "support/utf8.h"

#include <cstring>
#include <filesystem>

namespace gradc::exchange {
namespace {

constexpr size_t kMaxJsonBytes = size_t{128} << 20U;

struct Quantization {
  std::string dtype;
  double scale = 1.0;
  double min = 0.0;
};

struct WeightEntry {
  std::string name;
  std::string dtype;
  Ints shape;
  std::optional<Quantization> quantization;
  size_t count = 1;
  size_t element_bytes = 0;  ///< in the shard
  bool of_optimizer = false;
};

size_t bytes_of(std::string_view dtype) {
  if (dtype == "float32" || dtype == "int32") return 4;
  if (dtype == "float16" || dtype == "uint16") return 2;
  return dtype == "uint8" || dtype == "bool" ? 1 : 0;
}

class ManifestReader {
 public:
  ManifestReader(std::string file, DiagnosticSink& sink) : file_(std::move(file)), sink_(sink) {}

  TfjsWeights read(const JsonCursor& manifest) {
    TfjsWeights all;
    if (!manifest.value().is_array()) {
      report_wrong_type(sink_, manifest, "a list of groups");
      return all;
    }
    for (size_t i = 0; i < manifest.value().size() && !sink_.has_errors(); ++i)
      read_group(manifest.element(i), all);
    return all;
  }

 private:
  void read_group(const JsonCursor& at, TfjsWeights& all) {
    if (!at.has("paths") || !at.has("weights") || !at.value()["paths"].is_array() ||
        !at.value()["weights"].is_array()) {
      sink_.error(DiagKind::kMissingOption, at.place(),
                  "a group of the manifest has no lists of \"paths\" and \"weights\"");
      return;
    }
    std::vector<WeightEntry> entries;
    const JsonCursor weights = at.member("weights");
    size_t wanted = 0;
    for (size_t i = 0; i < weights.value().size(); ++i) {
      if (auto entry = read_entry(weights.element(i))) {
        const size_t bytes = entry->count * entry->element_bytes;
        if (__builtin_add_overflow(wanted, bytes, &wanted)) wanted = SIZE_MAX;
        entries.push_back(std::move(*entry));
      }
    }
    if (sink_.has_errors()) return;
    rt::Bytes bytes;
    if (!read_shards(at.member("paths"), wanted, bytes)) return;
    if (bytes.size() != wanted) {
      sink_.error(DiagKind::kInvalidData, at.place(),
                  "the shards of this group have {} bytes, but its weights take {}", bytes.size(),
                  wanted);
      return;
    }
    cut(entries, bytes, all);
  }

  std::optional<WeightEntry> read_entry(const JsonCursor& at) {
    WeightEntry entry;
    ObjectReader reader(sink_, at, "a weight of the manifest");
    const auto name = reader.require("name");
    const auto shape = reader.require("shape");
    const auto dtype = reader.require("dtype");
    if (!name || !shape || !dtype) return std::nullopt;
    const auto name_text = read_string(sink_, *name);
    const auto dtype_text = read_string(sink_, *dtype);
    if (!name_text || !dtype_text) return std::nullopt;
    entry.name = *name_text;
    entry.dtype = *dtype_text;
    if (!read_shape(*shape, entry)) return std::nullopt;
    const auto group = reader.get("group");
    entry.of_optimizer = group && group->value() == "optimizer";
    std::string stored = entry.dtype;
    if (const auto quantized = reader.get("quantization")) {
      entry.quantization = read_quantization(*quantized);
      if (!entry.quantization) return std::nullopt;
      stored = entry.quantization->dtype;
    }
    entry.element_bytes = bytes_of(stored);
    const bool readable = entry.dtype == "float32" || entry.dtype == "int32";
    if (entry.element_bytes == 0 || !readable) {
      sink_.error(DiagKind::kUnsupported, dtype->place(),
                  "weight \"{}\" is of {}, but only float32 and int32 can be read",
                  printable(entry.name, 80), printable(entry.dtype, 20));
      return std::nullopt;
    }
    return entry;
  }

  bool read_shape(const JsonCursor& at, WeightEntry& entry) {
    static constexpr OptionDef kExtent = {
        .name = "shape", .type = OptionType::kInts, .min = 0, .max = 1e12};
    if (!at.value().is_array()) {
      report_wrong_type(sink_, at, "a list of integers");
      return false;
    }
    for (size_t i = 0; i < at.value().size(); ++i) {
      const auto extent = read_integer(sink_, at.element(i), kExtent);
      if (!extent) return false;
      entry.shape.push_back(*extent);
      if (__builtin_mul_overflow(entry.count, static_cast<size_t>(*extent), &entry.count) ||
          entry.count > SIZE_MAX / 8) {
        sink_.error(DiagKind::kTooLarge, at.place(), "weight \"{}\" is too large",
                    printable(entry.name, 80));
        return false;
      }
    }
    return true;
  }

  std::optional<Quantization> read_quantization(const JsonCursor& at) {
    ObjectReader reader(sink_, at, "a quantization");
    const auto dtype = reader.require("dtype");
    const auto text = dtype ? read_string(sink_, *dtype) : std::nullopt;
    if (!text) return std::nullopt;
    Quantization result{.dtype = *text};
    if (*text == "float16") return result;
    if (*text != "uint8" && *text != "uint16") {
      sink_.error(DiagKind::kUnsupported, dtype->place(),
                  "a quantization of \"{}\"; uint8, uint16 and float16 can be read",
                  printable(*text, 20));
      return std::nullopt;
    }
    static constexpr OptionDef kNumber = {.name = "scale", .type = OptionType::kFloat};
    const auto scale = reader.require("scale");
    const auto min = reader.require("min");
    const auto scale_value = scale ? read_number(sink_, *scale, kNumber) : std::nullopt;
    const auto min_value = min ? read_number(sink_, *min, kNumber) : std::nullopt;
    if (!scale_value || !min_value) return std::nullopt;
    result.scale = *scale_value;
    result.min = *min_value;
    return result;
  }

  /// Appends all shards; stops as soon as there are more bytes than the weights take.
  bool read_shards(const JsonCursor& paths, size_t wanted, rt::Bytes& bytes) {
    const std::filesystem::path folder = std::filesystem::path(file_).parent_path();
    for (size_t i = 0; i < paths.value().size(); ++i) {
      const JsonCursor at = paths.element(i);
      const auto name = read_string(sink_, at);
      if (!name) return false;
      const std::filesystem::path shard(*name);
      const bool outside = shard.is_absolute() ||
                           std::find(shard.begin(), shard.end(), "..") != shard.end() ||
                           name->find('\0') != std::string::npos;
      if (name->empty() || outside) {
        sink_.error(DiagKind::kInvalidData, at.place(),
                    "the shard \"{}\" is not in the folder of model.json", printable(*name, 80));
        return false;
      }
      const std::string path = (folder / shard).string();
      std::error_code error;
      const auto size = std::filesystem::file_size(path, error);
      if (!error && size > wanted - std::min(wanted, bytes.size())) {
        sink_.error(DiagKind::kInvalidData, at.place(),
                    "the shard \"{}\" has {} bytes, more than the weights of its group take",
                    printable(*name, 80), size);
        return false;
      }
      rt::Bytes one;
      const rt::Status read = rt::read_file(path.c_str(), &one);
      if (!read.ok()) {
        sink_.error(DiagKind::kFileUnreadable, at.place(), "{}", read.text.c_str());
        return false;
      }
      bytes.append(one.data(), one.size());
    }
    return true;
  }

  static void cut(const std::vector<WeightEntry>& entries, const rt::Bytes& bytes,
                  TfjsWeights& all) {
    const uint8_t* from = bytes.data();
    for (const WeightEntry& entry : entries) {
      rt::Array array;
      array.name = rt::Str(entry.name.c_str(), entry.name.size());
      array.dtype = entry.dtype == "int32" ? rt::Dtype::kI32 : rt::Dtype::kF32;
      array.dims.append(entry.shape.data(), entry.shape.size());
      const size_t stored = entry.count * entry.element_bytes;
      if (entry.quantization) {
        expand(entry, from, array);
      } else {
        array.data.append(from, stored);
      }
      from += stored;
      if (entry.of_optimizer) {
        all.optimizer.push_back(std::move(array));
        continue;
      }
      // The layer is what stands before the weight's own name.
      const size_t slash = entry.name.rfind('/');
      const std::string layer = slash == std::string::npos ? "" : entry.name.substr(0, slash);
      std::vector<WeightGroup>& groups = all.groups;
      if (groups.empty() || groups.back().layer != layer) groups.push_back({layer, {}});
      groups.back().arrays.push_back(std::move(array));
    }
  }

  static void expand(const WeightEntry& entry, const uint8_t* from, rt::Array& array) {
    array.data.resize(entry.count * 4);
    const Quantization& how = *entry.quantization;
    for (size_t i = 0; i < entry.count; ++i) {
      uint16_t stored = from[i * entry.element_bytes];
      if (entry.element_bytes == 2) stored = static_cast<uint16_t>(stored | from[i * 2 + 1] << 8U);
      const double value = how.dtype == "float16" ? static_cast<double>(rt::f16_to_f32(stored))
                                                  : stored * how.scale + how.min;
      if (array.dtype == rt::Dtype::kF32) {
        rt::store_f64(array.data.data(), array.dtype, i, value);
      } else {
        rt::store_i64(array.data.data(), array.dtype, i, static_cast<int64_t>(std::llround(value)));
      }
    }
  }

  std::string file_;
  DiagnosticSink& sink_;
};

}  // namespace

Result<TfjsWeights> read_tfjs_weights(const std::string& model_json) {
  GRADC_TRY(const SourceFile file, read_source_file(model_json, kMaxJsonBytes));
  GRADC_TRY(const OwnJson json, parse_json(file));
  const JsonCursor root(*json, model_json);
  DiagnosticSink sink;
  TfjsWeights all;
  if (root.has("weightsManifest")) {
    all = ManifestReader(model_json, sink).read(root.member("weightsManifest"));
  } else {
    sink.error(DiagKind::kInvalidData, root.place(), "the file has no \"weightsManifest\"");
  }
  if (sink.has_errors()) return Failure(sink.take());
  return all;
}

}  // namespace gradc::exchange
