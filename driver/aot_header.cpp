// The C header and wrappers of compiled libraries.
#include "driver/aot.h"
#include "driver/c_names.h"
#include "runtime/dtype.h"
#include "runtime/library.h"
#include "runtime/table_bytes.h"
#include "support/source_file.h"

#include <array>
#include <regex>

namespace gradc {

namespace {

constexpr std::string_view kHeaderMark = ": a training step compiled by ";

struct Function {
  const char* suffix;  ///< after NAME_
  const char* result;
  const char* parameters;  ///< of the public function
  const char* callee;      ///< of the runtime core
  bool takes_model;        ///< before the arguments
  const char* arguments;
  const char* doc;
};

constexpr std::array<Function, 29> kFunctions = {{
    {"memory_bytes", "size_t", "int32_t threads", "gradc_rt_memory_bytes", true, "threads",
     "Bytes that @_create needs when memory is given. threads: 0 = one per processor."},
    {"check_processor", "int", "char* text, size_t bytes", "gradc_rt_check_processor", true,
     "text, bytes",
     "0, or #_WRONG_PROCESSOR and what this processor lacks in text (may be NULL; always ends with "
     "a "
     "zero)."},
    {"create", "int", "void* memory, size_t bytes, int32_t threads, @** out", "gradc_rt_create",
     true, "memory, bytes, threads, out",
     "Makes an instance in the given memory (any alignment), or allocates it when memory is NULL. "
     "Parameters are zero\n"
     " * until init or load. Nothing is allocated after create, except by save and load. Instances "
     "share nothing."},
    {"create_with", "int", "const @_options* options, @** out", "gradc_rt_create_with", true,
     "options, out", "The same with all that can be said of it: see @_options."},
    {"destroy", "void", "@* handle", "gradc_rt_destroy", false, "handle",
     "Ends an instance; memory that the caller gave stays his."},
    {"init", "int", "@* handle, uint64_t seed", "gradc_rt_init", false, "handle, seed",
     "Sets parameters and states to their initial values."},
    {"reset_states", "int", "@* handle", "gradc_rt_reset_states", false, "handle",
     "Stateful layers begin anew: what they carry from batch to batch becomes zeros."},
    {"set_checked", "int", "@* handle, int checked", "gradc_rt_set_checked", false,
     "handle, checked",
     "checked != 0: train_step, evaluate and predict first look at every value they are given: a "
     "label or\n"
     " * index outside its range, a NaN or an infinity is #_BAD_VALUE, last_error names tensor and "
     "row, and nothing\n"
     " * changes. Otherwise such an index takes the nearest row that exists, and the loss of such "
     "a label is infinite."},
    {"train_step", "int",
     "@* handle, const void* const* inputs, const void* const* targets, int64_t rows, float* "
     "loss",
     "gradc_rt_train_step", false, "handle, inputs, targets, rows, loss",
     "One training step on 1 to #_BATCH_SIZE rows, read in place when the batch is whole. loss "
     "may be NULL."},
    {"evaluate", "int",
     "@* handle, const void* const* inputs, const void* const* targets, int64_t rows, float* "
     "loss, float* metrics",
     "gradc_rt_evaluate", false, "handle, inputs, targets, rows, loss, metrics",
     "Loss and metrics (may be NULL) in inference mode."},
    {"predict", "int", "@* handle, const void* const* inputs, int64_t rows, void* const* outputs",
     "gradc_rt_predict", false, "handle, inputs, rows, outputs",
     "Outputs in inference mode, in the order below."},
    {"gradients", "int",
     "@* handle, const void* const* inputs, const void* const* targets, int64_t rows, float* "
     "loss, int parameters, void* const* input_gradients",
     "gradc_rt_gradients", false,
     "handle, inputs, targets, rows, loss, parameters, input_gradients",
     "Training by hand: gradients, and apply_gradients after it, are a train_step, to the last "
     "bit; between them the\n"
     " * gradients of parameters, @_tensor_memory of \"gradient/<parameter>\", may be read and "
     "changed.\n"
     " * Loss (may be NULL) and its gradients, in training mode. parameters != 0: of all "
     "parameters; moving averages and\n"
     " * carried states then change as in a step. input_gradients gets those of the inputs of "
     "floating point, in their\n"
     " * order; NULL: not asked for. This call and the six below are #_NO_ENTRY where the library "
     "was compiled without\n"
     " * what they run (#_HAS_...)."},
    {"apply_gradients", "int", "@* handle", "gradc_rt_apply_gradients", false, "handle",
     "The optimizer's step from the gradients in memory, whoever put them there."},
    {"forward", "int", "@* handle, const void* const* inputs, int64_t rows, void* const* outputs",
     "gradc_rt_forward", false, "handle, inputs, rows, outputs",
     "Outputs in training mode, for a loss of the caller's own; changes nothing, and backward on "
     "the same rows draws\n"
     " * the same."},
    {"backward", "int",
     "@* handle, const void* const* inputs, const void* const* output_gradients, int64_t rows, "
     "int parameters, void* const* input_gradients",
     "gradc_rt_backward", false,
     "handle, inputs, output_gradients, rows, parameters, input_gradients",
     "Gradients of what the caller makes of the outputs, from its gradients of the outputs of "
     "floating point, in\n"
     " * order; else as gradients."},
    {"hyperparameter_name", "const char*", "int64_t index", "gradc_rt_hyperparameter_name", true,
     "index",
     "The optimizer's numbers that may be set: \"learning_rate\", then others; NULL beyond the "
     "last."},
    {"hyperparameter", "int", "@* handle, const char* name, double* value",
     "gradc_rt_get_hyperparameter", false, "handle, name, value", "What the next step takes."},
    {"set_hyperparameter", "int", "@* handle, const char* name, double value",
     "gradc_rt_set_hyperparameter", false, "handle, name, value",
     "From the next step on, until it is set again; no file keeps it. A learning rate takes the "
     "place of its schedule;\n"
     " * NaN gives it back."},
    {"tensor_memory", "void*", "@* handle, const char* name, size_t* bytes",
     "gradc_rt_tensor_memory", false, "handle, name, bytes",
     "The memory of a parameter, of a state, or of a parameter's gradient, to read or write in "
     "place between calls; NULL\n"
     " * for an unknown name, and for gradients that no call gives. *bytes may be NULL."},
    {"get_parameter", "int", "const @* handle, const char* name, void* data, size_t bytes",
     "gradc_rt_get_parameter", false, "handle, name, data, bytes",
     "Copies a parameter or state out by name; bytes must be its size."},
    {"set_parameter", "int", "@* handle, const char* name, const void* data, size_t bytes",
     "gradc_rt_set_parameter", false, "handle, name, data, bytes",
     "Copies a parameter or state in by name; bytes must be its size."},
    {"class_name", "const char*", "const @* handle, int64_t output, int64_t number",
     "gradc_rt_class_name", false, "handle, output, number",
     "What a class number of an output stands for, as the training data told it (load keeps it); "
     "NULL beyond the\n"
     " * last class, and where nothing is known. Outputs and inputs count in the order above; the "
     "text lives until the\n"
     " * next init or load."},
    {"column_name", "const char*", "const @* handle, int64_t input, int64_t column",
     "gradc_rt_column_name", false, "handle, input, column",
     "Likewise the column of a table that each value of an input's example comes from."},
    {"character", "const char*", "const @* handle, int64_t input, int64_t number, size_t* length",
     "gradc_rt_character", false, "handle, input, number, length",
     "Likewise the bytes of a character number; *length (may be NULL) gets how many."},
    {"save", "int", "@* handle, const char* path, int with_optimizer", "gradc_rt_save", false,
     "handle, path, with_optimizer",
     "Writes a safetensors file; with_optimizer != 0 includes the optimizer's state."},
    {"load", "int", "@* handle, const char* path", "gradc_rt_load", false, "handle, path",
     "Reads a safetensors file; optimizer state is taken if it is there."},
    {"load_weights_only", "int", "@* handle, const char* path", "gradc_rt_load_weights_only", false,
     "handle, path", "The same, but the optimizer's state and iteration stay as they are."},
    {"status_text", "const char*", "int status", "gradc_rt_status_text", false, "status",
     "A fixed text for a status code."},
    {"last_error", "const char*", "const @* handle", "gradc_rt_last_error", false, "handle",
     "The text of the instance's last failed call, with names and sizes."},
}};

/// gradc_rt_options as a caller sees it; @ is the model.
constexpr const char* kOptions =
    R"(/* All zero is what @_create makes of no memory and 0 threads. */
typedef struct @_options {
  void* memory; /* NULL: allocated; else @_memory_bytes of it */
  size_t bytes;
  int32_t threads; /* 0: one per processor */
  /* Its parameters, states and optimizer state are the new instance's too; it must live longer. One of
   * them at a time may change these, and while none reads. NULL: its own. */
  const @* weights_of;
  /* The caller's threads in place of threads of its own: calls work(argument, i) for each i from 0 to
   * threads - 1, on threads that run at the same time, since they wait for each other, and returns when
   * all have returned. */
  void (*run)(void* user, void (*work)(void* argument, int32_t thread), void* argument, int32_t threads);
  void* user;
} @_options;

)";
static_assert(sizeof(gradc_rt_options) == 6 * sizeof(void*));

constexpr std::array<const char*, GRADC_RT_STATUS_COUNT> kStatuses = {
    "OK",           "INVALID_ARGUMENT", "MEMORY_TOO_SMALL", "CANNOT_CREATE",
    "UNKNOWN_NAME", "WRONG_SIZE",       "FILE_ERROR",       "NO_ENTRY",
    "INTERNAL",     "OUT_OF_MEMORY",    "WRONG_PROCESSOR",  "AFTER_FORK",
    "BAD_VALUE"};

std::string replace_all(std::string text, std::string_view from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string type_text(const gradc_rt_tensor& tensor) {
  std::string text = rt::dtype_name(static_cast<rt::Dtype>(tensor.dtype));
  text += "[";
  for (int64_t i = 0; i < tensor.rank; ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", tensor.dims[i]);
  return text + "]";
}

std::string tensor_lines(const gradc_rt_model& model, std::initializer_list<int64_t> kinds,
                         bool numbered) {
  std::string text;
  int64_t number = 0;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (std::find(kinds.begin(), kinds.end(), tensor.kind) == kinds.end()) continue;
    const std::string place = numbered ? fmt::format("[{}] ", number++) : std::string();
    text += fmt::format(" *   {}{} {}, {} bytes\n", place, c_comment_text(tensor.name),
                        type_text(tensor), tensor.bytes);
  }
  return text.empty() ? std::string(" *   none\n") : text;
}

int64_t bytes_of(const gradc_rt_model& model, int64_t kind) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    if (model.tensors[i].kind == kind) bytes += model.tensors[i].bytes;
  }
  return bytes;
}

