#include "driver/toolchain.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
extern const char gradc_embedded_runtime[];
extern const char gradc_embedded_runtime_end[];
extern char** environ;
}

namespace gradc {

std::string_view embedded_runtime_archive() {
  return {gradc_embedded_runtime,
          static_cast<size_t>(gradc_embedded_runtime_end - gradc_embedded_runtime)};
}

Result<TemporaryFolder> TemporaryFolder::create() {
  std::error_code code;
  std::filesystem::path base = std::filesystem::temp_directory_path(code);
  if (code) base = "/tmp";
  std::string pattern = (base / "gradc-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    return make_error(DiagKind::kFileUnwritable, {}, "cannot make a temporary folder \"{}\": {}",
                      pattern, std::strerror(errno));
  }
  return TemporaryFolder(pattern);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Status write_file(const std::string& path, std::string_view bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  bool written = file != nullptr;
  if (written) {
    written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    written = std::fclose(file) == 0 && written;
  }
  if (!written) {
    return make_error(DiagKind::kFileUnwritable, {}, "cannot write \"{}\": {}", path,
                      std::strerror(errno));
  }
  return Ok{};
}

namespace {

std::string read_all(std::FILE* file) {
  std::string text;
  std::rewind(file);
  char buffer[4096];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, file)) > 0;)
    text.append(buffer, n);
  return text;
}

}  // namespace

Status run_program(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  std::FILE* output = std::tmpfile();
  if (output == nullptr) {
    return make_error(DiagKind::kFileUnwritable, {}, "cannot make a temporary file: {}",
                      std::strerror(errno));
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(output), 1);
  posix_spawn_file_actions_adddup2(&actions, fileno(output), 2);
  pid_t child = 0;
  const int error =
      posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int state = 0;
  if (error == 0) {
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
  }
  const std::string text = read_all(output);
  std::fclose(output);
  if (error != 0) {
    return make_error(DiagKind::kToolMissing, {}, "cannot run \"{}\": {}", command[0],
                      std::strerror(error));
  }
  if (!WIFEXITED(state) || WEXITSTATUS(state) != 0) {
    Diagnostic diagnostic =
        make_error(DiagKind::kToolFailed, {}, "\"{}\" failed while linking", command[0]);
    if (!text.empty()) diagnostic.with_note(text);
    return diagnostic;
  }
  return Ok{};
}

namespace {

/// The words of a command line as a shell takes them: quotes keep spaces, a backslash the next
/// character. No value when a quote is not closed.
std::optional<std::vector<std::string>> shell_words(std::string_view text) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = '\0';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool space = c == ' ' || c == '\t' || c == '\n';
    if (quote == '\0' && space) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (quote != '\0' && c == quote) {
      quote = '\0';
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'') {
      if (++i == text.size()) return std::nullopt;
      words.back() += text[i];
    } else {
      words.back() += c;
    }
  }
  if (quote != '\0') return std::nullopt;
  return words;
}

}  // namespace

Result<std::vector<std::string>> find_c_compiler() {
  const char* chosen = std::getenv("CC");
  const std::string given = chosen == nullptr ? "" : chosen;
  if (given.find('/') != std::string::npos && access(given.c_str(), X_OK) == 0)
    return std::vector<std::string>{given};  // a path, spaces and all
  const auto words = shell_words(given);
  if (!words || (!words->empty() && words->front().empty())) {
    return make_error(DiagKind::kToolMissing, {}, "CC is `{}`, which is no command", given)
        .with_help("a compiler and its options, as in a shell: CC=\"ccache gcc\"");
  }
  if (!words->empty()) return *words;
  const char* path = std::getenv("PATH");
  for (const char* name : {"cc", "gcc", "clang", "clang-19"}) {
    std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
    while (!rest.empty()) {
      const size_t end = rest.find(':');
      const std::string candidate = fmt::format("{}/{}", rest.substr(0, end), name);
      if (access(candidate.c_str(), X_OK) == 0) return std::vector<std::string>{name};
      rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    }
  }
  return make_error(
             DiagKind::kToolMissing, {},
             "no C compiler was found to link with: cc, gcc, clang and clang-19 are not on PATH")
      .with_help("install gcc or clang, or set CC; --emit obj, asm and llvm need none");
}

}  // namespace gradc
