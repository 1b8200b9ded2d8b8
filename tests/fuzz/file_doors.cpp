// Doors to the formats of data files, each given the bytes of one file.
#include "runtime/array.h"
#include "runtime/json.h"
#include "runtime/safetensors.h"
#include "support/json.h"
#include "tests/fuzz/door.h"

#include "exchange/h5_file.h"

#include <algorithm>
#include <string>

namespace gradc::fuzz {

namespace {

rt::Bytes bytes_of(std::string_view text) {
  rt::Bytes bytes;
  bytes.append(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  return bytes;
}

void check_status(const rt::Status& status) {
  require(status.ok() || !status.text.empty(), "a failure says nothing");
}

/// What a reader gives is whole: as many bytes as the shape says.
void check_array(const rt::Array& array) {
  require(array.data.size() == array.count() * rt::dtype_bytes(array.dtype), "an array is whole",
          array.source.c_str());
}

}  // namespace

void idx_door(std::string_view bytes) {
  rt::Array array;
  const rt::Status status = rt::parse_idx(bytes_of(bytes), "input", &array);
  check_status(status);
  if (status.ok()) check_array(array);
}

void npy_door(std::string_view bytes) {
  rt::Array array;
  const rt::Bytes copy = bytes_of(bytes);
  const rt::Status status = rt::parse_npy(copy.data(), copy.size(), "input", &array);
  check_status(status);
  if (status.ok()) check_array(array);
}

void npz_door(std::string_view bytes) {
  rt::Vec<rt::Array> arrays;
  const rt::Status status = rt::parse_npz(bytes_of(bytes), "input", &arrays);
  check_status(status);
  for (const rt::Array& array : arrays) {
    if (status.ok()) check_array(array);
  }
}

void gzip_door(std::string_view bytes) {
  rt::Bytes out;
  check_status(rt::gunzip(bytes_of(bytes), "input", &out));
}

/// Header and data as in a file, or, when it begins with a brace, a header without its length.
void safetensors_door(std::string_view bytes) {
  std::string whole(bytes);
  if (whole.starts_with('{')) {
    const uint64_t length = whole.rfind('}') == std::string::npos ? 1 : whole.rfind('}') + 1;
    whole.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  }
  rt::SafetensorsFile file;
  const rt::Status status = rt::parse_safetensors(bytes_of(whole), "input", &file);
  check_status(status);
  if (!status.ok()) return;
  for (const rt::Array& array : file.arrays)
    check_array(array);
}

namespace {

/// Looks at all that an HDF5 file holds, as far as it does not end.
class H5Visit {
 public:
  explicit H5Visit(const exchange::H5File& file) : file_(file) {}

  void object(const std::string& path) {
    if (left_-- <= 0) return;
    for (const char* name : {"text", "fixed", "weight_names", "layer_names"}) {
      if (!file_.has_attribute(path, name)) continue;
      const auto texts = file_.strings(path, name);
      require(texts.ok() || !texts.message().empty(), "a failure says nothing");
    }
    if (!file_.is_group(path)) {
      const auto data = file_.dataset(path);
      require(data.ok() || !data.message().empty(), "a failure says nothing");
      if (data.ok()) check_array(*data);
      return;
    }
    const auto members = file_.members(path);
    require(members.ok() || !members.message().empty(), "a failure says nothing");
    if (!members.ok()) return;
    for (const std::string& name : *members)
      object(path.empty() ? name : path + "/" + name);
  }

 private:
  const exchange::H5File& file_;
  int left_ = 500;  ///< a group may lie in itself
};

}  // namespace

void h5_door(std::string_view bytes) {
  const rt::Bytes copy = bytes_of(bytes);
  const auto file = exchange::H5File::open_image("input", copy);
  require(file.ok() || !file.message().empty(), "a failure says nothing");
  if (file.ok()) H5Visit(**file).object("");
}

/// The core's reader of strings and integers agrees with the JSON library on what it takes.
void runtime_json_door(std::string_view bytes) {
  rt::JsonReader reader(bytes.data(), bytes.size());
  rt::Str text;
  if (reader.string(&text) && reader.at_end()) {
    const auto other = parse_json(SourceFile("input", std::string(bytes)));
    if (other.ok() && (**other).is_string()) {
      require((**other).get<std::string>() == std::string(text.c_str(), text.size()),
              "both readers read the same string");
    }
  }
  rt::Str quoted;
  rt::append_json_string(quoted, bytes.data(), bytes.size());
  rt::JsonReader again(quoted.c_str(), quoted.size());
  rt::Str back;
  require(again.string(&back) && again.at_end(), "what was quoted can be read", quoted.c_str());
  rt::JsonReader numbers(bytes.data(), bytes.size());
  int64_t value = 0;
  while (numbers.integer(&value) && numbers.eat(',')) {
  }
}

}  // namespace gradc::fuzz