/// Which calls of hosts there are.
struct HostCall {
  const char* macro;  ///< after NAME_HAS_
  const char* what;
  gradc_rt_entry_kind entry;
};
constexpr std::array<HostCall, 4> kHostCalls = {{
    {"GRADIENTS", "gradients and apply_gradients", GRADC_RT_LOSS_TO_PARAMETERS},
    {"OWN_LOSSES", "forward, backward and apply_gradients", GRADC_RT_OUTPUTS_TO_PARAMETERS},
    {"INPUT_GRADIENTS", "gradients of inputs", GRADC_RT_LOSS_TO_INPUTS},
    {"HYPERPARAMETERS", "set_hyperparameter", GRADC_RT_TUNED_STEP},
}};

bool has_call(const gradc_rt_model& model, const HostCall& call) {
  const bool from_outputs = call.entry == GRADC_RT_LOSS_TO_INPUTS &&
                            model.entries[GRADC_RT_OUTPUTS_TO_INPUTS].num_steps > 0;
  return from_outputs || model.entries[call.entry].num_steps > 0;
}

/// What hosts that train by hand may call, and in which order their buffers are.
std::string host_lines(const gradc_rt_model& model) {
  std::string calls;
  for (const HostCall& call : kHostCalls) {
    if (has_call(model, call)) calls += (calls.empty() ? "" : "; ") + std::string(call.what);
  }
  if (calls.empty()) return " * for hosts that train by hand: nothing (gradc compile --entries)\n";
  std::string text = " * for hosts that train by hand: " + calls + "\n";
  text +=
      " * gradients of inputs, in order:\n" + tensor_lines(model, {GRADC_RT_INPUT_GRADIENT}, true);
  text += " * gradients of outputs, in order:\n" +
          tensor_lines(model, {GRADC_RT_OUTPUT_GRADIENT}, true);
  text +=
      " * gradients of parameters, by name:\n" + tensor_lines(model, {GRADC_RT_GRADIENT}, false);
  text += " * numbers of the optimizer, by name:\n";
  for (int64_t i = 0; i < model.num_hyperparameters; ++i)
    text += fmt::format(" *   {}\n", model.hyperparameters[i].name);
  return model.num_hyperparameters > 0 ? text : text + " *   none\n";
}

