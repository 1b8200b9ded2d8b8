// Every field of the tables is eight bytes wide, so a struct is a list of i64, double and pointer
// constants in the header's order.
#include "codegen/llvm/model_tables.h"

#include "codegen/llvm/types.h"
#include "support/check.h"

#include <llvm/IR/Constants.h>

#include <algorithm>

namespace gradc::cg {

namespace {

constexpr size_t kMaxRank = 8;  // GRADC_RT_MAX_RANK

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
  TableEmitter(llvm::Module& module, const kernel::Program& program, const SymbolNames& names,
               const std::vector<int64_t>& entry_scratch)
      : module_(module), program_(program), names_(names), entry_scratch_(entry_scratch) {}

  void emit(const ModelData& model) {
    Fields fields(module_);
    fields.integer(model.abi_version)
        .pointer(text(model.name))
        .integer(model.batch_size)
        .integer(static_cast<int64_t>(model.tensors.size()))
        .pointer(tensors(model))
        .integer(model.num_slots)
        .pointer(entries(model));
    fields.add(training(model.training));
    fields.pointer(text(model.compiler))
        .pointer(text(model.target_triple))
        .pointer(text(model.target_cpu))
        .pointer(model.target_features.empty() ? nullptr : text(model.target_features))
        .integer(model.train_step_flops)
        .integer(static_cast<int64_t>(model.facts.size()))
        .pointer(facts(model))
        .pointer(nullptr)
        .pointer(nullptr);
    llvm::Constant* value = fields.finish();
    const std::string name = model.symbol.empty() ? "gradc_model" : model.symbol + "_model";
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

  llvm::Constant* text(const std::string& value) {
    return global(llvm::ConstantDataArray::getString(module_.getContext(), value), "text");
  }

  llvm::Constant* numbers(const std::vector<double>& values) {
    if (values.empty()) return nullptr;
    return global(llvm::ConstantDataArray::get(module_.getContext(), values), "numbers");
  }

  llvm::Constant* integers(const std::vector<int64_t>& values) {
    if (values.empty()) return nullptr;
    const std::vector<uint64_t> bits(values.begin(), values.end());
    return global(llvm::ConstantDataArray::get(module_.getContext(), bits), "integers");
  }

  llvm::Constant* array(const std::vector<llvm::Constant*>& rows, const char* name) {
    if (rows.empty()) return nullptr;
    auto* type = llvm::ArrayType::get(rows.front()->getType(), rows.size());
    return global(llvm::ConstantArray::get(type, rows), name);
  }

  llvm::Constant* initializer(const std::optional<ModelInitializer>& init) {
    if (!init.has_value()) return nullptr;
    llvm::GlobalVariable* data = nullptr;
    if (!init->data.empty()) {
      data = global(llvm::ConstantDataArray::getString(module_.getContext(), init->data,
                                                       /*AddNull=*/false),
                    "data");
      data->setAlignment(llvm::Align(64));
    }
    return global(Fields(module_)
                      .integer(init->kind)
                      .number(init->a)
                      .number(init->b)
                      .integer(init->mode)
                      .integer(init->distribution)
                      .integer(init->fan_in)
                      .integer(init->fan_out)
                      .integer(static_cast<int64_t>(init->stream))
                      .integer(init->has_seed ? 1 : 0)
                      .integer(static_cast<int64_t>(init->seed))
                      .pointer(data)
                      .finish(),
                  "initializer");
  }

  llvm::Constant* preprocessing(const std::optional<ModelPreprocessing>& data) {
    if (!data.has_value()) return nullptr;
    return global(Fields(module_)
                      .number(data->scale)
                      .number(data->offset)
                      .integer(data->standardize)
                      .integer(data->stat_count)
                      .pointer(numbers(data->mean))
                      .pointer(numbers(data->std))
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
                      .integer(static_cast<int64_t>(data->ranges.size() / 2))
                      .pointer(integers(data->ranges))
                      .finish(),
                  "preprocessing");
  }

  llvm::Constant* tensors(const ModelData& model) {
    std::vector<llvm::Constant*> rows;
    for (const ModelTensor& tensor : model.tensors) {
      GRADC_CHECK(tensor.dims.size() <= kMaxRank, "tensor '{}' of rank {}", tensor.name,
                  tensor.dims.size());
      std::array<uint64_t, kMaxRank> dims{};
      std::copy(tensor.dims.begin(), tensor.dims.end(), dims.begin());
      rows.push_back(Fields(module_)
                         .pointer(text(tensor.name))
                         .integer(tensor.kind)
                         .integer(tensor.dtype)
                         .integer(static_cast<int64_t>(tensor.dims.size()))
                         .add(llvm::ConstantDataArray::get(module_.getContext(), dims))
                         .integer(tensor.bytes)
                         .integer(tensor.slot)
                         .pointer(initializer(tensor.initializer))
                         .pointer(preprocessing(tensor.data))
                         .finish());
    }
    return array(rows, "tensors");
  }

  llvm::Constant* entries(const ModelData& model) {
    std::vector<llvm::Constant*> rows;
    for (const ModelEntry& entry : model.entries) {
      const auto it = std::find_if(
          program_.entries.begin(), program_.entries.end(), [&](const kernel::Entry& e) {
            return !entry.program_entry.empty() && e.name == entry.program_entry;
          });
      Fields fields(module_);
      fields.pointer(text(entry.name));
      if (it == program_.entries.end()) {
        fields.pointer(nullptr).integer(0).integer(0);
      } else {
        const auto index = static_cast<size_t>(it - program_.entries.begin());
        fields.pointer(module_.getFunction(names_.entry(*it)))
            .integer(it->arena_bytes)
            .integer(entry_scratch_[index]);
      }
      rows.push_back(fields.finish());
    }
    return array(rows, "entries");
  }

  llvm::Constant* facts(const ModelData& model) {
    std::vector<llvm::Constant*> rows;
    for (const ModelFactText& fact : model.facts)
      rows.push_back(Fields(module_).pointer(text(fact.name)).pointer(text(fact.value)).finish());
    return array(rows, "facts");
  }

  llvm::Constant* training(const ModelTraining& t) {
    return Fields(module_)
        .integer(t.epochs)
        .integer(t.shuffle)
        .number(t.validation_split)
        .integer(static_cast<int64_t>(t.seed))
        .integer(t.early_stopping)
        .pointer(t.monitor.empty() ? nullptr : text(t.monitor))
        .integer(t.patience)
        .number(t.min_delta)
        .integer(t.mode)
        .integer(t.restore_best_weights)
        .finish();
  }

  llvm::Module& module_;
  const kernel::Program& program_;
  const SymbolNames& names_;
  const std::vector<int64_t>& entry_scratch_;
};

}  // namespace

void emit_model_tables(llvm::Module& module, const ModelData& model, const kernel::Program& program,
                       const SymbolNames& names, const std::vector<int64_t>& entry_scratch) {
  TableEmitter(module, program, names, entry_scratch).emit(model);
}

}  // namespace gradc::cg
