// A folder of results that cost time to make, by what they are made of. Safe against concurrent
// writers (files appear whole), damaged files (a checksum; what does not hold is no result), other
// users (a folder that others may write to is not used), and growing without end. Never fails: a
// result that cannot be found or kept is made again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gradc {

class DiskCache {
 public:
  static constexpr int64_t kDefaultLimit = int64_t{256} << 20;

  /// A cache in `folder`, which is made when something is stored, of at most about `limit` bytes.
  explicit DiskCache(std::string folder, int64_t limit = kDefaultLimit)
      : folder_(std::move(folder)), limit_(limit) {}

  /// The folder that the environment names: GRADC_CACHE ("off": none), else $XDG_CACHE_HOME/gradc,
  /// else $HOME/.cache/gradc; nothing if there is none of these.
  static std::optional<std::string> user_folder();

  /// The cache there.
  static std::optional<DiskCache> of_user();

  /// What was stored under exactly this key.
  std::optional<std::string> find(std::string_view key) const;
  /// Keeps a result; the oldest ones make room. False if it could not be kept.
  bool store(std::string_view key, std::string_view value) const;

  const std::string& folder() const { return folder_; }
  /// The file of a key.
  std::string path_of(std::string_view key) const;

 private:
  bool make_folder() const;
  void trim() const;

  std::string folder_;
  int64_t limit_;
};

}  // namespace gradc