/// A parameter or member that is called as the model's type is would hide it.
std::string without_own_name(const std::string& text, const std::string& symbol) {
  return std::regex_replace(text, std::regex("\\b" + symbol + "\\b"), symbol + "_");
}

std::string parameters_of(const Function& function, const std::string& symbol) {
  return replace_all(without_own_name(function.parameters, symbol), "@", symbol);
}

std::string arguments_of(const Function& function, const std::string& symbol) {
  return without_own_name(function.arguments, symbol);
}

/// What the header says of itself before any code. Nothing of the model's text can leave it.
std::string opening_comment(const gradc_rt_model& model, const std::string& symbol) {
  int64_t arena = 0, scratch = 0;
  for (int64_t i = 0; i < GRADC_RT_ENTRY_COUNT; ++i) {
    arena = std::max(arena, model.entries[i].arena_bytes);
    scratch = std::max(scratch, model.entries[i].scratch_bytes);
  }
  std::string text = fmt::format(
      "/* {}{}{} for {} ({}).\n *\n"
      " * Tensors are dense, row-major, data channels-last; dense kernels are [in, out], "
      "convolution kernels\n"
      " * [height, width, in, out]. Batch size {}. Memory: parameters {} bytes, states {} bytes, "
      "optimizer {} bytes,\n"
      " * arena {} bytes, scratch {} bytes a thread; {}_memory_bytes has the sum with batch "
      "buffers.\n"
      " * Beside it: tables {} bytes, which are constants as the code is.\n *\n",
      c_comment_text(model.name), kHeaderMark, c_comment_text(model.compiler),
      c_comment_text(model.target_triple), c_comment_text(model.target_cpu), model.batch_size,
      bytes_of(model, GRADC_RT_PARAMETER), bytes_of(model, GRADC_RT_STATE),
      bytes_of(model, GRADC_RT_OPTIMIZER_STATE), arena, scratch, symbol, rt::table_bytes(model));
  text += " * inputs, in order:\n" + tensor_lines(model, {GRADC_RT_INPUT}, true);
  text += " * targets, in order:\n" + tensor_lines(model, {GRADC_RT_TARGET}, true);
  text += " * outputs of predict, in order:\n" + tensor_lines(model, {GRADC_RT_OUTPUT}, true);
  text += " * metrics, in order:\n" + tensor_lines(model, {GRADC_RT_METRIC}, true);
  text +=
      " * parameters and states, by name:\n" +
      tensor_lines(model,
                   {GRADC_RT_PARAMETER, GRADC_RT_STATE, GRADC_RT_OPTIMIZER_STATE, GRADC_RT_CARRIED},
                   false);
  text += host_lines(model);
  return text + fmt::format(
                    " *\n * Every function that returns int gives 0 (OK) or a status code; "
                    "{}_status_text says what it means. A handle is\n"
                    " * used by one caller at a time. */\n",
                    symbol);
}

}  // namespace

