// The C header and wrappers of compiled libraries.
#include "driver/aot.h"
#include "runtime/dtype.h"

#include <array>
#include <cctype>

namespace gradc {

namespace {

struct Function {
  const char* suffix;  ///< after NAME_
  const char* result;
  const char* parameters;  ///< of the public function
  const char* callee;      ///< of the runtime core
  const char* arguments;   ///< MODEL stands for the model's table
  const char* doc;
};

constexpr std::array<Function, 16> kFunctions = {{
    {"memory_bytes", "size_t", "int32_t threads", "gradc_rt_memory_bytes", "MODEL, threads",
     "Bytes that NAME_create needs when memory is given. threads: 0 = one per processor."},
    {"create", "int", "void* memory, size_t bytes, int32_t threads, NAME** out", "gradc_rt_create",
     "MODEL, memory, bytes, threads, out",
     "Makes an instance in the given memory (any alignment), or allocates it when memory is NULL. "
     "Parameters are zero\n"
     " * until init or load. Nothing is allocated after create, except by save and load. Instances "
     "share nothing."},
    {"destroy", "void", "NAME* handle", "gradc_rt_destroy", "handle",
     "Ends an instance; memory that the caller gave stays his."},
    {"init", "int", "NAME* handle, uint64_t seed", "gradc_rt_init", "handle, seed",
     "Sets parameters and states to their initial values."},
    {"train_step", "int",
     "NAME* handle, const void* const* inputs, const void* const* targets, int64_t rows, float* "
     "loss",
     "gradc_rt_train_step", "handle, inputs, targets, rows, loss",
     "One training step on 1 to NAME_BATCH_SIZE rows, read in place when the batch is whole. loss "
     "may be NULL."},
    {"evaluate", "int",
     "NAME* handle, const void* const* inputs, const void* const* targets, int64_t rows, float* "
     "loss, float* metrics",
     "gradc_rt_evaluate", "handle, inputs, targets, rows, loss, metrics",
     "Loss and metrics (may be NULL) in inference mode."},
    {"predict", "int",
     "NAME* handle, const void* const* inputs, int64_t rows, void* const* outputs",
     "gradc_rt_predict", "handle, inputs, rows, outputs",
     "Outputs in inference mode, in the order below."},
    {"get_parameter", "int", "const NAME* handle, const char* name, void* data, size_t bytes",
     "gradc_rt_get_parameter", "handle, name, data, bytes",
     "Copies a parameter or state out by name; bytes must be its size."},
    {"set_parameter", "int", "NAME* handle, const char* name, const void* data, size_t bytes",
     "gradc_rt_set_parameter", "handle, name, data, bytes",
     "Copies a parameter or state in by name; bytes must be its size."},
    {"class_name", "const char*", "const NAME* handle, int64_t output, int64_t number",
     "gradc_rt_class_name", "handle, output, number",
     "What a class number of an output stands for, as the training data told it (load keeps it); "
     "NULL beyond the\n"
     " * last class, and where nothing is known. Outputs and inputs count in the order above; the "
     "text lives until the\n"
     " * next init or load."},
    {"column_name", "const char*", "const NAME* handle, int64_t input, int64_t column",
     "gradc_rt_column_name", "handle, input, column",
     "Likewise the column of a table that each value of an input's example comes from."},
    {"character", "const char*",
     "const NAME* handle, int64_t input, int64_t number, size_t* length", "gradc_rt_character",
     "handle, input, number, length",
     "Likewise the bytes of a character number; *length (may be NULL) gets how many."},
    {"save", "int", "NAME* handle, const char* path, int with_optimizer", "gradc_rt_save",
     "handle, path, with_optimizer",
     "Writes a safetensors file; with_optimizer != 0 includes the optimizer's state."},
    {"load", "int", "NAME* handle, const char* path", "gradc_rt_load", "handle, path",
     "Reads a safetensors file; optimizer state is taken if it is there."},
    {"status_text", "const char*", "int status", "gradc_rt_status_text", "status",
     "A fixed text for a status code."},
    {"last_error", "const char*", "const NAME* handle", "gradc_rt_last_error", "handle",
     "The text of the instance's last failed call, with names and sizes."},
}};

std::string replace_all(std::string text, std::string_view from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string upper(std::string text) {
  for (char& c : text)
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
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
    text += numbered ? fmt::format(" *   [{}] {} {}, {} bytes\n", number++, tensor.name,
                                   type_text(tensor), tensor.bytes)
                     : fmt::format(" *   {} {}, {} bytes\n", tensor.name, type_text(tensor),
                                   tensor.bytes);
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

}  // namespace

std::string c_identifier(const std::string& name) {
  std::string result;
  for (char c : name)
    result += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  if (result.empty() || std::isdigit(static_cast<unsigned char>(result[0])))
    result = "model_" + result;
  return result;
}

std::vector<std::string> exported_symbols(const std::string& symbol) {
  std::vector<std::string> result;
  for (const Function& function : kFunctions)
    result.push_back(fmt::format("{}_{}", symbol, function.suffix));
  return result;
}

std::string generated_header(const gradc_rt_model& model, const std::string& symbol) {
  int64_t arena = 0;
  for (int64_t i = 0; i < GRADC_RT_ENTRY_COUNT; ++i)
    arena = std::max(arena, model.entries[i].arena_bytes);
  const std::string guard = upper(symbol) + "_H_";
  std::string text = fmt::format(
      "/* {}: a training step compiled by {} for {} ({}).\n *\n"
      " * Tensors are dense, row-major, data channels-last; dense kernels are [in, out], "
      "convolution kernels\n"
      " * [height, width, in, out]. Batch size {}. Memory: parameters {} bytes, states {} bytes, "
      "optimizer {} bytes,\n"
      " * arena {} bytes; NAME_memory_bytes has the sum with batch buffers and per-thread "
      "scratch.\n *\n",
      model.name, model.compiler, model.target_triple, model.target_cpu, model.batch_size,
      bytes_of(model, GRADC_RT_PARAMETER), bytes_of(model, GRADC_RT_STATE),
      bytes_of(model, GRADC_RT_OPTIMIZER_STATE), arena);
  text += " * inputs, in order:\n" + tensor_lines(model, {GRADC_RT_INPUT}, true);
  text += " * targets, in order:\n" + tensor_lines(model, {GRADC_RT_TARGET}, true);
  text += " * outputs of predict, in order:\n" + tensor_lines(model, {GRADC_RT_OUTPUT}, true);
  text += " * metrics, in order:\n" + tensor_lines(model, {GRADC_RT_METRIC}, true);
  text +=
      " * parameters and states, by name:\n" +
      tensor_lines(model, {GRADC_RT_PARAMETER, GRADC_RT_STATE, GRADC_RT_OPTIMIZER_STATE}, false);
  text +=
      " *\n * Every function that returns int gives 0 (OK) or a status code; NAME_status_text says "
      "what it means. A handle is\n"
      " * used by one caller at a time. */\n";
  text += fmt::format(
      "#ifndef {0}\n#define {0}\n\n#include <stddef.h>\n#include <stdint.h>\n\n#ifdef "
      "__cplusplus\nextern \"C\" {{\n#endif\n\n",
      guard);
  text += fmt::format("#define NAME_BATCH_SIZE {}\n\n", model.batch_size);
  text +=
      "enum {\n  NAME_OK = 0,\n  NAME_INVALID_ARGUMENT = 1,\n  NAME_MEMORY_TOO_SMALL = 2,\n  "
      "NAME_CANNOT_CREATE = 3,\n"
      "  NAME_UNKNOWN_@ = 4,\n  NAME_WRONG_SIZE = 5,\n  NAME_FILE_ERROR = 6,\n  NAME_NO_ENTRY = "
      "7,\n  NAME_INTERNAL = 8\n};\n\n";
  text = replace_all(std::move(text), "NAME_BATCH", upper(symbol) + "_BATCH");
  text = replace_all(std::move(text), "  NAME_", "  " + upper(symbol) + "_");
  text += "typedef struct NAME NAME;\n\n";
  for (const Function& function : kFunctions) {
    text += fmt::format("/* {} */\n{} NAME_{}({});\n\n",
                        replace_all(function.doc, "NAME_BATCH", upper(symbol) + "_BATCH"),
                        function.result, function.suffix, function.parameters);
  }
  text +=
      fmt::format("#ifdef __cplusplus\n}} /* extern \"C\" */\n#endif\n\n#endif /* {} */\n", guard);
  // The one constant whose own name has the placeholder in it.
  return replace_all(replace_all(std::move(text), "NAME", symbol), "UNKNOWN_@", "UNKNOWN_NAME");
}

std::string generated_wrappers(const std::string& symbol) {
  std::string text =
      "#include <stddef.h>\n#include <stdint.h>\n"
      "typedef struct gradc_rt_model gradc_rt_model;\ntypedef struct NAME NAME;\n"
      "extern const gradc_rt_model NAME_model;\n#define MODEL &NAME_model\n"
      "#define EXPORT __attribute__((visibility(\"default\")))\n";
  for (const Function& function : kFunctions) {
    std::string parameters = function.parameters;
    // The callee takes the model first where the arguments say so.
    if (std::string_view(function.arguments).substr(0, 5) == "MODEL") {
      parameters = "const gradc_rt_model* model, " + parameters;
    }
    const bool is_void = std::string_view(function.result) == "void";
    text += fmt::format("extern {0} {1}({2});\nEXPORT {0} NAME_{3}({4}) {{ {5}{1}({6}); }}\n",
                        function.result, function.callee, parameters, function.suffix,
                        function.parameters, is_void ? "" : "return ", function.arguments);
  }
  return replace_all(std::move(text), "NAME", symbol);
}

}  // namespace gradc
