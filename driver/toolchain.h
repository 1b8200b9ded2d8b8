// Linking native binaries: the runtime archives carried inside gradc, a temporary folder, and the
// system's compiler driver as the linker.
#pragma once

#include "support/result.h"

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// The runtime core with the command line of compiled executables, and zlib, as one archive.
std::string_view embedded_runtime_archive();

/// A fresh folder that is removed with everything in it. Those that killed runs left are removed
/// when a new one is made.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> create();
  TemporaryFolder(TemporaryFolder&& other) noexcept
      : path_(std::exchange(other.path_, {})), lock_(std::exchange(other.lock_, -1)) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();
  /// A path in the folder.
  std::string file(std::string_view name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  TemporaryFolder(std::filesystem::path path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::filesystem::path path_;
  int lock_ = -1;  ///< the folder, locked while this process lives
};

/// Writes bytes to a file of a temporary folder.
Status write_file(const std::string& path, std::string_view bytes);

/// Runs a program found on PATH with arguments (no shell), with its own temporary files in
/// `folder`; its output becomes the diagnostic when it fails. Ends it when `stopped` says so.
Status run_program(const std::vector<std::string>& command, const TemporaryFolder& folder,
                   const std::function<bool()>& stopped);

/// The C compiler driver to link with, and its first arguments: the words of $CC ("ccache gcc"),
/// else the first of cc, gcc, clang, clang-19 on PATH; kToolMissing otherwise.
Result<std::vector<std::string>> find_c_compiler();

}  // namespace gradc
