// Every field of the tables is eight bytes wide, so a struct is a list of i64, double and pointer
// constants in the header's order; rows without pointers are copied as they are.
#include "codegen/llvm/model_tables.h"

#include "codegen/llvm/program_module.h"
#include "codegen/llvm/types.h"
#include "support/check.h"

#include <llvm/IR/Constants.h>

#include <algorithm>
#include <cstring>

namespace gradc::cg {

namespace {

/// Collects the fields of one struct.
class Fields {
 public:
  explicit Fields(llvm::Module& module) : module_(module) {}

  Fields& integer(int64_t value) {
    return add(llvm::ConstantInt::getSigned(llvm::Type::getInt64Ty(module_.getContext()), value));
  }
  Fields& number(double value) {
    return add(llvm::ConstantFP::get(llvm::Type::getDoubleTy(module_.getContext()), value));
  }
  Fields& pointer(llvm::Constant* value) {
    auto* type = llvm::PointerType::getUnqual(module_.getContext());
    return add(value == nullptr ? llvm::ConstantPointerNull::get(type) : value);
  }
  Fields& add(llvm::Constant* value) {
    values_.push_back(value);
    return *this;
  }
  llvm::Constant* finish() { return llvm::ConstantStruct::getAnon(module_.getContext(), values_); }

 private:
  llvm::Module& module_;
  std::vector<llvm::Constant*> values_;
};

class TableEmitter {
 public:
  TableEmitter(llvm::Module& module, const kernel::Program& program,
               std::span<llvm::Function* const> kernels, std::span<const int64_t> kernel_scratch)
      : module_(module), program_(program), kernels_(kernels), kernel_scratch_(kernel_scratch) {}

  void emit(const gradc_rt_model& model, const std::string& name) {
    Fields fields(module_);
    fields.integer(model.abi_version)
        .pointer(text(model.name))
        .integer(model.batch_size)
        .integer(model.num_tensors)
        .pointer(tensors(model))
        .integer(model.num_slots)
        .pointer(entries(model))
        .add(training(model.training))
        .pointer(text(model.compiler))
        .pointer(text(model.target_triple))
        .pointer(text(model.target_cpu))
        .pointer(text(model.target_features))
        .integer(model.train_step_flops)
        .integer(model.num_facts)
        .pointer(facts(model))
        .pointer(text(model.step_remark))
        .pointer(nullptr)
        .pointer(nullptr)
        .integer(model.num_hyperparameters)
        .pointer(hyperparameters(model))
        .integer(model.num_numbers)
        .pointer(rows(model.numbers, model.num_numbers, "formulas"));
    llvm::Constant* value = fields.finish();
    auto* table = new llvm::GlobalVariable(module_, value->getType(), /*isConstant=*/true,
                                           llvm::GlobalValue::ExternalLinkage, value, name);
    table->setAlignment(llvm::Align(8));
  }

 private:
  llvm::GlobalVariable* global(llvm::Constant* value, const char* name) {
    auto* result = new llvm::GlobalVariable(module_, value->getType(), /*isConstant=*/true,
                                            llvm::GlobalValue::PrivateLinkage, value, name);
    result->setAlignment(llvm::Align(8));
    return result;
  }

  llvm::Constant* text(const char* value) {
    if (value == nullptr) return nullptr;
    return global(llvm::ConstantDataArray::getString(module_.getContext(), value), "text");
  }

  llvm::Constant* numbers(const double* values, int64_t count) {
    if (values == nullptr || count == 0) return nullptr;
    return global(llvm::ConstantDataArray::get(module_.getContext(),
                                               llvm::ArrayRef(values, static_cast<size_t>(count))),
                  "numbers");
  }

  /// Rows of fields without pointers, as they are in memory.
  template <class Row>
  llvm::Constant* rows(const Row* first, int64_t count, const char* name) {
    static_assert(sizeof(Row) % sizeof(int64_t) == 0);
    if (count == 0) return nullptr;
    std::vector<uint64_t> fields(static_cast<size_t>(count) * sizeof(Row) / sizeof(int64_t));
    std::memcpy(fields.data(), first, fields.size() * sizeof(int64_t));
    return global(llvm::ConstantDataArray::get(module_.getContext(), fields), name);
  }

  llvm::GlobalVariable* bytes(const void* data, size_t size) {
    const llvm::StringRef text(static_cast<const char*>(data), size);
    auto* result = global(
        llvm::ConstantDataArray::getString(module_.getContext(), text, /*AddNull=*/false), "data");
    result->setAlignment(llvm::Align(GRADC_RT_ALIGNMENT));
    return result;
  }

  llvm::Constant* array(const std::vector<llvm::Constant*>& rows, const char* name) {
    if (rows.empty()) return nullptr;
    auto* type = llvm::ArrayType::get(rows.front()->getType(), rows.size());
    return global(llvm::ConstantArray::get(type, rows), name);
  }

