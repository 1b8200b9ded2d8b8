// The runtime's description of a model (runtime/model_abi.h), built from its entry graphs. Owns
// every string and table that the description points at; the slot of a tensor is its position in
// the table.
#pragma once

#include "driver/model_facts.h"
#include "driver/number_tables.h"
#include "frontend/model.h"
#include "ir/graph.h"
#include "passes/index_ranges.h"
#include "runtime/model_abi.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gradc {

/// How a parameter gets its first value, for the runtime.
gradc_rt_initializer initializer_of(const InitSpec& init);

/// The names of all that the model's layers hold.
struct HeldNames {
  std::set<std::string> all;
  std::set<std::string> carried;  ///< from one batch to the next
};

/// Texts that stay where they are, one behind the other.
class TextPool {
 public:
  const char* keep(std::string_view text);

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t left_ = 0;  ///< in the last block
  size_t size_ = 0;  ///< of the last block
};

class ModelTables {
 public:
  /// Tensors are the union over the graphs' inputs and outputs, in the order met, and for a model
  /// with training the gradients of the first graph's parameters; batch is the graphs' batch size.
  /// `for_hosts` adds what the entries of hosts have: all gradients, and the optimizer's numbers.
  ModelTables(const Model& model, int64_t batch, std::span<const std::shared_ptr<Graph>> graphs,
              std::span<const ModelFact> facts, const NumberTables* for_hosts);
  ModelTables(const ModelTables&) = delete;
  ModelTables& operator=(const ModelTables&) = delete;

  gradc_rt_model& model() { return model_; }
  const gradc_rt_model& model() const { return model_; }
  gradc_rt_entry& entry(gradc_rt_entry_kind kind) { return entries_[static_cast<size_t>(kind)]; }
  /// The graph of the training step, differentiated: kept so that compiling goes on from it, once.
  void keep_train_step(std::shared_ptr<Graph> graph) { train_step_ = std::move(graph); }
  std::shared_ptr<Graph> take_train_step() { return std::exchange(train_step_, nullptr); }
  /// Why a language model makes no single steps.
  void set_step_remark(const std::string& text) { model_.step_remark = keep(text); }
  /// The slot of a tensor by its name; -1 if the model has none of that name.
  int64_t slot(std::string_view name) const;
  /// Whether there is an entry of one step of a text.
  bool has_step() const;
  std::span<const gradc_rt_tensor> tensors() const { return tensors_; }
  /// Names that stand for two things, e.g. a layer "output" with a parameter named as an output.
  std::span<const std::string> ambiguous() const { return ambiguous_; }

 private:
  const char* keep(std::string_view text) { return texts_.keep(text); }
  void sort_by_name();
  void add(std::string_view name, gradc_rt_tensor_kind kind, const TensorType& type,
           const InitSpec* init);
  void add_inputs(const Graph& graph, const HeldNames& layers);
  void add_outputs(const Graph& graph);
  void add_gradients(const Graph& graph);
  void add_for_hosts(const NumberTables& numbers);
  void link_scores(const Model& model);
  void add_data_rule(gradc_rt_tensor& tensor, const Model& model,
                     std::span<const IndexRanges> entries);
  void set_class_weights(gradc_rt_data& rule, const OutputLoss& loss, const std::string& output);
  void set_columns(gradc_rt_data& rule, const DataRule& given);
  void set_ranges(gradc_rt_data& rule, const gradc_rt_tensor& tensor,
                  std::span<const IndexRanges> entries);
  void set_training(const Model& model);

  gradc_rt_model model_{};
  std::shared_ptr<Graph> train_step_;
  std::vector<gradc_rt_tensor> tensors_;
  std::vector<gradc_rt_entry> entries_;
  std::vector<gradc_rt_fact> facts_;
  std::vector<gradc_rt_hyperparameter> hyperparameters_;
  std::vector<gradc_rt_number> read_numbers_;
  TextPool texts_;
  std::deque<gradc_rt_initializer> initializers_;
  std::deque<gradc_rt_data> data_rules_;
  std::deque<std::vector<gradc_rt_column>> columns_;
  std::deque<std::vector<gradc_rt_class_weight>> class_weights_;
  std::deque<std::vector<double>> numbers_;
  std::deque<std::vector<int64_t>> integers_;
  std::unordered_map<std::string_view, int64_t> slots_;  ///< while the tables are made
  std::vector<uint32_t> by_name_;                        ///< slots in the order of their names
  std::vector<std::string> ambiguous_;
};

}  // namespace gradc
