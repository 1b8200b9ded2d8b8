// Weights and tensors of an instance in safetensors files and arrays.
#pragma once

#include "runtime/instance.h"
#include "runtime/safetensors.h"

namespace gradc::rt {

enum class LoadMode {
  kComplete,  // every parameter and state must be there, and nothing unknown
  kPartial,   // what is there is loaded, the rest keeps its value; unknown names are still errors
};

/// Copies an array into a tensor: the shapes must agree; floats convert to floats and integers to
/// integers, and a value that the tensor's type does not hold is refused.
Status set_tensor(Instance& instance, size_t index, const Array& array);
/// A copy of a tensor as an array with the tensor's name.
Array get_tensor(const Instance& instance, size_t index);

/// Sets parameters, states and optimizer state from a file's arrays, and what the data meant from
/// its metadata; all problems are reported at once, values that are not finite among them. What a
/// tensor is, the model's table says, not how its name begins. Examples, the best weights of a
/// checkpoint and the state of another optimizer are not its business and pass.
Status load_tensors(Instance& instance, const SafetensorsFile& file, const char* path,
                    LoadMode mode, bool with_optimizer);
/// The statistics, columns, classes and characters alone.
Status load_data_facts(Instance& instance, const SafetensorsFile& file, const char* path);
/// Appends "data/<input>/columns" and so on, each with a JSON array of strings.
void put_meanings(const Instance& instance, Vec<Metadata>* metadata);
Status load_weights(Instance& instance, const char* path, LoadMode mode);
/// All that the model has must be in the file; the optimizer's state is taken too if it is asked
/// for and there.
Status load_tensors(Instance& instance, const char* path, bool with_optimizer);
/// Parameters, states and data statistics; the instance's writer, where it takes the path.
Status save_weights(const Instance& instance, const char* path);
/// The same, with the optimizer's state if asked.
Status save_tensors(const Instance& instance, const char* path, bool with_optimizer);

/// Appends views of all tensors that make up the instance's lasting values (optimizer state too if
/// asked), and of its data statistics; `names` owns the statistics' names.
void collect_tensors(const Instance& instance, bool with_optimizer, Vec<TensorView>* views,
                     Vec<Str>* names);

/// "data/<input>/<what>": the name of a fed tensor's statistics and other meaning in files; never
/// the name of a tensor of the model.
Str data_name(const Instance& instance, size_t index, const char* what);
/// "best/<tensor>", likewise.
Str best_name(const Instance& instance, size_t index);

/// The tensor's name without "input/", "target/", "output/" or "metric/".
const char* short_name(const gradc_rt_tensor& tensor);
/// Index of the target that an output is compared with, or -1.
int64_t target_of_output(const gradc_rt_model& model, size_t output);
/// "f32[64, 10]".
Str tensor_type_text(const gradc_rt_tensor& tensor);
Span<const int64_t> tensor_dims(const gradc_rt_tensor& tensor);

}  // namespace gradc::rt