  llvm::Constant* initializer(const gradc_rt_tensor& tensor) {
    const gradc_rt_initializer* init = tensor.initializer;
    if (init == nullptr) return nullptr;
    return global(
        Fields(module_)
            .integer(init->kind)
            .number(init->a)
            .number(init->b)
            .integer(init->mode)
            .integer(init->distribution)
            .integer(init->fan_in)
            .integer(init->fan_out)
            .integer(static_cast<int64_t>(init->stream))
            .integer(init->has_seed)
            .integer(static_cast<int64_t>(init->seed))
            .pointer(init->data == nullptr ? nullptr
                                           : bytes(init->data, static_cast<size_t>(tensor.bytes)))
            .integer(init->ones_begin)
            .integer(init->ones_end)
            .finish(),
        "initializer");
  }

  llvm::Constant* columns(const gradc_rt_data& data) {
    std::vector<llvm::Constant*> list;
    for (int64_t i = 0; i < data.num_columns; ++i) {
      const gradc_rt_column& column = data.columns[i];
      list.push_back(
          Fields(module_)
              .pointer(text(column.name))
              .integer(column.categories)
              .integer(column.missing)
              .number(column.fill)
              .pointer(column.fill_text == nullptr ? nullptr : text(column.fill_text))
              .integer(column.flag)
              .integer(column.date_parts)
              .integer(column.date_cyclic)
              .pointer(column.date_format == nullptr ? nullptr : text(column.date_format))
              .finish());
    }
    return array(list, "columns");
  }

  llvm::Constant* class_weights(const gradc_rt_data& data) {
    std::vector<llvm::Constant*> list;
    for (int64_t i = 0; i < data.num_class_weights; ++i) {
      const gradc_rt_class_weight& one = data.class_weights[i];
      list.push_back(Fields(module_).pointer(text(one.name)).number(one.weight).finish());
    }
    return array(list, "class_weights");
  }

  llvm::Constant* preprocessing(const gradc_rt_data* data) {
    if (data == nullptr) return nullptr;
    return global(Fields(module_)
                      .number(data->scale)
                      .number(data->offset)
                      .integer(data->standardize)
                      .integer(data->stat_count)
                      .pointer(numbers(data->mean, data->stat_count))
                      .pointer(numbers(data->std, data->stat_count))
                      .integer(data->one_hot_depth)
                      .integer(data->value_count)
                      .integer(data->flip_horizontal)
                      .integer(data->shift_height)
                      .integer(data->shift_width)
                      .integer(data->crop)
                      .number(data->noise_stddev)
                      .number(data->target_min)
                      .number(data->target_max)
                      .integer(data->flags)
                      .integer(data->classes)
                      .integer(data->has_ignored)
                      .integer(data->ignored)
                      .integer(data->num_ranges)
                      .pointer(rows(data->ranges, 2 * data->num_ranges, "integers"))
                      .integer(data->text_split)
                      .integer(data->text_flags)
                      .integer(data->max_tokens)
                      .number(data->mask_selection_rate)
                      .number(data->mask_token_rate)
                      .number(data->random_token_rate)
                      .integer(data->mask_token_id)
                      .integer(data->num_columns)
                      .pointer(columns(*data))
                      .integer(data->weighted_by)
                      .integer(data->num_class_weights)
                      .pointer(class_weights(*data))
                      .integer(data->resize_height)
                      .integer(data->resize_width)
                      .integer(data->resize_fit)
                      .integer(data->resize_filter)
                      .integer(data->series_stride)
                      .integer(data->series_horizon)
                      .integer(data->sound_rate)
                      .integer(data->sound_align)
                      .integer(data->mel_fft)
                      .integer(data->mel_frame)
                      .integer(data->mel_stride)
                      .number(data->mel_low)
                      .number(data->mel_high)
                      .number(data->mel_least)
                      .integer(data->mel_scale)
                      .integer(data->flip_vertical)
                      .integer(data->cutout_height)
                      .integer(data->cutout_width)
                      .number(data->cutout_fill)
                      .number(data->mixup_alpha)
                      .number(data->cutmix_alpha)
                      .finish(),
                  "preprocessing");
  }

  llvm::Constant* tensors(const gradc_rt_model& model) {
    std::vector<llvm::Constant*> list;
    for (int64_t i = 0; i < model.num_tensors; ++i) {
      const gradc_rt_tensor& tensor = model.tensors[i];
      std::array<uint64_t, GRADC_RT_MAX_RANK> dims{};
      std::copy(tensor.dims, tensor.dims + tensor.rank, dims.begin());
      list.push_back(Fields(module_)
                         .pointer(text(tensor.name))
                         .integer(tensor.kind)
                         .integer(tensor.dtype)
                         .integer(tensor.rank)
                         .add(llvm::ConstantDataArray::get(module_.getContext(), dims))
                         .integer(tensor.bytes)
                         .integer(tensor.slot)
                         .pointer(initializer(tensor))
                         .pointer(preprocessing(tensor.data))
                         .integer(tensor.counted_by)
                         .number(tensor.share)
                         .integer(tensor.formula)
                         .finish());
    }
    return array(list, "tensors");
  }

