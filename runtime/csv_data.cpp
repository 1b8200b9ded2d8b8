// A CSV as arrays of the model's inputs and targets: every cell goes from the record that it is
// read in to its place in an array.
#include "runtime/csv_classes.h"
#include "runtime/csv_options.h"
#include "runtime/dataset.h"
#include "runtime/text.h"
#include "runtime/tokens.h"
#include "runtime/weights.h"

#include <cmath>

namespace gradc::rt {
namespace {

constexpr size_t kMostTroubles = 20;

// Columns side by side as f64 [rows, columns] ([rows] for one).
struct NumberTable {
  size_t tensor = 0;
  Vec<size_t> columns;
  Vec<double> row;
  Bytes values;
};

// A column of texts.
struct TextColumn {
  size_t tensor = 0;
  size_t column = 0;
  TokenTexts texts;
};

enum class CellUse : uint8_t { kSkipped, kNumber, kClass, kText };

// Where the cells of a column go.
struct ColumnUse {
  CellUse use = CellUse::kSkipped;
  size_t table = 0;  // of the number tables, the class or the text columns
  size_t place = 0;
};

class CsvLoader {
 public:
  CsvLoader(const Loading& loading, const char* path)
      : loading_(loading),
        model_(loading.model),
        path_(path),
        known_(loading.known),
        arrays_(loading.arrays),
        meanings_(loading.meanings) {}

  Status run(const char* options);

 private:
  Vec<size_t> tensors_of(int64_t kind) const;
  Status order_targets(const Vec<size_t>& targets);
  bool is_known_target(const Str& name) const;
  Status plan_targets();
  Status plan_inputs();
  void add_numbers(size_t tensor, Vec<size_t> columns);
  void add_classes(size_t tensor, size_t column);
  Status add_input(size_t tensor, Vec<size_t> columns);
  Status read_rows(CsvReader& reader);
  void read_row(const CsvReader& reader);
  void read_number(const CsvReader& reader, size_t column, double* out);
  Status tell_troubles() const;
  Status finish();
  void finish_texts(TextColumn& column);

