// Where libhdf5 is not linked: every function says so.
#include "exchange/h5_file.h"

namespace gradc::exchange {
namespace {

Diagnostic not_here(const std::string& name) {
  return make_error(DiagKind::kUnsupported, {.file = name},
                    "libgradc reads and writes no HDF5 (.h5 and .keras files)")
      .with_help("make native files of it: gradc convert FILE -o model.json");
}

}  // namespace

Result<std::unique_ptr<H5File>> H5File::open(const std::string& path) {
  return not_here(path);
}
Result<std::unique_ptr<H5File>> H5File::open_image(const std::string& name, rt::Bytes&) {
  return not_here(name);
}
H5File::~H5File() = default;
Diagnostic H5File::problem(std::string_view) const {
  return not_here(name_);
}
bool H5File::has(const std::string&) const {
  return false;
}
bool H5File::is_group(const std::string&) const {
  return false;
}
std::optional<uint64_t> H5File::address(const std::string&) const {
  return std::nullopt;
}
Result<std::vector<std::string>> H5File::members(const std::string&) const {
  return not_here(name_);
}
bool H5File::has_attribute(const std::string&, const std::string&) const {
  return false;
}
Result<std::vector<std::string>> H5File::strings(const std::string&, const std::string&) const {
  return not_here(name_);
}
Result<std::vector<std::string>> H5File::split_strings(const std::string&,
                                                       const std::string&) const {
  return not_here(name_);
}
Result<rt::Array> H5File::dataset(const std::string&) const {
  return not_here(name_);
}
Result<std::vector<char>> make_h5(const H5Content&) {
  return not_here({});
}

}  // namespace gradc::exchange
