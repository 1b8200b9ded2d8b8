// Names and texts of a file; its numbers are in dataset.cpp.
#include "support/utf8.h"

#include "exchange/h5/datatype.h"
#include "exchange/h5/reader.h"
#include "exchange/h5_file.h"

namespace gradc::exchange {
namespace {

constexpr size_t kMaxStringBytes = size_t{256} << 20U;
constexpr size_t kMaxMembers = 1'000'000;

/// Strings whose bytes follow each other, up to the first NUL of each; blanks are kept, as h5py
/// keeps them.
bool read_fixed(const h5::Attribute& attribute, uint64_t length, uint64_t count,
                std::vector<std::string>& out) {
  h5::Cursor at(attribute.data);
  for (uint64_t i = 0; i < count && at.ok(); ++i) {
    const h5::Span bytes = at.take(length);
    out.emplace_back(bytes.begin(), std::ranges::find(bytes, uint8_t{0}));
  }
  return at.ok();
}

bool read_variable(const h5::Attribute& attribute, h5::Reader& reader, uint64_t count,
                   std::vector<std::string>& out) {
  h5::Cursor at(attribute.data);
  size_t bytes = 0;
  for (uint64_t i = 0; i < count; ++i) {
    std::optional<std::string> text = reader.text(at.take(h5::Reader::kReference));
    if (!text || (bytes += text->size()) > kMaxStringBytes) return false;
    out.push_back(std::move(*text));
  }
  return true;
}

bool read_texts(const h5::Attribute& attribute, h5::Reader& reader, std::vector<std::string>& out) {
  const auto space = h5::read_dataspace(attribute.space);
  const auto count = space ? h5::element_count(*space) : std::nullopt;
  if (!count) return false;
  if (*count == 0) return true;
  const auto type = h5::read_datatype(attribute.type);
  if (!type || *count > kMaxMembers) return false;
  if (type->kind == h5::TypeClass::kString) return read_fixed(attribute, type->size, *count, out);
  constexpr uint32_t kText = 1;  // and not a sequence of elements of another type
  const bool is_text = type->kind == h5::TypeClass::kVariable && (type->bits & 0x0FU) == kText &&
                       type->size == h5::Reader::kReference;
  return is_text && read_variable(attribute, reader, *count, out);
}

Result<std::unique_ptr<h5::Reader>> read(const std::string& name,
                                         std::unique_ptr<const h5::FileBytes> bytes) {
  std::unique_ptr<h5::Reader> reader = h5::Reader::open(std::move(bytes));
  if (reader) return reader;
  return make_error(DiagKind::kInvalidData, {.file = name},
                    "\"{}\" is no HDF5 file, or a damaged one", printable(name, 200));
}

const h5::Link* find_link(const std::vector<h5::Link>* links, std::string_view name) {
  if (links == nullptr) return nullptr;
  const auto found = std::ranges::lower_bound(*links, name, {}, &h5::Link::name);
  return found != links->end() && found->name == name ? &*found : nullptr;
}

}  // namespace

H5File::H5File(std::string name, std::unique_ptr<h5::Reader> reader)
    : name_(std::move(name)), reader_(std::move(reader)) {}

H5File::~H5File() = default;

Result<std::unique_ptr<H5File>> H5File::open(const std::string& path) {
  GRADC_TRY(std::unique_ptr<h5::Reader> reader, read(path, h5::FileBytes::open(path)));
  return std::unique_ptr<H5File>(new H5File(path, std::move(reader)));
}

Result<std::unique_ptr<H5File>> H5File::open_image(const std::string& name,
                                                   const rt::Bytes& bytes) {
  GRADC_TRY(std::unique_ptr<h5::Reader> reader,
            read(name, h5::FileBytes::image({bytes.data(), bytes.size()})));
  return std::unique_ptr<H5File>(new H5File(name, std::move(reader)));
}

Diagnostic H5File::problem(std::string_view what) const {
  return make_error(DiagKind::kInvalidData, {.file = name_}, "{}", what);
}

std::optional<uint64_t> H5File::address(std::string_view path) const {
  uint64_t object = reader_->root();
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (part.empty()) continue;
    const h5::Link* link = find_link(reader_->links(object), part);
    if (link == nullptr || !link->address) return std::nullopt;  // soft and external: elsewhere
    object = *link->address;
  }
  return object;
}

bool H5File::has(std::string_view path) const {
  return address(path).has_value();
}

bool H5File::is_group(std::string_view path) const {
  const std::optional<uint64_t> object = address(path);
  const std::vector<h5::Message>* header = object ? reader_->header(*object) : nullptr;
  return header != nullptr && h5::is_group(*header);
}

Result<std::vector<std::string>> H5File::members(const std::string& group) const {
  const std::optional<uint64_t> object = address(group);
  const std::vector<h5::Link>* links = object ? reader_->links(*object) : nullptr;
  if (links == nullptr)
    return problem(fmt::format("the group \"{}\" cannot be read", printable(group, 120)));
  std::vector<std::string> names;
  for (const h5::Link& link : *links)
    names.push_back(link.name);
  return names;
}

const h5::Attribute* H5File::attribute(std::string_view object, std::string_view name) const {
  const std::optional<uint64_t> where = address(object);
  const std::vector<h5::Attribute>* all = where ? reader_->attributes(*where) : nullptr;
  if (all == nullptr) return nullptr;
  const auto found = std::ranges::lower_bound(*all, name, {}, &h5::Attribute::name);
  return found != all->end() && found->name == name ? &*found : nullptr;
}

bool H5File::has_attribute(const std::string& object, const std::string& name) const {
  return attribute(object, name) != nullptr;
}

Result<std::vector<std::string>> H5File::strings(const std::string& object,
                                                 const std::string& name) const {
  const h5::Attribute* found = attribute(object, name);
  std::vector<std::string> texts;
  if (found != nullptr && read_texts(*found, *reader_, texts)) return texts;
  return problem(fmt::format("the attribute \"{}\" of \"{}\" is no text that can be read", name,
                             printable(object.empty() ? "/" : object, 120)));
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
