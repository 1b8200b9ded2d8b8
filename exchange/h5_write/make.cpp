// Whole Keras models as HDF5 files, made in memory.
#include "exchange/h5_file.h"
#include "exchange/h5_write/handle.h"

#include <algorithm>

namespace gradc::exchange {
namespace {

bool put_text(hid_t object, const char* name, const std::string& text) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  if (!type || !space || H5Tset_size(*type, H5T_VARIABLE) < 0 ||
      H5Tset_cset(*type, H5T_CSET_UTF8) < 0)
    return false;
  const Handle attribute(H5Acreate2(object, name, *type, *space, H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  const char* const bytes = text.c_str();
  return attribute && H5Awrite(*attribute, *type, static_cast<const void*>(&bytes)) >= 0;
}

/// One attribute of strings of one length.
bool put_list(hid_t object, const std::string& name, const std::vector<std::string>& texts,
              size_t begin, size_t end) {
  size_t length = 1;
  for (size_t i = begin; i < end; ++i)
    length = std::max(length, texts[i].size());
  std::string bytes;
  for (size_t i = begin; i < end; ++i)
    bytes += texts[i] + std::string(length - texts[i].size(), '\0');
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  const hsize_t count = end - begin;
  const Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  if (!type || !space || H5Tset_size(*type, length) < 0 ||
      H5Tset_strpad(*type, H5T_STR_NULLPAD) < 0)
    return false;
  const Handle attribute(H5Acreate2(object, name.c_str(), *type, *space, H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  return attribute && (bytes.empty() || H5Awrite(*attribute, *type, bytes.data()) >= 0);
}

/// Split where Keras splits: an attribute has room for 64 KB.
bool put_names(hid_t object, const std::string& name, const std::vector<std::string>& texts) {
  constexpr size_t kMaxAttributeBytes = 64512;
  size_t length = 1;
  for (const std::string& text : texts)
    length = std::max(length, text.size());
  const size_t room = std::max<size_t>(kMaxAttributeBytes / length, 1);
  if (texts.size() <= room) return put_list(object, name, texts, 0, texts.size());
  for (size_t part = 0; part * room < texts.size(); ++part) {
    if (!put_list(object, fmt::format("{}{}", name, part), texts, part * room,
                  std::min(texts.size(), (part + 1) * room)))
      return false;
  }
  return true;
}

/// The type that an array is written as; -1 where HDF5's readers have none.
hid_t type_of(rt::Dtype dtype) {
  switch (dtype) {
    case rt::Dtype::kF64:
      return H5T_NATIVE_DOUBLE;
    case rt::Dtype::kF32:
    case rt::Dtype::kF16:
    case rt::Dtype::kBF16:
      return H5T_NATIVE_FLOAT;
    case rt::Dtype::kI32:
      return H5T_NATIVE_INT32;
    case rt::Dtype::kI64:
      return H5T_NATIVE_INT64;
    case rt::Dtype::kBool:
    case rt::Dtype::kU8:
      return -1;
  }
  return -1;
}

/// Its values as f32.
std::vector<float> widened(const rt::Array& array) {
  std::vector<float> values(array.count());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(rt::load_f64(array.data.data(), array.dtype, i));
  return values;
}

bool put_array(hid_t file, const std::string& name, const rt::Array& array) {
  std::vector<hsize_t> dims(array.dims.begin(), array.dims.end());
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  if (!links || H5Pset_create_intermediate_group(*links, 1) < 0) return false;
  const Handle space(dims.empty()
                         ? H5Screate(H5S_SCALAR)
                         : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
                     H5Sclose);
  const hid_t type = type_of(array.dtype);
  const Handle set(H5Dcreate2(file, name.c_str(), type, *space, *links, H5P_DEFAULT, H5P_DEFAULT),
                   H5Dclose);
  if (!set || array.count() == 0) return static_cast<bool>(set);
  const auto write = [&](const void* bytes) {
    return H5Dwrite(*set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0;
  };
  const bool is_short = array.dtype == rt::Dtype::kF16 || array.dtype == rt::Dtype::kBF16;
  return is_short ? write(widened(array).data()) : write(array.data.data());
}

/// Nothing, or what cannot be written.
Status check_arrays(const H5Content& content) {
  std::vector<Diagnostic> problems;
  for (const auto& [path, array] : content.arrays) {
    const bool whole = array->data.size() == array->count() * rt::dtype_bytes(array->dtype);
    if (type_of(array->dtype) >= 0 && whole) continue;
    problems.push_back(make_error(DiagKind::kUnsupported, {},
                                  "\"{}\" is {}, which HDF5 files of "
                                  "models do not have",
                                  path, rt::array_type_text(*array).c_str()));
  }
  if (problems.empty()) return Ok{};
  return Failure(std::move(problems));
}

bool put_group(hid_t file, const std::string& path, hid_t links) {
  for (size_t end = 0; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    const std::string part = path.substr(0, end);
    if (H5Lexists(file, part.c_str(), H5P_DEFAULT) > 0) continue;
    const Handle group(H5Gcreate2(file, part.c_str(), links, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    if (!group) return false;
  }
  return true;
}

/// Calls `put` with the object that is open.
template <class Put>
bool with_object(hid_t file, const std::string& path, const Put& put) {
  const Handle object(H5Oopen(file, path.empty() ? "/" : path.c_str(), H5P_DEFAULT), H5Oclose);
  return object && put(*object);
}

bool put_content(hid_t file, const H5Content& content) {
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  if (!links) return false;
  for (const std::string& group : content.groups) {
    if (!put_group(file, group, *links)) return false;
  }
  for (const auto& [path, array] : content.arrays) {
    if (!put_array(file, path, *array)) return false;
  }
  for (const auto& [object, name, value] : content.texts) {
    const bool put =
        with_object(file, object, [&](hid_t at) { return put_text(at, name.c_str(), value); });
    if (!put) return false;
  }
  for (const auto& [object, name, values] : content.names) {
    const bool put =
        with_object(file, object, [&](hid_t at) { return put_names(at, name, values); });
    if (!put) return false;
  }
  return true;
}

}  // namespace

Result<std::vector<char>> make_h5(const H5Content& content) {
  be_quiet();
  GRADC_TRY_STATUS(check_arrays(content));
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  constexpr size_t kIncrement = size_t{1} << 20U;
  bool good = access && H5Pset_fapl_core(*access, kIncrement, 0) >= 0;
  std::vector<char> image;
  if (good) {
    const Handle file(H5Fcreate("model.h5", H5F_ACC_TRUNC, H5P_DEFAULT, *access), H5Fclose);
    good = static_cast<bool>(file);
    good = good && put_content(*file, content) && H5Fflush(*file, H5F_SCOPE_GLOBAL) >= 0;
    const ssize_t size = good ? H5Fget_file_image(*file, nullptr, 0) : -1;
    good = size > 0;
    if (good) {
      image.resize(static_cast<size_t>(size));
      good = H5Fget_file_image(*file, image.data(), image.size()) == size;
    }
  }
  if (!good) return make_error(DiagKind::kFileUnwritable, {}, "HDF5 could not make the file");
  return image;
}

}  // namespace gradc::exchange
