#include "driver/toolchain.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <optional>
#include <spawn.h>
#include <sys/file.h>
#include <sys/stat.h>
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

namespace {

constexpr std::string_view kFolderPrefix = "gradc-compile-";

/// The folder, locked; -1 if another process holds it or it is not this user's.
int lock_folder(const std::filesystem::path& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info{};
  if (folder >= 0 && fstat(folder, &info) == 0 && info.st_uid == geteuid() &&
      flock(folder, LOCK_EX | LOCK_NB) == 0) {
    return folder;
  }
  if (folder >= 0) close(folder);
  return -1;
}

void remove_abandoned_folders(const std::filesystem::path& base) {
  std::error_code code;
  std::vector<std::filesystem::path> found;
  for (std::filesystem::directory_iterator at(base, code), end; !code && at != end;
       at.increment(code)) {
    if (at->path().filename().string().starts_with(kFolderPrefix)) found.push_back(at->path());
  }
  for (const std::filesystem::path& path : found) {
    const int lock = lock_folder(path);
    if (lock < 0) continue;
    std::filesystem::remove_all(path, code);
    close(lock);
  }
}

}  // namespace

Result<TemporaryFolder> TemporaryFolder::create() {
  std::error_code code;
  std::filesystem::path base = std::filesystem::temp_directory_path(code);
  if (code) base = "/tmp";
  remove_abandoned_folders(base);
  // Another run may take the folder for abandoned between its making and its locking.
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string pattern = (base / (std::string(kFolderPrefix) + "XXXXXX")).string();
    if (mkdtemp(pattern.data()) == nullptr) {
      return make_error(DiagKind::kFileUnwritable, {}, "cannot make a temporary folder \"{}\": {}",
                        pattern, std::strerror(errno));
    }
    const int lock = lock_folder(pattern);
    if (lock >= 0 && std::filesystem::exists(pattern, code)) return TemporaryFolder(pattern, lock);
    if (lock >= 0) close(lock);
  }
  return make_error(DiagKind::kFileUnwritable, {}, "cannot lock a temporary folder in \"{}\"",
                    base.string());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  if (lock_ >= 0) close(lock_);
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

/// Runs a program to its end: 0, an errno if it could not be run, -1 if it failed.
int spawn(std::vector<char*>& arguments, std::vector<char*>& variables, std::FILE* output,
          const std::function<bool()>& stopped) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(output), 1);
  posix_spawn_file_actions_adddup2(&actions, fileno(output), 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t usual;  // what gradc ignores is its own affair
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  sigaddset(&usual, SIGXFSZ);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const int error =
      posix_spawnp(&child, arguments[0], &actions, &attributes, arguments.data(), variables.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return error;
  int state = 0;
  // A signal may come just before a wait without end, which would not see it: short waits do.
  const timespec pause{0, 2000000};
  for (pid_t ended = 0; ended == 0;) {
    ended = waitpid(child, &state, WNOHANG);
    if (ended < 0 && errno == EINTR) ended = 0;
    if (ended == 0 && stopped()) kill(child, SIGTERM);
    if (ended == 0) nanosleep(&pause, nullptr);
  }
  return WIFEXITED(state) && WEXITSTATUS(state) == 0 ? 0 : -1;
}

}  // namespace

Status run_program(const std::vector<std::string>& command, const TemporaryFolder& folder,
                   const std::function<bool()>& stopped) {
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  std::string temporary = "TMPDIR=" + folder.path().string();
  std::vector<char*> variables = {temporary.data()};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "TMPDIR=", 7) != 0) variables.push_back(*variable);
  }
  variables.push_back(nullptr);
  std::FILE* output = std::fopen(folder.file("messages").c_str(), "w+e");
  if (output == nullptr) {
    return make_error(DiagKind::kFileUnwritable, {}, "cannot make a temporary file: {}",
                      std::strerror(errno));
  }
  const int error = spawn(arguments, variables, output, stopped);
  const std::string text = read_all(output);
  std::fclose(output);
  if (error > 0) {
    return make_error(DiagKind::kToolMissing, {}, "cannot run \"{}\": {}", command[0],
                      std::strerror(error));
  }
  if (error < 0) {
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
