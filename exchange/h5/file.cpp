#include "support/utf8.h"

#include "exchange/h5/file_bytes.h"
#include "exchange/h5/handle.h"
#include "exchange/h5_file.h"

#include <algorithm>
#include <array>

namespace gradc::exchange {
namespace {

constexpr size_t kMaxStringBytes = size_t{256} << 20U;
constexpr size_t kMaxMembers = 1'000'000;
std::string text_of(const char* bytes, size_t length) {
  std::string text(bytes, length);
  const size_t end = text.find('\0');
  if (end != std::string::npos) text.resize(end);
  return text;
}

/// Strings whose bytes follow each other.
bool read_fixed(hid_t attribute, hid_t type, size_t count, std::vector<std::string>& out) {
  const size_t length = H5Tget_size(type);
  if (length == 0 || count > kMaxStringBytes / length) return false;
  std::vector<char> bytes(count * length + 1);
  if (H5Aread(attribute, type, bytes.data()) < 0) return false;
  for (size_t i = 0; i < count; ++i)
    out.push_back(text_of(bytes.data() + i * length, length));
  return true;
}

/// Leaves stored references as they are, where the library would follow them.
herr_t keep_references(hid_t stored, hid_t, H5T_cdata_t* state, size_t, size_t, size_t, void*,
                       void*, hid_t) {
  return state->command != H5T_CONV_INIT || H5Tget_size(stored) == H5Bytes::kReference ? 0 : -1;
}

/// The type that references are read as, bytes that mean nothing to the library; negative where
/// there is none. It lives as long as the library.
hid_t reference_type() {
  static const hid_t made = [] {
    const hid_t type = H5Tcreate(H5T_OPAQUE, H5Bytes::kReference);
    const Handle text(H5Tcopy(H5T_C_S1), H5Tclose);
    if (type < 0 || H5Tset_size(*text, H5T_VARIABLE) < 0) return hid_t{-1};
    const herr_t status =
        H5Tregister(H5T_PERS_SOFT, "gradc text reference", *text, type, keep_references);
    return status < 0 ? hid_t{-1} : type;
  }();
  return made;
}

bool read_variable(hid_t attribute, const H5Bytes& file, size_t count,
                   std::vector<std::string>& out) {
  const hid_t type = reference_type();
  std::vector<uint8_t> references(count * H5Bytes::kReference);
  if (type < 0 || H5Aread(attribute, type, references.data()) < 0) return false;
  size_t bytes = 0;
  for (size_t i = 0; i < count; ++i) {
    std::optional<std::string> text = file.text(&references[i * H5Bytes::kReference]);
    if (!text || (bytes += text->size()) > kMaxStringBytes) return false;
    out.push_back(std::move(*text));
  }
  return true;
}

struct Listing {
  std::vector<std::string> names;
};

herr_t add_name(hid_t, const char* name, const H5L_info_t*, void* data) {
  auto& listing = *static_cast<Listing*>(data);
  if (listing.names.size() >= kMaxMembers) return -1;
  listing.names.emplace_back(name);
  return 0;
}

}  // namespace

Result<std::unique_ptr<H5File>> H5File::open(const std::string& path) {
  be_quiet();
  std::shared_ptr<const H5Bytes> bytes = H5Bytes::open(path);
  const hid_t file = bytes ? H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT) : -1;
  if (file < 0) {
    return make_error(DiagKind::kInvalidData, {.file = path},
                      "\"{}\" is no HDF5 file, or a damaged one", printable(path, 200));
  }
  return std::unique_ptr<H5File>(new H5File(file, path, std::move(bytes)));
}

Result<std::unique_ptr<H5File>> H5File::open_image(const std::string& name, rt::Bytes& bytes) {
  be_quiet();
  std::shared_ptr<const H5Bytes> own = H5Bytes::image({bytes.data(), bytes.size()});
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  constexpr size_t kIncrement = 65536;
  hid_t file = -1;
  if (own && access && H5Pset_fapl_core(*access, kIncrement, 0) >= 0 &&
      H5Pset_file_image(*access, bytes.data(), bytes.size()) >= 0)
    file = H5Fopen(name.c_str(), H5F_ACC_RDONLY, *access);
  if (file < 0) {
    return make_error(DiagKind::kInvalidData, {.file = name},
                      "\"{}\" is no HDF5 file, or a damaged one", printable(name, 200));
  }
  return std::unique_ptr<H5File>(new H5File(file, name, std::move(own)));
}

