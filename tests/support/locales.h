// Locales for tests, made by localedef into the build folder: no root, and the machine's own list
// does not matter. A test that finds reason() not empty skips with it.
#pragma once

#include <clocale>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace gradc::test {

/// The folder that LOCPATH names from here on; holds the locales that write numbers differently:
/// de_DE (0,5 and 1.000), ps_AF (neither is ASCII), de_CH and en_IN (grouped digits).
class LocaleFolder {
 public:
  LocaleFolder() {
    const std::filesystem::path folder = std::filesystem::path(GRADC_BINARY_DIR) / "locales";
    std::error_code ignored;
    std::filesystem::create_directories(folder, ignored);
    for (const std::string name : {"de_DE", "de_CH", "en_IN", "ps_AF"}) {
      const std::string target = (folder / (name + ".UTF-8")).string();
      if (std::filesystem::exists(target + "/LC_NUMERIC")) continue;
      const std::string command =
          "localedef --no-archive -i " + name + " -f UTF-8 '" + target + "' >/dev/null 2>&1";
      if (std::system(command.c_str()) != 0) {
        reason_ = "localedef cannot make " + name + " (Debian: apt-get install locales)";
        return;
      }
    }
    path_ = folder.string();
    setenv("LOCPATH", path_.c_str(), 1);
  }

  /// Why there are none; empty if there are.
  const std::string& reason() const { return reason_; }
  const std::string& path() const { return path_; }

 private:
  std::string reason_, path_;
};

/// The process's locale while it lives.
class ScopedLocale {
 public:
  explicit ScopedLocale(const char* name) : ok_(std::setlocale(LC_ALL, name) != nullptr) {}
  ~ScopedLocale() { std::setlocale(LC_ALL, "C"); }
  ScopedLocale(const ScopedLocale&) = delete;
  ScopedLocale& operator=(const ScopedLocale&) = delete;
  bool ok() const { return ok_; }

 private:
  bool ok_;
};

}  // namespace gradc::test
