#include "driver/aot.h"

#include "codegen/llvm_version.h"
#include "codegen/object_writer.h"
#include "codegen/target_needs.h"
#include "driver/c_names.h"
#include "driver/output.h"
#include "driver/toolchain.h"
#include "driver/version.h"
#include "runtime/dtype.h"
#include "runtime/process.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <filesystem>

namespace gradc {

namespace {

/// Everything of one `gradc compile`.
class AotCompilation {
 public:
  AotCompilation(const Model& model, const AotOptions& options)
      : model_(model), options_(options) {}

  Result<AotResult> run() {
    const auto begin = std::chrono::steady_clock::now();
    symbol_ = c_identifier(model_.name);
    GRADC_TRY_STATUS(check_places());
    if (options_.hosts != HostCalls{} && options_.emit == EmitKind::kExecutable) {
      return make_error(DiagKind::kInvalidUsage, {},
                        "a program is no library: hosts call no entries of it")
          .with_help("emit static, shared or obj");
    }
    GRADC_TRY_STATUS(compile());
    result_.compile_milliseconds =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    // From here on there are files that a signal must not leave behind.
    const rt::StopSignals signals(true);
    signals_ = &signals;
    const Status made = is_text() ? put(options_.output, object_.bytes, false) : link();
    result_.stopped = signals.noted();
    if (result_.stopped) return std::move(result_);  // files without commit() leave nothing
    GRADC_TRY_STATUS(made);
    for (rt::OutputFile& file : outputs_)
      GRADC_TRY_STATUS(from_output(file.commit()));
    return std::move(result_);
  }

 private:
  bool is_text() const {
    return options_.emit == EmitKind::kAssembly || options_.emit == EmitKind::kLlvm;
  }
  bool has_header() const { return !is_text() && options_.emit != EmitKind::kExecutable; }
  std::string header_path() const {
    return (std::filesystem::path(options_.output).parent_path() / (symbol_ + ".h")).string();
  }

  /// Whether everything can be written, before work is spent; what a header would take the place of
  /// must be a header of gradc's.
  Status check_places() const {
    GRADC_TRY_STATUS(check_output(options_.output));
    if (is_text()) return Ok{};
    rt::OutputPlace place;
    GRADC_TRY_STATUS(from_output(rt::find_output(options_.output.c_str(), &place)));
    if (place.in_place) {
      return make_error(DiagKind::kFileUnwritable, {},
                        "\"{}\" is no regular file: only asm and llvm can be written there",
                        options_.output);
    }
    if (!has_header()) return Ok{};
    const std::string header = header_path();
    GRADC_TRY_STATUS(check_output(header));
    rt::OutputPlace beside;
    GRADC_TRY_STATUS(from_output(rt::find_output(header.c_str(), &beside)));
    if (beside.path == place.path) {
      return make_error(DiagKind::kFileUnwritable, {},
                        "\"{}\" is the name of the C header, which is written beside the output",
                        header)
          .with_help("give the output another name");
    }
    if (beside.in_place || (beside.exists && !is_generated_header(header))) {
      return make_error(DiagKind::kFileUnwritable, {},
                        "the C header would take the place of \"{}\", which gradc did not write",
                        header)
          .with_help("write into another folder, or give the model another name");
    }
    return Ok{};
  }

  /// The entries for hosts. One that follows no schedule needs none of its rate.
  Result<std::vector<EntryPoint>> host_entries() const {
    std::vector<EntryPoint> kinds = entries_for(options_.hosts);
    if (!model_.training && (options_.hosts.gradients || options_.hosts.numbers)) {
      return make_error(DiagKind::kMissingOption, {.file = model_.file},
                        "the model has no \"training\" section, so it has no loss and no "
                        "optimizer for hosts to call")
          .with_help("add \"training\", or ask for losses of the host's own and for inputs alone");
    }
    if (!model_.training) std::erase_if(kinds, needs_training);
    const gradc_rt_model& model = tables_->model();
    if (model.num_hyperparameters > 0 && !std::isnan(model.hyperparameters[0].value))
      std::erase(kinds, EntryPoint::kLearningRate);
    return kinds;
  }