H5File::~H5File() {
  H5Fclose(file_);
}

Diagnostic H5File::problem(std::string_view what) const {
  return make_error(DiagKind::kInvalidData, {.file = name_}, "{}", what);
}

bool H5File::has(const std::string& path) const {
  for (size_t end = 0; end < path.size();) {
    const size_t begin = end + (path[end] == '/' ? 1 : 0);
    end = std::min(path.find('/', begin), path.size());
    if (end == begin) continue;
    const std::string part = path.substr(0, end);
    H5L_info_t info{};
    if (H5Lget_info(file_, part.c_str(), &info, H5P_DEFAULT) < 0) return false;
    if (info.type != H5L_TYPE_HARD) return false;  // soft and external links lead elsewhere
  }
  return true;
}

bool H5File::is_group(const std::string& path) const {
  if (!has(path)) return false;
  const Handle object(H5Oopen(file_, path.empty() ? "/" : path.c_str(), H5P_DEFAULT), H5Oclose);
  return object && H5Iget_type(*object) == H5I_GROUP;
}

std::optional<uint64_t> H5File::address(const std::string& path) const {
  if (!has(path)) return std::nullopt;
#if H5_VERSION_GE(1, 12, 0)
  H5O_info1_t info{};
  const herr_t status = H5Oget_info_by_name1(file_, path.c_str(), &info, H5P_DEFAULT);
#else
  H5O_info_t info{};
  const herr_t status = H5Oget_info_by_name(file_, path.c_str(), &info, H5P_DEFAULT);
#endif
  return status < 0 ? std::nullopt : std::optional<uint64_t>(info.addr);
}

Result<std::vector<std::string>> H5File::members(const std::string& group) const {
  Listing listing;
  const Handle object(
      has(group) ? H5Gopen2(file_, group.empty() ? "/" : group.c_str(), H5P_DEFAULT) : -1,
      H5Gclose);
  if (!object || H5Literate(*object, H5_INDEX_NAME, H5_ITER_INC, nullptr, add_name, &listing) < 0)
    return problem(fmt::format("the group \"{}\" cannot be read", printable(group, 120)));
  return std::move(listing.names);
}

bool H5File::has_attribute(const std::string& object, const std::string& name) const {
  return has(object) && H5Aexists_by_name(file_, object.empty() ? "/" : object.c_str(),
                                          name.c_str(), H5P_DEFAULT) > 0;
}

Result<std::vector<std::string>> H5File::strings(const std::string& object,
                                                 const std::string& name) const {
  const auto bad = [&] {
    return problem(fmt::format("the attribute \"{}\" of \"{}\" is no text that can be read", name,
                               printable(object.empty() ? "/" : object, 120)));
  };
  if (!has_attribute(object, name)) return bad();
  const Handle attribute(H5Aopen_by_name(file_, object.empty() ? "/" : object.c_str(), name.c_str(),
                                         H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  if (!attribute) return bad();
  const Handle type(H5Aget_type(*attribute), H5Tclose);
  const Handle space(H5Aget_space(*attribute), H5Sclose);
  if (!type || !space) return bad();
  std::vector<std::string> texts;
  const hssize_t count = H5Sget_simple_extent_npoints(*space);
  if (count <= 0) return texts;
  if (H5Tget_class(*type) != H5T_STRING || static_cast<size_t>(count) > kMaxMembers) return bad();
  const bool read = H5Tis_variable_str(*type) > 0
                        ? read_variable(*attribute, *bytes_, static_cast<size_t>(count), texts)
                        : read_fixed(*attribute, *type, static_cast<size_t>(count), texts);
  if (!read) return bad();
  return texts;
}

Result<std::vector<std::string>> H5File::split_strings(const std::string& object,
                                                       const std::string& name) const {
  if (has_attribute(object, name)) return strings(object, name);
  std::vector<std::string> all;
  for (size_t i = 0; i < kMaxMembers; ++i) {
    const std::string part = fmt::format("{}{}", name, i);
    if (!has_attribute(object, part)) break;
    GRADC_TRY(const std::vector<std::string> more, strings(object, part));
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace gradc::exchange
