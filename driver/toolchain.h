// Linking native binaries: the runtime archives carried inside gradc, a temporary folder, and the
// system's compiler driver as the linker.
#pragma once

#include "support/result.h"

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// The runtime core with the command line of compiled executables, and zlib, as one archive.
std::string_view embedded_runtime_archive();

/// A fresh folder that is removed with everything in it.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> create();
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();
  /// A path in the folder.
  std::string file(std::string_view name) const { return (path_ / name).string(); }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

/// Writes bytes to a file.
Status write_file(const std::string& path, std::string_view bytes);

/// Runs a program found on PATH with arguments (no shell); its output becomes the diagnostic when
/// it fails.
Status run_program(const std::vector<std::string>& command);

/// The C compiler driver to link with, and its first arguments: the words of $CC ("ccache gcc"),
/// else the first of cc, gcc, clang, clang-19 on PATH; kToolMissing otherwise.
Result<std::vector<std::string>> find_c_compiler();

}  // namespace gradc
