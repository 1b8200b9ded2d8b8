// Reader and writer of safetensors.
#include "runtime/safetensors.h"

#include "runtime/json.h"
#include "runtime/output_file.h"
#include "runtime/sorted_names.h"
#include "runtime/text.h"

#include <algorithm>

namespace gradc::rt {
namespace {

constexpr size_t kMaxHeader = 100u << 20;  // the reference implementation's limit

struct StDtype {
  const char* name;
  FileType file_type;
  Dtype dtype;
  size_t bytes;
};

constexpr StDtype kTypes[] = {
    {"F32", FileType::kNative, Dtype::kF32, 4},   {"F64", FileType::kNative, Dtype::kF64, 8},
    {"BF16", FileType::kNative, Dtype::kBF16, 2}, {"F16", FileType::kNative, Dtype::kF16, 2},
    {"I32", FileType::kNative, Dtype::kI32, 4},   {"I64", FileType::kNative, Dtype::kI64, 8},
    {"U8", FileType::kNative, Dtype::kU8, 1},     {"BOOL", FileType::kNative, Dtype::kBool, 1},
    {"I8", FileType::kI8, Dtype::kI32, 1},        {"I16", FileType::kI16, Dtype::kI32, 2},
    {"U16", FileType::kU16, Dtype::kI32, 2},      {"U32", FileType::kU32, Dtype::kI64, 4},
    {"U64", FileType::kU64, Dtype::kI64, 8},
};

// Of a tensor that nobody asked for: its bytes are passed over.
constexpr StDtype kForeign{"", FileType::kNative, Dtype::kU8, 1};

struct Entry {
  Str name;
  Str dtype;
  Vec<int64_t> dims;
  int64_t begin = -1;
  int64_t end = -1;
};

bool read_entry(JsonReader& json, Entry* entry) {
  bool has_shape = false;
  if (!json.eat('{')) return false;
  do {
    Str key;
    if (!json.string(&key) || !json.eat(':')) return false;
    if (key == "dtype") {
      if (!json.string(&entry->dtype)) return false;
    } else if (key == "shape" && !has_shape) {
      has_shape = true;
      if (!json.eat('[')) return false;
      while (!json.peek(']')) {
        int64_t size = 0;
        if (entry->dims.size() == 32 || !json.integer(&size)) return false;
        entry->dims.push(size);
        if (!json.peek(']') && !json.eat(',')) return false;
      }
      json.eat(']');
    } else if (key == "data_offsets") {
      if (!json.eat('[') || !json.integer(&entry->begin) || !json.eat(',') ||
          !json.integer(&entry->end) || !json.eat(']')) {
        return false;
      }
    } else {
      return false;
    }
  } while (json.eat(','));
  return json.eat('}') && has_shape && !entry->dtype.empty() && entry->begin >= 0;
}

bool read_metadata(JsonReader& json, Vec<Metadata>* metadata) {
  if (!json.eat('{')) return false;
  if (json.eat('}')) return true;
  do {
    Metadata item;
    if (!json.string(&item.key) || !json.eat(':') || !json.string(&item.value)) return false;
    metadata->push(static_cast<Metadata&&>(item));
  } while (json.eat(','));
  return json.eat('}');
}

Status read_header(const Bytes& bytes, size_t length, const char* path, Vec<Entry>* entries,
                   Vec<Metadata>* metadata) {
  JsonReader json(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  bool good = json.eat('{');
  if (good && !json.peek('}')) {
    do {
      Entry entry;
      good = json.string(&entry.name) && json.eat(':');
      if (!good) break;
      if (entry.name == "__metadata__") {
        good = read_metadata(json, metadata);
      } else {
        good = read_entry(json, &entry);
        entries->push(static_cast<Entry&&>(entry));
      }
    } while (good && json.eat(','));
  }
  if (good && json.eat('}') && json.at_end()) return {};
  return error("%s: safetensors header is malformed near its byte %zu", path, json.position());
}

// Offsets must lie in the data, match the shapes, and cover the data without gap or overlap.
Status check_entries(Span<const Entry> entries, size_t data_bytes, const char* path,
                     const ArrayChoice* choice, Vec<const StDtype*>* types) {
  Vec<const Entry*> order;
  for (const Entry& entry : entries) {
    const StDtype* type = nullptr;
    for (const StDtype& candidate : kTypes) {
      if (entry.dtype == candidate.name) type = &candidate;
    }
    if (type == nullptr && choice != nullptr && !choice->takes(entry.name)) {
      type = &kForeign;
    }
    if (type == nullptr) {
      return error(
          "%s: tensor \"%s\" has dtype %s, expected F32 F64 BF16 F16 I8 I16 I32 I64 U8 U16 "
          "U32 U64 or BOOL",
          path, shown(entry.name).c_str(), shown(entry.dtype).c_str());
    }
    size_t count = 0;
    size_t need = 0;
    const bool foreign = type == &kForeign;
    const bool fits = foreign || checked_size(entry.dims.span(), type->bytes, &count, &need);
    if (!fits || entry.end < entry.begin || static_cast<size_t>(entry.end) > data_bytes ||
        (!foreign && static_cast<size_t>(entry.end - entry.begin) != need)) {
      return error("%s: tensor \"%s\" %s%s claims bytes %lld to %lld of %zu bytes of data", path,
                   shown(entry.name).c_str(), shown(entry.dtype).c_str(),
                   dims_text(entry.dims.span()).c_str(), static_cast<long long>(entry.begin),
                   static_cast<long long>(entry.end), data_bytes);
    }
    types->push(type);
    order.push(&entry);
  }
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
  });
  int64_t at = 0;
  for (const Entry* entry : order) {
    if (entry->begin != at) {
      return error("%s: tensor \"%s\" begins at byte %lld, the one before ends at %lld", path,
                   shown(entry->name).c_str(), static_cast<long long>(entry->begin),
                   static_cast<long long>(at));
    }
    at = entry->end;
  }
  if (static_cast<size_t>(at) != data_bytes) {
    return error("%s: the file has %zu bytes of data, its header describes %lld", path, data_bytes,
                 static_cast<long long>(at));
  }
  return {};
}

Status check_names(Span<const Entry> entries, const char* path) {
  Vec<const Str*> names;
  for (const Entry& entry : entries)
    names.push(&entry.name);
  sort_names(&names);
  for (size_t i = 1; i < names.size(); ++i) {
    if (*names[i - 1] == *names[i]) {
      return error("%s: tensor \"%s\" appears twice", path, shown(*names[i]).c_str());
    }
  }
  return {};
}

const char* st_name(Dtype dtype) {
  for (const StDtype& type : kTypes) {
    if (type.file_type == FileType::kNative && type.dtype == dtype) return type.name;
  }
  return "F32";
}

}  // namespace