  Status compile() {
    std::vector<Diagnostic> warnings;
    const bool for_hosts = options_.hosts != HostCalls{};
    GRADC_TRY(tables_, make_tables(model_, effective_batch(model_, options_.compile), warnings,
                                   nullptr, for_hosts));
    std::vector<EntryPoint> kinds = entries_of(model_);
    std::erase(kinds, EntryPoint::kGradients);  // for comparisons by `gradc run`; a binary trains
    GRADC_TRY(const std::vector<EntryPoint> by_hand, host_entries());
    for (const EntryPoint kind : by_hand)
      kinds.push_back(kind);
    if (options_.emit == EmitKind::kExecutable && tables_->has_step())
      kinds.push_back(EntryPoint::kStep);  // only programs generate
    GRADC_TRY(const kernel::Program program,
              lower_entries(model_, kinds, *tables_, options_.compile, nullptr));
    compiler_ = fmt::format("gradc {}, LLVM {}", version_number(), llvm_version());
    gradc_rt_model& model = tables_->model();
    model.compiler = compiler_.c_str();
    model.target_triple = options_.compile.target.triple.c_str();
    model.target_cpu = options_.compile.target.cpu.c_str();
    needs_ = target_needs(options_.compile.target);
    model.target_features = needs_.empty() ? nullptr : needs_.c_str();
    ObjectOptions object;
    object.kind = options_.emit == EmitKind::kAssembly ? ObjectKind::kAssembly
                  : options_.emit == EmitKind::kLlvm   ? ObjectKind::kLlvm
                                                       : ObjectKind::kObject;
    object.symbol_prefix = symbol_ + "_code_";
    object.model = &model;
    object.model_symbol = symbol_ + "_model";
    GRADC_TRY(object_, write_object(program, options_.compile.target, object));
    for (EntryPoint kind : kinds) {
      // What the header says of memory.
      gradc_rt_entry& entry = tables_->entry(runtime_entry(kind));
      const auto it = std::find_if(program.entries.begin(), program.entries.end(),
                                   [&](const kernel::Entry& e) { return e.name == entry.name; });
      GRADC_CHECK(it != program.entries.end(), "the entry {} was not lowered", entry.name);
      const kernel::EntryTables& sizes =
          entry_tables_.emplace_back(kernel::make_entry_tables(*it, object_.kernel_scratch));
      entry.arena_bytes = sizes.arena_bytes;
      entry.scratch_bytes = sizes.scratch_bytes;
      entry.num_steps = static_cast<int64_t>(sizes.steps.size());
      entry.steps = sizes.steps.data();
      entry.num_arguments = static_cast<int64_t>(sizes.arguments.size());
    }
    return Ok{};
  }

  Status link() {
    if (!target_links_here(options_.compile.target)) {
      if (options_.emit != EmitKind::kObject) {
        return make_error(DiagKind::kUnsupported, {},
                          "only obj, asm and llvm can be emitted for {}: the runtime core inside "
                          "gradc is for this machine",
                          options_.compile.target.triple)
            .with_help("emit obj and link it there with the runtime core built from runtime/");
      }
      GRADC_TRY_STATUS(put(options_.output, object_.bytes, false));
      return write_header();
    }
    GRADC_TRY(compiler_command_, find_c_compiler());
    GRADC_TRY(const TemporaryFolder folder, TemporaryFolder::create());
    // No symbol has a hyphen: none of these is the object named after the model.
    const std::string object = folder.file("model-code.o"), archive = folder.file("libgradc_aot.a"),
                      source = folder.file("glue-code.c");
    GRADC_TRY_STATUS(write_file(object, object_.bytes));
    GRADC_TRY_STATUS(write_file(archive, embedded_runtime_archive()));
    const std::string linked = folder.file("linked");
    if (options_.emit == EmitKind::kExecutable) {
      GRADC_TRY_STATUS(write_file(
          source,
          fmt::format("struct gradc_rt_model;\nextern const struct gradc_rt_model {0}_model;\n"
                      "int gradc_rt_main(const struct gradc_rt_model* model, int argc, const char* "
                      "const* argv);\n"
                      "int main(int argc, char** argv) {{ return gradc_rt_main(&{0}_model, argc, "
                      "(const char* const*)argv); }}\n",
                      symbol_)));
      GRADC_TRY_STATUS(run_compiler(folder, {"-O2", "-o", linked, source, object, archive,
                                             "-Wl,--gc-sections", "-lm", "-lpthread"}));
      return finish_file(linked, true);
    }
    GRADC_TRY_STATUS(write_file(source, generated_wrappers(symbol_)));
    if (options_.emit == EmitKind::kShared) {
      std::string script = "{ global:";
      for (const std::string& name : exported_symbols(symbol_))
        script += " " + name + ";";
      GRADC_TRY_STATUS(write_file(folder.file("exports"), script + " local: *; };\n"));
      GRADC_TRY_STATUS(run_compiler(
          folder,
          {"-O2", "-fPIC", "-shared", "-o", linked, source, object, archive, "-Wl,--gc-sections",
           "-Wl,--version-script=" + folder.file("exports"), "-lm", "-lpthread"}));
      GRADC_TRY_STATUS(finish_file(linked, true));
      return write_header();
    }
    return merge(folder, {source, object, archive});
  }

  Status run_compiler(const TemporaryFolder& folder, std::initializer_list<std::string> arguments) {
    std::vector<std::string> command = compiler_command_;
    command.insert(command.end(), arguments);
    return run_tool(folder, command);
  }