  const Loading& loading_;
  const gradc_rt_model& model_;
  const char* path_;
  const Vec<TensorMeaning>* known_;
  Vec<Array>* arrays_;
  Vec<TensorMeaning>* meanings_;
  Vec<Str> header_;
  CsvRoles roles_;
  Vec<ColumnUse> uses_;
  Vec<NumberTable> tables_;
  Vec<ClassColumn> classes_;
  Vec<TextColumn> texts_;
  Vec<CsvTrouble> troubles_;  // of each column
  CsvTrouble ragged_;
  size_t rows_ = 0;
};

Vec<size_t> CsvLoader::tensors_of(int64_t kind) const {
  Vec<size_t> list;
  for (int64_t i = 0; i < model_.num_tensors; ++i)
    if (model_.tensors[i].kind == kind) list.push(static_cast<size_t>(i));
  return list;
}

void CsvLoader::add_numbers(size_t tensor, Vec<size_t> columns) {
  for (size_t i = 0; i < columns.size(); ++i)
    uses_[columns[i]] = {CellUse::kNumber, tables_.size(), i};
  NumberTable& table = tables_.push({});
  table.tensor = tensor;
  table.row.resize(columns.size());
  table.columns = static_cast<Vec<size_t>&&>(columns);
}

void CsvLoader::add_classes(size_t tensor, size_t column) {
  uses_[column] = {CellUse::kClass, classes_.size(), 0};
  ClassColumn& classes = classes_.push({});
  classes.tensor = tensor;
  classes.column = column;
}

// Numbers, or the one column of an input of texts.
Status CsvLoader::add_input(size_t tensor, Vec<size_t> columns) {
  const gradc_rt_data* rule = model_.tensors[tensor].data;
  if (rule == nullptr || rule->text_split == GRADC_RT_TEXT_NONE) {
    add_numbers(tensor, static_cast<Vec<size_t>&&>(columns));
    return {};
  }
  if (columns.size() != 1) {
    Vec<Str> names;
    for (const size_t column : columns)
      names.push(header_[column].clone());
    return error("%s: %s takes the texts of one column, here are %s (:drop= leaves a column out)",
                 path_, model_.tensors[tensor].name, shown_list(names).c_str());
  }
  uses_[columns[0]] = {CellUse::kText, texts_.size(), 0};
  texts_.push({tensor, columns[0], TokenTexts(*rule)});
  return {};
}

// Columns of a target, or of one target each, are told apart by their names; a single one is what
// the option says.
Status CsvLoader::order_targets(const Vec<size_t>& targets) {
  Vec<Str> seen;
  Vec<Str> wanted;
  for (size_t column : roles_.targets)
    seen.push(header_[column].clone());
  for (size_t target : targets) {
    if (known_ == nullptr) continue;
    for (const Str& name : (*known_)[target].columns)
      wanted.push(name.clone());
  }
  if (wanted.size() < 2) return {};
  Vec<size_t> places;
  GRADC_RT_TRY(match_all(path_, "target columns", "", seen, wanted, &places));
  for (size_t& place : places)
    place = roles_.targets[place];
  roles_.targets = static_cast<Vec<size_t>&&>(places);
  return {};
}

// A column that a target was trained from is no feature, also where no target is asked for.
bool CsvLoader::is_known_target(const Str& name) const {
  bool target = false;
  for (size_t i = 0; known_ != nullptr && i < known_->size(); ++i) {
    for (const Str& column : (*known_)[i].columns) {
      if (!(column == name)) continue;
      if (model_.tensors[i].kind == GRADC_RT_INPUT) return false;
      target = true;
    }
  }
  return target;
}

Status CsvLoader::plan_targets() {
  const Vec<size_t> targets = tensors_of(GRADC_RT_TARGET);
  if (roles_.targets.empty()) return {};
  const bool one_each = targets.size() == roles_.targets.size() && targets.size() > 1;
  if (targets.size() != 1 && !one_each) {
    return error("%s: target= names %zu columns, the model has %zu targets", path_,
                 roles_.targets.size(), targets.size());
  }
  GRADC_RT_TRY(order_targets(targets));
  for (size_t t = 0; t < targets.size(); ++t) {
    const bool single = one_each || roles_.targets.size() == 1;
    for (size_t c = one_each ? t : 0; c < (one_each ? t + 1 : roles_.targets.size()); ++c)
      (*meanings_)[targets[t]].columns.push(header_[roles_.targets[c]].clone());
    if (single && takes_classes(model_.tensors[targets[t]])) {
      add_classes(targets[t], roles_.targets[t]);
    } else if (single) {
      Vec<size_t> one;
      one.push(roles_.targets[t]);
      add_numbers(targets[t], static_cast<Vec<size_t>&&>(one));
    } else {
      add_numbers(targets[t], roles_.targets.clone());
    }
  }
  return {};
}

Status CsvLoader::plan_inputs() {
  const Vec<size_t> inputs = tensors_of(GRADC_RT_INPUT);
  if (inputs.size() == 1) {
    Vec<size_t> features;
    Vec<Str> names;
    for (size_t c = 0; c < header_.size(); ++c) {
      if (roles_.used[c] || is_known_target(header_[c])) continue;
      features.push(c);
      names.push(header_[c].clone());
    }
    if (features.empty()) {
      return error("%s: no column is left for %s: all are named by target= or drop=", path_,
                   model_.tensors[inputs[0]].name);
    }
    const Vec<Str>* trained = known_ != nullptr ? &(*known_)[inputs[0]].columns : nullptr;
    if (trained != nullptr && !trained->empty()) {  // in the order that the model was trained with
      Vec<size_t> places;
      GRADC_RT_TRY(match_all(path_, "feature columns", " (:drop= leaves a column out)", names,
                             *trained, &places));
      for (size_t& place : places)
        place = features[place];
      features = static_cast<Vec<size_t>&&>(places);
      names = trained->clone();
    }
    (*meanings_)[inputs[0]].columns = static_cast<Vec<Str>&&>(names);
    return add_input(inputs[0], static_cast<Vec<size_t>&&>(features));
  }
  Status problems;
  for (size_t input : inputs) {  // several inputs: each is a column of its name
    const char* name = short_name(model_.tensors[input]);
    size_t column = 0;
    while (column < header_.size() && !(header_[column] == name))
      ++column;
    if (column == header_.size()) {
      add_problem(problems, "%s: no column for input \"%s\", the header has %s", path_, name,
                  shown_list(header_).c_str());
    } else if (roles_.used[column]) {
      add_problem(problems, "%s: column \"%s\" is an input, and named by target= or drop=", path_,
                  name);
    } else {
      Vec<size_t> one;
      one.push(column);
      const Status added = add_input(input, static_cast<Vec<size_t>&&>(one));
      if (!added.ok()) add_problem(problems, "%s", added.text.c_str());
    }
  }
  return problems;
}

void CsvLoader::read_number(const CsvReader& reader, size_t column, double* out) {
  const CsvField& field = reader.fields()[column];
  if (csv_number(field, out) && std::isfinite(*out)) return;
  CsvTrouble& trouble = troubles_[column];
  const Str text = trouble.count == 0 ? shown(field.text, field.size) : Str();
  if (field.size == 0) {
    trouble.note(reader.line(), "is empty, a number was expected");
  } else if (csv_number(field, out)) {
    trouble.note(reader.line(), "holds \"%s\", a finite number was expected", text.c_str());
  } else {
    const bool untold = roles_.targets.empty() && !tensors_of(GRADC_RT_TARGET).empty();
    trouble.note(reader.line(), "holds \"%s\", a number was expected%s", text.c_str(),
                 roles_.used[column] ? ""
                 : untold ? " (:target=COLUMN names the target, :drop= leaves a column out)"
                          : " (:drop= leaves a column out)");
  }
}

void CsvLoader::read_row(const CsvReader& reader) {
  const Vec<CsvField>& fields = reader.fields();
  if (fields.size() != header_.size()) {
    ragged_.note(reader.line(), "the row has %zu fields, the header has %zu", fields.size(),
                 header_.size());
    return;
  }
  ++rows_;
  for (size_t c = 0; c < fields.size(); ++c) {
    const ColumnUse& use = uses_[c];
    if (use.use == CellUse::kNumber) {
      read_number(reader, c, &tables_[use.table].row[use.place]);
    } else if (use.use == CellUse::kClass) {
      const int32_t id = classes_[use.table].texts.number(fields[c], reader.line());
      classes_[use.table].ids.append(reinterpret_cast<const uint8_t*>(&id), sizeof id);
    } else if (use.use == CellUse::kText) {
      texts_[use.table].texts.add(fields[c].text, fields[c].size);
    }
  }
  for (NumberTable& table : tables_) {
    table.values.append(reinterpret_cast<const uint8_t*>(table.row.data()),
                        table.row.size() * sizeof(double));
  }
}

Status CsvLoader::tell_troubles() const {
  Status problems;
  size_t told = 0;
  const auto tell = [&](const CsvTrouble& trouble, const char* column) {
    if (trouble.count == 0 || ++told > kMostTroubles) return;
    const Str where = column != nullptr ? format("column \"%s\" ", column) : Str();
    const Str more = trouble.count > 1 ? format(" (and %zu more rows)", trouble.count - 1) : Str();
    add_problem(problems, "%s:%zu: %s%s%s", path_, trouble.line, where.c_str(),
                trouble.text.c_str(), more.c_str());
  };
  tell(ragged_, nullptr);
  for (size_t c = 0; c < troubles_.size(); ++c)
    tell(troubles_[c], troubles_[c].count > 0 ? shown(header_[c]).c_str() : "");
  if (told > kMostTroubles) {
    add_problem(problems, "%s: and %zu more columns", path_, told - kMostTroubles);
  }
  return problems;
}

// The vocabulary is the model's, or that of the rows that are trained on.
void CsvLoader::finish_texts(TextColumn& column) {
  const gradc_rt_tensor& tensor = model_.tensors[column.tensor];
  const Vec<Str>* known = known_ != nullptr ? &(*known_)[column.tensor].tokens : nullptr;
  const size_t trained = loading_.training_rows(rows_);
  Vec<Str> table =
      known != nullptr && !known->empty()
          ? known->clone()
          : column.texts.make_table(column.texts.tokens_of(trained), token_room(tensor));
  Array array;
  array.name = Str(tensor.name);
  array.source = format("%s: %s", path_, shown(header_[column.column]).c_str());
  array.dtype = Dtype::kI32;
  array.dims.push(static_cast<int64_t>(rows_));
  array.dims.push(tensor.dims[1]);
  array.data = column.texts.rows(table, static_cast<size_t>(tensor.dims[1]));
  arrays_->push(static_cast<Array&&>(array));
  (*meanings_)[column.tensor].tokens = static_cast<Vec<Str>&&>(table);
}

Status CsvLoader::finish() {
  Status problems = tell_troubles();
  if (rows_ == 0 && problems.ok()) {
    return error("%s: the CSV file has a header and no rows", path_);
  }
  for (NumberTable& table : tables_) {
    Array array;
    array.name = Str(model_.tensors[table.tensor].name);
    array.source = Str(path_);
    if (table.columns.size() == 1) {
      array.source.appendf(": %s", shown(header_[table.columns[0]]).c_str());
    }
    array.dtype = Dtype::kF64;
    array.dims.push(static_cast<int64_t>(rows_));
    if (table.columns.size() != 1) array.dims.push(static_cast<int64_t>(table.columns.size()));
    array.data = static_cast<Bytes&&>(table.values);
    arrays_->push(static_cast<Array&&>(array));
  }
  for (ClassColumn& classes : classes_) {
    Array array;
    const size_t tensor = classes.tensor;
    const Status one = number_classes(path_, header_[classes.column], model_.tensors[tensor],
                                      known_ != nullptr ? &(*known_)[tensor].classes : nullptr,
                                      classes, &array, &(*meanings_)[tensor].classes);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
    arrays_->push(static_cast<Array&&>(array));
  }
  for (TextColumn& column : texts_)
    finish_texts(column);
  return problems;
}

Status CsvLoader::read_rows(CsvReader& reader) {
  bool more = true;
  while (true) {
    GRADC_RT_TRY(reader.next(&more));
    if (!more) return {};
    read_row(reader);
  }
}

Status CsvLoader::run(const char* text) {
  CsvOptions options;
  GRADC_RT_TRY(parse_csv_options(path_, text, &options));
  ByteStream bytes;
  GRADC_RT_TRY(bytes.open(path_));
  CsvReader reader(bytes, path_, options.separator, options.quotes);
  bool more = false;
  GRADC_RT_TRY(reader.next(&more));
  if (!more) return error("%s: the CSV file is empty", path_);
  GRADC_RT_TRY(read_csv_header(path_, reader, options, &header_));
  GRADC_RT_TRY(assign_csv_roles(path_, options, header_, &roles_));
  uses_.resize(header_.size());
  troubles_.resize(header_.size());
  Status plan = plan_targets();
  const Status inputs = plan_inputs();
  if (!inputs.ok()) add_problem(plan, "%s", inputs.text.c_str());
  if (!plan.ok()) return plan;
  if (options.header == CsvHeader::kNone) read_row(reader);
  Status status = read_rows(reader);
  if (!status.ok()) {  // what was wrong before the place where reading ended comes first
    Status problems = tell_troubles();
    add_problem(problems, "%s", status.text.c_str());
    return problems;
  }
  return finish();
}

}  // namespace

Status load_csv(const Loading& loading, const char* path, const char* options) {
  return CsvLoader(loading, path).run(options);
}

}  // namespace gradc::rt