  llvm::Constant* kernels() {
    std::vector<llvm::Constant*> list;
    for (size_t k = 0; k < kernels_.size(); ++k) {
      list.push_back(Fields(module_)
                         .pointer(kernels_[k])
                         .integer(program_.kernels[k].is_parallel() ? 1 : 0)
                         .integer(kernel_parameters(program_.kernels[k]))
                         .finish());
    }
    return array(list, "kernels");
  }

  llvm::Constant* constants() {
    std::vector<llvm::Constant*> list;
    for (const kernel::ConstantData& constant : program_.constants) {
      const std::vector<std::byte> data = kernel::constant_bytes(constant);
      list.push_back(bytes(data.data(), data.size()));
    }
    return array(list, "constants");
  }

  llvm::Constant* entries(const gradc_rt_model& model) {
    llvm::Constant* const all_kernels = kernels();
    llvm::Constant* const all_constants = constants();
    std::vector<llvm::Constant*> list;
    for (int64_t i = 0; i < GRADC_RT_ENTRY_COUNT; ++i) {
      const char* name = model.entries[i].name;
      const auto it = std::find_if(program_.entries.begin(), program_.entries.end(),
                                   [&](const kernel::Entry& e) { return e.name == name; });
      const bool compiled = it != program_.entries.end();
      kernel::EntryTables tables;
      if (compiled) tables = kernel::make_entry_tables(*it, kernel_scratch_);
      const gradc_rt_entry row = tables.entry(name, nullptr, nullptr);
      list.push_back(
          Fields(module_)
              .pointer(text(name))
              .integer(compiled ? 1 : 0)
              .integer(row.arena_bytes)
              .integer(row.scratch_bytes)
              .integer(row.frame_offset)
              .integer(row.num_steps)
              .pointer(rows(row.steps, row.num_steps, "steps"))
              .integer(row.num_arguments)
              .pointer(rows(row.arguments, row.num_arguments, "arguments"))
              .pointer(rows(row.strides, static_cast<int64_t>(tables.strides.size()), "strides"))
              .pointer(compiled ? all_kernels : nullptr)
              .pointer(compiled ? all_constants : nullptr)
              .finish());
    }
    return array(list, "entries");
  }

  llvm::Constant* facts(const gradc_rt_model& model) {
    std::vector<llvm::Constant*> list;
    for (int64_t i = 0; i < model.num_facts; ++i) {
      const gradc_rt_fact& fact = model.facts[i];
      list.push_back(Fields(module_).pointer(text(fact.name)).pointer(text(fact.value)).finish());
    }
    return array(list, "facts");
  }

  llvm::Constant* hyperparameters(const gradc_rt_model& model) {
    std::vector<llvm::Constant*> list;
    for (int64_t i = 0; i < model.num_hyperparameters; ++i) {
      const gradc_rt_hyperparameter& one = model.hyperparameters[i];
      list.push_back(Fields(module_)
                         .pointer(text(one.name))
                         .number(one.value)
                         .number(one.min)
                         .number(one.max)
                         .integer(one.flags)
                         .finish());
    }
    return array(list, "hyperparameters");
  }

  llvm::Constant* training(const gradc_rt_training& t) {
    return Fields(module_)
        .integer(t.epochs)
        .integer(t.shuffle)
        .number(t.validation_split)
        .integer(static_cast<int64_t>(t.seed))
        .integer(t.early_stopping)
        .pointer(text(t.monitor))
        .integer(t.patience)
        .number(t.min_delta)
        .integer(t.mode)
        .integer(t.restore_best_weights)
        .integer(t.reduce_on_plateau)
        .pointer(text(t.plateau_monitor))
        .number(t.plateau_factor)
        .integer(t.plateau_patience)
        .number(t.plateau_min_delta)
        .integer(t.plateau_mode)
        .integer(t.plateau_cooldown)
        .number(t.plateau_least)
        .finish();
  }

  llvm::Module& module_;
  const kernel::Program& program_;
  std::span<llvm::Function* const> kernels_;
  std::span<const int64_t> kernel_scratch_;
};

}  // namespace

void emit_model_tables(llvm::Module& module, const gradc_rt_model& model, const std::string& name,
                       const kernel::Program& program, std::span<llvm::Function* const> kernels,
                       std::span<const int64_t> kernel_scratch) {
  TableEmitter(module, program, kernels, kernel_scratch).emit(model, name);
}

}  // namespace gradc::cg