std::vector<std::string> exported_symbols(const std::string& symbol) {
  std::vector<std::string> result;
  for (const Function& function : kFunctions)
    result.push_back(fmt::format("{}_{}", symbol, function.suffix));
  return result;
}

bool is_generated_header(const std::string& path) {
  const auto header = read_source_file(path);
  return header.ok() && header->text().find(kHeaderMark) != std::string::npos;
}

std::string generated_header(const gradc_rt_model& model, const std::string& symbol) {
  const std::string macro = ascii_upper(symbol);
  std::string text = opening_comment(model, symbol);
  text += fmt::format(
      "#ifndef {0}_H_\n#define {0}_H_\n\n#include <stddef.h>\n#include <stdint.h>\n\n#ifdef "
      "__cplusplus\nextern \"C\" {{\n#endif\n\n#define {0}_BATCH_SIZE {1}\n\nenum {{\n",
      macro, model.batch_size);
  for (size_t status = 0; status < kStatuses.size(); ++status)
    text += fmt::format("  {}_{} = {}{}\n", macro, kStatuses[status], status,
                        status + 1 < kStatuses.size() ? "," : "");
  text += "};\n\n";
  for (const HostCall& call : kHostCalls)
    text += fmt::format("#define {}_HAS_{} {}\n", macro, call.macro, has_call(model, call) ? 1 : 0);
  text += fmt::format("\ntypedef struct {0} {0};\n\n", symbol);
  text += replace_all(without_own_name(kOptions, symbol), "@", symbol);
  for (const Function& function : kFunctions) {
    const std::string doc = replace_all(replace_all(function.doc, "#", macro), "@", symbol);
    text += fmt::format("/* {} */\n{} {}_{}({});\n\n", doc, function.result, symbol,
                        function.suffix, parameters_of(function, symbol));
  }
  return text +
         fmt::format("#ifdef __cplusplus\n}} /* extern \"C\" */\n#endif\n\n#endif /* {}_H_ */\n",
                     macro);
}

std::string generated_wrappers(const std::string& symbol) {
  std::string text = fmt::format(
      "#include <stddef.h>\n#include <stdint.h>\n"
      "typedef struct gradc_rt_model gradc_rt_model;\ntypedef struct {0} {0};\n"
      "typedef struct {0}_options {0}_options;\nextern const gradc_rt_model {0}_model;\n",
      symbol);
  for (const Function& function : kFunctions) {
    const std::string parameters = parameters_of(function, symbol);
    std::string own = parameters, arguments = arguments_of(function, symbol);
    if (function.takes_model) {  // the callee takes the model's table first
      own = "const gradc_rt_model* table_, " + own;
      arguments = "&" + symbol + "_model, " + arguments;
    }
    const bool is_void = std::string_view(function.result) == "void";
    text += fmt::format(
        "extern {0} {1}({2});\n__attribute__((visibility(\"default\"))) {0} {3}_{4}({5}) "
        "{{ {6}{1}({7}); }}\n",
        function.result, function.callee, own, symbol, function.suffix, parameters,
        is_void ? "" : "return ", arguments);
  }
  return text;
}

}  // namespace gradc
