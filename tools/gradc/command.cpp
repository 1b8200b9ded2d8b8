#include "tools/gradc/command.h"

#include "driver/output.h"
#include "support/diagnostic_render.h"
#include "support/numbers.h"
#include "support/utf8.h"
#include "tools/gradc/describe.h"

#include "exchange/read_model.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace gradc::tool {

namespace {

/// Adds the file of a place to the set so that its line can be shown; unreadable files are simply
/// not shown.
void add_source(SourceSet& sources, const Place& place) {
  if (place.file.empty() || sources.find(place.file) != nullptr) return;
  auto file = exchange::open_description(place.file, size_t{1} << 30U);
  if (file.ok()) sources.add(file.take());
}

bool is_silenced(DiagKind kind) {
  for (int i = 0; i < rt::kNumWarningKinds; ++i) {
    const auto warning = static_cast<rt::WarningKind>(i);
    if (diag_name(kind) == rt::warning_name(warning)) return silenced_warnings().silenced(warning);
  }
  return false;
}

/// "4096", "64K", "1.5M", "2GiB".
std::optional<int64_t> parse_size(std::string_view text) {
  struct Unit {
    std::string_view name;
    double bytes;
  };
  constexpr double kBytes[] = {1.0, 1024.0, 1048576.0, 1073741824.0};
  constexpr Unit kUnits[] = {{"", kBytes[0]},   {"B", kBytes[0]},   {"K", kBytes[1]},
                             {"KB", kBytes[1]}, {"KiB", kBytes[1]}, {"M", kBytes[2]},
                             {"MB", kBytes[2]}, {"MiB", kBytes[2]}, {"G", kBytes[3]},
                             {"GB", kBytes[3]}, {"GiB", kBytes[3]}, {"k", kBytes[1]},
                             {"m", kBytes[2]},  {"g", kBytes[3]}};
  const size_t used = std::min(text.find_first_not_of("0123456789."), text.size());
  const double value = parse_double(text.substr(0, used)).value_or(-1.0);
  double factor = 0.0;
  for (const Unit& unit : kUnits) {
    if (unit.name == text.substr(used)) factor = unit.bytes;
  }
  if (!(value >= 0.0) || factor == 0.0 || value * factor > 9e18) return std::nullopt;
  return static_cast<int64_t>(value * factor);
}

}  // namespace

rt::Warnings& silenced_warnings() {
  static rt::Warnings warnings;
  return warnings;
}

void add_no_warn(CLI::App& command) {
  std::vector<std::string> kinds;
  for (int i = 0; i < rt::kNumWarningKinds; ++i)
    kinds.emplace_back(rt::warning_name(static_cast<rt::WarningKind>(i)));
  CLI::Option* option = command.add_option_function<std::vector<std::string>>(
      "--no-warn",
      [kinds](const std::vector<std::string>& names) {
        for (const std::string& name : names) {
          if (silenced_warnings().silence(name.c_str())) continue;
          throw CLI::ValidationError("--no-warn", check_choice(name, kinds));
        }
      },
      "leave out warnings of a kind (repeatable)");
  offer_choices(option, kinds)
      ->type_name("KIND")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

Given& given_of_model() {
  static Given given;
  return given;
}

namespace {

/// "x=28,28" or "x=[28, 28]".
bool take_shape(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) return false;
  Ints shape;
  std::string extents;
  for (const char c : text.substr(equals + 1)) {
    if (c != '[' && c != ']' && c != ' ') extents += c;
  }
  for (size_t begin = 0; begin <= extents.size();) {
    const size_t end = std::min(extents.find(',', begin), extents.size());
    int64_t extent = 0;
    const auto read = std::from_chars(extents.data() + begin, extents.data() + end, extent);
    if (read.ec != std::errc() || read.ptr != extents.data() + end || extent < 1) return false;
    shape.push_back(extent);
    begin = end + 1;
  }
  given_of_model().shapes.insert_or_assign(text.substr(0, equals), std::move(shape));
  return true;
}

}  // namespace

