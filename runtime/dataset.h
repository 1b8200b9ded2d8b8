// Data sets: what a --data SPEC (or --input/--target files) means, resolved against a model's
// inputs and targets.
//
//   DIR                       IDX files with MNIST's names (train-images..., t10k-labels..., .gz or
//                             not), CIFAR's binary files, .npy files, or a folder of images or
//                             recordings for each class
//   FILE.npz, .safetensors    arrays named as the inputs and targets, or x_train y_train w_train
//                             x_val ...
//   FILE.npy, FILE.idx[.gz]   one array, for a model with one input and no targets needed (predict)
//   FILE.csv[:OPTION...]      a table: target=COLUMN,... drop=COLUMN,... weight=COLUMN files=COLUMN
//                             part=COLUMN sep=; header=none skip=N validation=F test=F or tables
//                             fold=K/N seed=S; .tsv is one with sep=tab
//   FILE:chars, bytes, words  windows of the input's length, the target shifted by one; :stride=N
//   FILE:u16, u32, tokens     likewise, of numbers: little-endian, or a .npy
#pragma once

#include "runtime/array.h"
#include "runtime/meaning.h"
#include "runtime/model_abi.h"

namespace gradc::rt {

/// A file for one input or target by name.
struct NamedFile {
  Str name;
  Str path;
};

struct ExampleReader;  // example_files.h

struct DataSource {
  Str spec;  // empty: only the named files
  Vec<NamedFile> inputs;
  Vec<NamedFile> targets;
  /// A host's arrays in place of files, named as the model's tensors ("input/x", of validation
  /// "input/x_val").
  Vec<Array> lent;
  bool given = false;  // the host's arrays are what the network is given: no "data" section
  const ExampleReader* files = nullptr;  // reads files of one example; null: nothing does
};

/// One part of a data set: for every input and target of the model, in the order of model.tensors,
/// its array (other tensors' and absent targets' entries have no dims).
struct DataPart {
  bool present = false;
  bool given = false;       // as in DataSource
  bool unweighted = false;  // the model takes weights of examples, the data have none: all are 1
  Vec<Array> arrays;
  int64_t rows = 0;
  int64_t draws = 0;  // rows that an epoch of training draws; 0: every row once
  int64_t apart =
      1;  // where rows are evaluated in turn, every so many-th: those that do not overlap

  /// Of rows [0, end) those that share nothing with the rows from `end` on.
  int64_t rows_before(int64_t end) const;
};

struct DataSet {
  DataPart train;
  DataPart validation;
  DataPart test;
  Vec<TensorMeaning> meanings;  // one for each tensor of the model
  Vec<Str> unknown;             // warnings: categories that have no number
};

enum class TargetNeed { kRequired, kOptional };

/// Reads everything and assigns arrays to inputs and targets by name; checks counts of rows. Values
/// and shapes are checked by check_part(). With `known` (one for each tensor of the model: what it
/// was trained with) columns, classes and characters are matched by name. The last `held_out`, a
/// fraction of the examples, is not trained on: no vocabulary is made of it. (Below 0: what the
/// model says, if the data have no validation part of their own.)
Status load_dataset(const gradc_rt_model& model, const DataSource& source, TargetNeed need,
                    DataSet* out, const Vec<TensorMeaning>* known = nullptr, double held_out = 0);

/// Reads the arrays of any supported file or folder without assigning them. `choice` may be null:
/// everything is read.
Status load_arrays_of(const char* path, Vec<Array>* out, ArrayChoice* choice = nullptr);

/// Checks one part against the model before anything runs: element counts and shapes, dtypes,
/// ranges of labels, NaN and infinities. All problems are reported together; each names the file,
/// the array, what was seen and what was expected.
Status check_part(const gradc_rt_model& model, const DataPart& part, TargetNeed need);

/// The same for the values of one input or target as compiled code gets them, preprocessing done:
/// `rows` examples of elements of `dtype`. `what` names them in the messages.
Status check_values(const gradc_rt_model& model, size_t tensor, Dtype dtype, const void* data,
                    int64_t rows, const char* what);

/// Is this tensor fed from data?
inline bool is_fed(const gradc_rt_tensor& tensor) {
  return tensor.kind == GRADC_RT_INPUT || tensor.kind == GRADC_RT_TARGET;
}

/// Is it fed with what each example weighs in the loss?
inline bool is_sample_weight(const gradc_rt_tensor& tensor) {
  return tensor.kind == GRADC_RT_TARGET && tensor.data != nullptr &&
         (tensor.data->flags & GRADC_RT_TARGET_IS_WEIGHT) != 0;
}

/// Reads "NAME=FILE".
Status parse_named_file(const char* text, const char* option, NamedFile* out);

/// What the readers of SPECs know, and where to they read.
struct Loading {
  const gradc_rt_model& model;
  const Vec<TensorMeaning>* known;  // null: nothing
  double held_out;                  // as in load_dataset
  bool whole;                       // no part is held out: predictions are of every row
  Vec<Array>* arrays;
  Vec<TensorMeaning>* meanings;  // one for each tensor
  Vec<Str>* unknown;             // as in DataSet
  const ExampleReader* files;    // may be null

  /// Of `rows` examples those that are trained on.
  size_t training_rows(size_t rows, bool has_validation = false) const;
};

/// Turns a SPEC into arrays, those of a table or a text named as the model's tensors
/// (implementation of load_dataset).
Status load_spec(const Loading& loading, const Str& spec, ArrayChoice* choice);
/// Does a name end as a table's does, .gz or not?
bool is_table(const Str& path);
/// Is the SPEC of a table, and which file and options are in it?
bool is_table_spec(const Str& spec, Str* path, Str* options);
Status load_csv(const Loading& loading, const char* path, const char* options);
/// `options`: the unit, then "stride=N".
Status load_text(const Loading& loading, const char* path, const char* options);

}  // namespace gradc::rt
