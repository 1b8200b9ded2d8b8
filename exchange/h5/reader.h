// One file's objects, each read once.
#pragma once

#include "exchange/h5/attributes.h"
#include "exchange/h5/links.h"

#include <map>
#include <memory>
#include <unordered_map>

namespace gradc::exchange::h5 {

class Reader {
 public:
  /// Nothing where it is no HDF5 file, a damaged one, or of another form than Keras's files have: a
  /// superblock at its begin, addresses and lengths of 8 bytes.
  static std::unique_ptr<Reader> open(std::unique_ptr<const FileBytes> bytes);

  const FileBytes& bytes() const { return *bytes_; }
  uint64_t root() const { return root_; }
  /// For what is looked at again whenever a dataset is read.
  Meter& indices() { return indices_; }
  /// Null where they are damaged.
  const std::vector<Message>* header(uint64_t object);
  const std::vector<Link>* links(uint64_t group);
  const std::vector<Attribute>* attributes(uint64_t object);
  /// The message itself, or the datatype message of the object that it leads to (IV.A.2, "shared").
  Span datatype(const Message& message);
  /// The text that a stored reference of `kReference` bytes leads to, up to its first NUL; nothing
  /// where no heap has an object of that number and length there.
  static constexpr size_t kReference = 16;
  std::optional<std::string> text(Span reference);

 private:
  /// An object of a global heap, by its number.
  using Heap = std::map<uint64_t, Span>;

  explicit Reader(std::unique_ptr<const FileBytes> bytes);
  bool read_superblock();
  Span shared_datatype(Span message);
  const Heap* heap(uint64_t address);

  std::unique_ptr<const FileBytes> bytes_;
  uint64_t root_ = 0;
  Meter meter_;
  Meter indices_;
  std::unordered_map<uint64_t, std::optional<std::vector<Message>>> headers_;
  std::unordered_map<uint64_t, std::optional<std::vector<Link>>> links_;
  std::unordered_map<uint64_t, std::optional<std::vector<Attribute>>> attributes_;
  std::unordered_map<uint64_t, std::optional<Heap>> heaps_;
};

}  // namespace gradc::exchange::h5