void add_shape(CLI::App& command) {
  command
      .add_option_function<std::vector<std::string>>(
          "--shape",
          [](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              if (take_shape(text)) continue;
              throw CLI::ValidationError(
                  "--shape",
                  fmt::format("\"{}\" is not of the form INPUT=28,28", printable(text, 80)));
            }
          },
          "the shape of an input, of one example, where the model's file leaves it open "
          "(repeatable)")
      ->type_name("INPUT=EXTENTS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

void add_set(CLI::App& command) {
  command
      .add_option_function<std::vector<std::string>>(
          "--set",
          [](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              std::optional<SetValue> set = parse_set_value(text);
              if (!set)
                throw CLI::ValidationError(
                    "--set", fmt::format("\"{}\" is not of the form training.batch_size=32",
                                         printable(text, 80)));
              given_of_model().values.push_back(std::move(*set));
            }
          },
          "another value for this run, such as training.optimizer.learning_rate=0.1 or "
          "layers.hidden.units=64 (repeatable)")
      ->type_name("PATH=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

int report(const std::vector<Diagnostic>& all) {
  std::vector<Diagnostic> diagnostics;
  std::ranges::copy_if(all, std::back_inserter(diagnostics), [](const Diagnostic& diagnostic) {
    return diagnostic.severity == Severity::kError || !is_silenced(diagnostic.kind);
  });
  SourceSet sources;
  size_t errors = 0;
  size_t usage_errors = 0;
  bool internal = false;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity == Severity::kError) {
      ++errors;
      if (diagnostic.kind == DiagKind::kInvalidUsage) ++usage_errors;
      internal = internal || diagnostic.kind == DiagKind::kInternal;
    }
    add_source(sources, diagnostic.place);
    for (const Note& note : diagnostic.notes)
      add_source(sources, note.place);
  }
  RenderOptions options;
  options.color = wants_color(stderr);
  const std::string text = render_diagnostics(diagnostics, sources, options);
  std::fwrite(text.data(), 1, text.size(), stderr);
  if (internal) {
    std::fputs("this is a bug in gradc; please report it with the model and the command line\n",
               stderr);
    return kInternalError;
  }
  if (errors == 0) return kSuccess;
  return errors == usage_errors ? kUsageError : kUserError;
}

CLI::Validator whole_number(int64_t least) {
  return CLI::Validator(
      [least](std::string& text) -> std::string {
        uint64_t value = 0;
        const char* end = text.data() + text.size();
        const auto read = std::from_chars(text.data(), end, value);
        if (read.ec == std::errc() && read.ptr == end && value >= static_cast<uint64_t>(least))
          return {};
        return fmt::format("\"{}\" is no whole number of at least {}", printable(text, 80), least);
      },
      "");
}

CLI::Validator positive_number() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        const double value = parse_double(text).value_or(0.0);
        if (std::isfinite(value) && value > 0) return {};
        return fmt::format("\"{}\" is no number above 0", printable(text, 80));
      },
      "");
}

CLI::Validator output_name() {
  return CLI::Validator(
      [](std::string& text) { return text.empty() ? std::string("a file name is empty") : ""; },
      "");
}

void add_batch_size(CLI::App& command, int64_t& batch_size) {
  command.add_option("--batch-size", batch_size, "rows of a batch (default: the model's)")
      ->check(whole_number(1));
}

void add_threads(CLI::App& command, int& threads) {
  command.add_option("--threads", threads, "threads; 0: one per core (default 1)")
      ->check(whole_number(0));
}

void add_cpu(CLI::App& command, std::string& cpu) {
  command.add_option("--cpu", cpu,
                     "use no instructions beyond this CPU's, as LLVM names it: x86-64-v3 (default: "
                     "all that this machine has)");
}

CLI::Option* add_memory_budget(CLI::App& command, std::optional<int64_t>& bytes) {
  return command
      .add_option_function<std::string>(
          "--memory-budget",
          [&bytes](const std::string& text) {
            bytes = parse_size(text);
            if (bytes) return;
            throw CLI::ValidationError("--memory-budget",
                                       fmt::format("\"{}\" is no size: bytes, or a number with K, "
                                                   "M or G, as 64K, 1.5M",
                                                   printable(text, 80)));
          },
          "what a step's values may take at once (64K, 1.5M, 2G): a training step makes values "
          "again rather than keep more; an error says the least that is possible")
      ->type_name("SIZE");
}

void add_no_cache(CLI::App& command, bool& cache) {
  command.add_flag(
      "!--no-cache", cache,
      "compile anew: neither take compiled code from the cache ($XDG_CACHE_HOME/gradc, "
      "or GRADC_CACHE=FOLDER|off) nor keep it there");
}

Status write_text(const std::string& path, std::string_view text) {
  return write_output(path.empty() ? "-" : path, text);
}

std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

bool has_extension(std::string_view path, std::string_view extension) {
  return path.size() > extension.size() + 1 &&
         path.substr(path.size() - extension.size()) == extension &&
         path[path.size() - extension.size() - 1] == '.';
}

}  // namespace gradc::tool