  /// One relocatable object of model, wrappers and the parts of the runtime they need, with all but
  /// the documented symbols made local; for a static library, in an archive.
  Status merge(const TemporaryFolder& folder, const std::vector<std::string>& inputs) {
    const std::string wrappers = folder.file("glue-code.o"), merged = folder.file(symbol_ + ".o"),
                      list = folder.file("exports");
    GRADC_TRY_STATUS(run_compiler(
        folder, {"-O2", "-fPIC", "-fvisibility=hidden", "-c", "-o", wrappers, inputs[0]}));
    GRADC_TRY_STATUS(
        run_compiler(folder, {"-nostdlib", "-r", "-o", merged, wrappers, inputs[1], inputs[2]}));
    std::string names;
    for (const std::string& name : exported_symbols(symbol_))
      names += name + "\n";
    GRADC_TRY_STATUS(write_file(list, names));
    GRADC_TRY_STATUS(run_tool(folder, {"objcopy", "--keep-global-symbols=" + list, merged}));
    if (options_.emit == EmitKind::kObject) {
      GRADC_TRY_STATUS(finish_file(merged, false));
    } else {
      const std::string library = folder.file("library.a");
      GRADC_TRY_STATUS(run_tool(folder, {"ar", "rcsD", library, merged}));
      GRADC_TRY_STATUS(finish_file(library, false));
    }
    return write_header();
  }

  Status write_header() {
    return put(header_path(), generated_header(tables_->model(), symbol_), false);
  }

  /// A step of linking; a signal ends it.
  Status run_tool(const TemporaryFolder& folder, const std::vector<std::string>& command) {
    return run_program(command, folder, [this] { return signals_->noted(); });
  }

  Status finish_file(const std::string& path, bool executable) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr)
      return make_error(DiagKind::kToolFailed, {}, "linking ended well but wrote no \"{}\"", path);
    std::string bytes;
    char buffer[65536];
    for (size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, file)) > 0;)
      bytes.append(buffer, n);
    const bool whole = std::ferror(file) == 0;
    std::fclose(file);
    if (!whole) return make_error(DiagKind::kFileUnreadable, {}, "cannot read \"{}\" again", path);
    return put(options_.output, bytes, executable);
  }

  /// Writes under a temporary name: all files of a compilation appear together, at its end.
  Status put(const std::string& path, std::string_view bytes, bool executable) {
    rt::OutputFile& file = outputs_.emplace_back();
    GRADC_TRY_STATUS(from_output(file.open(path.c_str(), executable)));
    GRADC_TRY_STATUS(from_output(file.write(bytes.data(), bytes.size())));
    GRADC_TRY_STATUS(from_output(file.finish()));
    result_.files.push_back(path);
    return Ok{};
  }

  const Model& model_;
  const AotOptions& options_;
  std::string symbol_, compiler_, needs_;
  std::vector<std::string> compiler_command_;  ///< the C compiler and its first arguments
  std::unique_ptr<ModelTables> tables_;
  ObjectFile object_;
  std::deque<kernel::EntryTables> entry_tables_;
  AotResult result_;
  std::deque<rt::OutputFile> outputs_;
  const rt::StopSignals* signals_ = nullptr;
};

}  // namespace

std::vector<EntryPoint> entries_for(const HostCalls& calls) {
  std::vector<EntryPoint> kinds;
  const auto add = [&](bool wanted, std::initializer_list<EntryPoint> more) {
    for (const EntryPoint kind : more) {
      if (wanted) kinds.push_back(kind);
    }
  };
  const bool gradients = calls.gradients, losses = calls.losses;
  const bool either = calls.inputs && !gradients && !losses;
  add(calls.numbers, {EntryPoint::kTunedStep, EntryPoint::kTunedStepTail});
  add(calls.numbers || gradients || losses, {EntryPoint::kLearningRate});
  add(gradients || losses, {EntryPoint::kApplyGradients});
  add(losses || either, {EntryPoint::kForward, EntryPoint::kForwardTail});
  add(gradients, {EntryPoint::kLossToParameters, EntryPoint::kLossToParametersTail});
  add(calls.inputs && (gradients || either),
      {EntryPoint::kLossToInputs, EntryPoint::kLossToInputsTail});
  add(calls.inputs && gradients, {EntryPoint::kLossToAll, EntryPoint::kLossToAllTail});
  add(losses, {EntryPoint::kOutputsToParameters, EntryPoint::kOutputsToParametersTail});
  add(calls.inputs && (losses || either),
      {EntryPoint::kOutputsToInputs, EntryPoint::kOutputsToInputsTail});
  add(calls.inputs && losses, {EntryPoint::kOutputsToAll, EntryPoint::kOutputsToAllTail});
  return kinds;
}

Result<AotResult> compile_to_files(const Model& model, const AotOptions& options) {
  return AotCompilation(model, options).run();
}

}  // namespace gradc
