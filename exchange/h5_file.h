// HDF5 files behind few functions. They are read by h5/, which takes nothing on trust: a file may
// come from anywhere. What Keras itself refuses is refused (links to elsewhere, data in other
// files, sizes that are stated and not there). They are written by libhdf5 in h5_write/; no_h5/
// says that it is not there in libgradc (Debian's static libhdf5 cannot go into a shared library,
// and the shared one loads forty others into the host).
#pragma once

#include "runtime/array.h"
#include "support/result.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc::exchange {

namespace h5 {
class Reader;
struct Attribute;
}  // namespace h5

class H5File {
 public:
  static Result<std::unique_ptr<H5File>> open(const std::string& path);
  /// A file in memory, which must outlive this; `name` is for messages.
  static Result<std::unique_ptr<H5File>> open_image(const std::string& name,
                                                    const rt::Bytes& bytes);
  H5File(const H5File&) = delete;
  H5File& operator=(const H5File&) = delete;
  ~H5File();

  /// Whether the path leads to a group or dataset of this file, by plain links only.
  bool has(std::string_view path) const;
  bool is_group(std::string_view path) const;
  /// The same for every path to one object; nothing where there is none.
  std::optional<uint64_t> address(std::string_view path) const;
  /// Names of what a group holds, in byte order.
  Result<std::vector<std::string>> members(const std::string& group) const;
  bool has_attribute(const std::string& object, const std::string& name) const;
  /// A text, or a list of texts, of any of HDF5's kinds of strings.
  Result<std::vector<std::string>> strings(const std::string& object,
                                           const std::string& name) const;
  /// The same where a long list may be split into `name`0, `name`1, ...
  Result<std::vector<std::string>> split_strings(const std::string& object,
                                                 const std::string& name) const;
  Result<rt::Array> dataset(const std::string& path) const;

 private:
  H5File(std::string name, std::unique_ptr<h5::Reader> reader);
  Diagnostic problem(std::string_view what) const;
  const h5::Attribute* attribute(std::string_view object, std::string_view name) const;
  bool is_too_much(uint64_t bytes) const;

  std::string name_;
  std::unique_ptr<h5::Reader> reader_;
  mutable uint64_t read_bytes_ = 0;  ///< of all datasets, and of what they were unpacked from
};

/// What a file is made of; groups on the way to what is named are made.
struct H5Content {
  struct Text {
    std::string object, name, value;
  };
  struct Names {
    std::string object, name;
    std::vector<std::string> values;
  };
  std::vector<std::string> groups;
  std::vector<Text> texts;   ///< attributes
  std::vector<Names> names;  ///< attributes that are lists
  std::vector<std::pair<std::string, const rt::Array*>> arrays;
};

/// A file's bytes. Floats of 16 bits become f32, which every reader has.
Result<std::vector<char>> make_h5(const H5Content& content);

}  // namespace gradc::exchange
