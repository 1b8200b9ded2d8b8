// A child process of a test: started, signalled, waited for.
#pragma once

#include "tests/unit/driver/command.h"

#include <csignal>
#include <fcntl.h>
#include <string>
#include <utility>
#include <vector>

namespace gradc::test {

class Child {
 public:
  struct Streams {
    std::string out = "/dev/null";
    std::string err = "/dev/null";
    int terminal = -1;              ///< a descriptor for standard error instead
    std::vector<int> closed = {};   ///< descriptors that are closed at the start
    std::vector<int> ignored = {};  ///< signals that are ignored at the start
    std::vector<std::pair<std::string, std::string>> variables = {};  ///< of the environment
  };

  Child(std::vector<std::string> command, const Streams& streams) {
    std::vector<char*> arguments;
    for (std::string& word : command)
      arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = fork();
    if (process_ != 0) return;
    for (const auto& [name, value] : streams.variables)
      setenv(name.c_str(), value.c_str(), 1);
    for (const int number : {SIGINT, SIGTERM, SIGHUP})
      signal(number, SIG_DFL);
    for (const int number : streams.ignored)
      signal(number, SIG_IGN);
    redirect(streams.out, STDOUT_FILENO);
    if (streams.terminal >= 0) {
      dup2(streams.terminal, STDERR_FILENO);
    } else {
      redirect(streams.err, STDERR_FILENO);
    }
    for (const int descriptor : streams.closed)
      close(descriptor);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    wait();
  }

  void signal_with(int number) const {
    if (process_ > 0) ::kill(process_, number);  // never all processes, which -1 would be
  }
  bool running() { return process_ > 0 && collect(WNOHANG) == 0; }
  /// The exit code, or 128 and the signal that ended it.
  int wait() {
    if (process_ > 0) collect(0);
    return code_;
  }

 private:
  static void redirect(const std::string& path, int descriptor) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file >= 0 && file != descriptor) {
      dup2(file, descriptor);
      close(file);
    }
  }
  pid_t collect(int options) {
    int state = 0;
    const pid_t ended = waitpid(process_, &state, options);
    if (ended == process_) {
      code_ = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
      process_ = -1;
    }
    return ended;
  }

  pid_t process_ = -1;
  int code_ = -1;
};

/// A small network with dropout, and 200 rows for it: `model.json` and `data.csv` in a folder.
class SmallTraining {
 public:
  explicit SmallTraining(const std::string& training = R"("optimizer": "adam", "batch_size": 16)",
                         int units = 16) {
    write_text_file(model(), R"({"name": "small_net", "inputs": [{"name": "x", "shape": [4]}],
      "layers": [{"type": "dense", "units": )" +
                                 std::to_string(units) +
                                 R"(, "activation": "tanh"}, {"type": "dropout", "rate": 0.2},
        {"type": "dense", "units": 1, "name": "y"}], "training": {"loss": "mse", )" +
                                 training + "}}");
    std::string rows = "a,b,c,d,y\n";
    unsigned bits = 1;
    for (int row = 0; row < 200; ++row) {
      int sum = 0;
      for (int column = 0; column < 4; ++column) {
        bits = bits * 1664525U + 1013904223U;
        const int value = static_cast<int>(bits >> 29U) - 4;
        sum += value * (column + 1);
        rows += std::to_string(value) + ".25,";
      }
      rows += std::to_string(sum) + "\n";
    }
    write_text_file(scratch_ / "data.csv", rows);
  }
  std::string model() const { return scratch_ / "model.json"; }
  std::string operator/(const std::string& name) const { return scratch_ / name; }
  /// The first words of a training by JIT or, once compiled, by the native program.
  std::vector<std::string> by_jit() const {
    return {tool(), "train", model(), "--data", (scratch_ / "data.csv") + ":target=y"};
  }
  std::vector<std::string> by_program() const {
    return {scratch_ / "program", "train", "--data", (scratch_ / "data.csv") + ":target=y"};
  }
  Outcome compile() const { return gradc("compile " + model() + " -o " + (scratch_ / "program")); }

 private:
  Scratch scratch_;
};

inline std::vector<std::string> operator+(std::vector<std::string> command,
                                          const std::vector<std::string>& more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

/// A command line for a shell.
inline std::string line_of(const std::vector<std::string>& command) {
  std::string line;
  for (const std::string& word : command)
    line += "'" + word + "' ";
  return line;
}

/// The epochs of a log's lines; "?" for a line that is something else.
inline std::string epochs_of(const std::string& path) {
  std::istringstream lines(read_file(path));
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    const bool ours = line.rfind("{\"epoch\":", 0) == 0 && line.back() == '}';
    result += (result.empty() ? "" : " ") +
              (ours ? line.substr(9, line.find(',') - 9) : std::string("?"));
  }
  return result;
}
inline std::string epochs_to(int last) {
  std::string result;
  for (int epoch = 1; epoch <= last; ++epoch)
    result += (epoch > 1 ? " " : "") + std::to_string(epoch);
  return result;
}

/// Names in a folder that end as temporary files do.
inline size_t temporaries_in(const std::string& folder) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    count += entry.path().extension() == ".gradc-tmp" ? 1 : 0;
  return count;
}

}  // namespace gradc::test