const Array* SafetensorsFile::find(const char* name) const {
  for (const Array& array : arrays) {
    if (array.name == name) return &array;
  }
  return nullptr;
}

const Metadata* SafetensorsFile::find_meta(const char* key) const {
  for (const Metadata& item : metadata) {
    if (item.key == key) return &item;
  }
  return nullptr;
}

const char* SafetensorsFile::meta(const char* key) const {
  const Metadata* item = find_meta(key);
  return item != nullptr ? item->value.c_str() : nullptr;
}

Status parse_safetensors(const Bytes& bytes, const char* path, SafetensorsFile* out,
                         ArrayChoice* choice) {
  uint64_t length = 0;
  if (bytes.size() < 8) {
    return error(
        "%s: not a safetensors file or cut off: it has %zu bytes, the length of the header "
        "alone takes 8",
        path, bytes.size());
  }
  memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8 || length > kMaxHeader) {
    return error(
        "%s: not a safetensors file or cut off: the header should be %llu bytes, the file "
        "has %zu after its length",
        path, static_cast<unsigned long long>(length), bytes.size() < 8 ? 0 : bytes.size() - 8);
  }
  Vec<Entry> entries;
  GRADC_RT_TRY(read_header(bytes, length, path, &entries, &out->metadata));
  const uint8_t* data = bytes.data() + 8 + length;
  const size_t data_bytes = bytes.size() - 8 - length;
  Vec<const StDtype*> types;
  GRADC_RT_TRY(check_names({entries.data(), entries.size()}, path));
  GRADC_RT_TRY(check_entries({entries.data(), entries.size()}, data_bytes, path, choice, &types));
  for (size_t i = 0; i < entries.size(); ++i) {
    Entry& entry = entries[i];
    if (choice != nullptr && !choice->takes(entry.name)) {
      choice->skipped.push(static_cast<Str&&>(entry.name));
      continue;
    }
    Array array;
    array.source = format("%s: %s", path, shown(entry.name, 100).c_str());
    array.name = static_cast<Str&&>(entry.name);
    array.dims = static_cast<Vec<int64_t>&&>(entry.dims);
    array.dtype = types[i]->dtype;
    array.data.append(data + entry.begin, static_cast<size_t>(entry.end - entry.begin));
    if (types[i]->file_type != FileType::kNative) {
      const Bytes raw = static_cast<Bytes&&>(array.data);
      GRADC_RT_TRY(widen(types[i]->file_type, array.count(), raw, &array));
    }
    out->arrays.push(static_cast<Array&&>(array));
  }
  return {};
}

Status read_safetensors(const char* path, SafetensorsFile* out) {
  Bytes bytes;
  GRADC_RT_TRY(read_file(path, &bytes));
  return parse_safetensors(bytes, path, out);
}

Status write_safetensors(const char* path, Span<const TensorView> tensors,
                         Span<const Metadata> metadata) {
  Str header("{");
  if (!metadata.empty()) {
    header.append("\"__metadata__\":{");
    for (size_t i = 0; i < metadata.size(); ++i) {
      if (i > 0) header.push(',');
      append_json_string(header, metadata[i].key.c_str(), metadata[i].key.size());
      header.push(':');
      append_json_string(header, metadata[i].value.c_str(), metadata[i].value.size());
    }
    header.push('}');
  }
  size_t offset = 0;
  for (const TensorView& tensor : tensors) {
    if (header.size() > 1) header.push(',');
    append_json_string(header, tensor.name, strlen(tensor.name));
    header.appendf(":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                   st_name(tensor.dtype), dims_text(tensor.dims).c_str(), offset,
                   offset + tensor.bytes);
    offset += tensor.bytes;
  }
  header.push('}');
  while (header.size() % 8 != 0)
    header.push(' ');
  const uint64_t length = header.size();
  OutputFile file;
  GRADC_RT_TRY(file.open(path));
  GRADC_RT_TRY(file.write(&length, 8));
  GRADC_RT_TRY(file.write(header.c_str(), header.size()));
  for (const TensorView& tensor : tensors)
    GRADC_RT_TRY(file.write(tensor.data, tensor.bytes));
  return file.commit();
}

}  // namespace gradc::rt
