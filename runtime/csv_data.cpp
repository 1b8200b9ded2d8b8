// Rows of a CSV to arrays.
#include "runtime/csv_loader.h"
#include "runtime/example_files.h"
#include "runtime/text.h"

#include <cmath>

namespace gradc::rt {
namespace {

constexpr size_t kMostTroubles = 20;

}  // namespace

void CsvLoader::read_number(const CsvReader& reader, size_t column, double* out) {
  const CsvField& field = reader.fields()[column];
  if (csv_number(field, out) && std::isfinite(*out)) return;
  CsvTrouble& trouble = troubles_[column];
  const Str text = trouble.count == 0 ? shown(field.text, field.size) : Str();
  if (field.size == 0) {
    trouble.note(
        reader.line(), "is empty, a number was expected%s",
        roles_.used[column] ? "" : " (\"columns\" in the model's \"data\" can fill it in)");
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

void CsvLoader::read_cell(const CsvReader& reader, size_t column, const ColumnUse& use) {
  const CsvField& field = reader.fields()[column];
  if (use.use == CellUse::kNumber) {
    read_number(reader, column, &tables_[use.table].row[use.place]);
  } else if (use.use == CellUse::kFeature) {
    FeatureTable& table = features_[use.table];
    table.rule.read(use.place, field, reader.line(), table.row.data(), &troubles_[column]);
  } else if (use.use == CellUse::kClass) {
    const int32_t id = classes_[use.table].texts.number(field, reader.line());
    classes_[use.table].ids.append(reinterpret_cast<const uint8_t*>(&id), sizeof id);
  } else if (use.use == CellUse::kText) {
    texts_[use.table].texts.add(field.text, field.size);
  } else if (use.use == CellUse::kFile) {
    files_[use.table].paths.push(Str(field.text, field.size));
  } else if (use.use == CellUse::kPart) {
    read_part(reader, column);
  }
}

void CsvLoader::read_part(const CsvReader& reader, size_t column) {
  const CsvField field = csv_trimmed(reader.fields()[column]);
  const Str text(field.text, field.size);
  const size_t part = part_named(text);
  if (part >= 3) {
    troubles_[column].note(reader.line(), "holds \"%s\", train, validation or test was expected",
                           shown(text).c_str());
  }
  parts_.push(static_cast<RowPart>(part % 3));
}

void CsvLoader::read_row(const CsvReader& reader) {
  const Vec<CsvField>& fields = reader.fields();
  if (fields.size() != header_.size()) {
    ragged_.note(reader.line(), "the row has %zu fields, the header has %zu", fields.size(),
                 header_.size());
    return;
  }
  ++rows_;
  for (size_t c = 0; c < fields.size(); ++c)
    read_cell(reader, c, uses_[c]);
  for (size_t c = 0; c < also_.size(); ++c)
    read_cell(reader, c, also_[c]);
  for (NumberTable& table : tables_) {
    table.values.append(reinterpret_cast<const uint8_t*>(table.row.data()),
                        table.row.size() * sizeof(double));
  }
  for (FeatureTable& table : features_) {
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
  Vec<Str> table = known != nullptr && !known->empty()
                       ? known->clone()
                       : column.texts.make_table(trained_, token_room(tensor));
  Array array;
  array.name = Str(tensor.name);
  array.source = format("%s: %s", path_, shown(header_[column.column]).c_str());
  array.dtype = Dtype::kI32;
  array.dims.push(static_cast<int64_t>(rows_));
  array.dims.push(tensor.dims[1]);
  array.data = column.texts.rows(table, static_cast<size_t>(tensor.dims[1]));
  give(column.tensor, static_cast<Array&&>(array));
  (*meanings_)[column.tensor].tokens = static_cast<Vec<Str>&&>(table);
}

// Paths are beside the table, unless they begin at the root.
Status CsvLoader::finish_files(FileColumn& column) {
  const Str folder = folder_of(path_);
  for (Str& path : column.paths)
    if (!path.starts_with("/")) path = join_path(folder.c_str(), path.c_str());
  const gradc_rt_tensor& tensor = model_.tensors[column.tensor];
  Array array;
  GRADC_RT_TRY(loading_.files->read(tensor, {column.paths.data(), column.paths.size()}, &array));
  array.name = Str(tensor.name);
  array.source = format("%s: %s", path_, shown(header_[column.column]).c_str());
  give(column.tensor, static_cast<Array&&>(array));
  return {};
}

// An array of all rows, or one for each part.
void CsvLoader::give(size_t tensor, Array array) {
  if (of_part_ != nullptr) array.name.appendf("_%s", of_part_);
  if (series_.steps > 0) return give_examples(tensor, array);
  if (parts_.empty()) {
    arrays_->push(static_cast<Array&&>(array));
    return;
  }
  Array held[2];
  move_parts(parts_, &array, &held[0], &held[1]);
  arrays_->push(static_cast<Array&&>(array));
  for (Array& part : held)
    if (part.rows() > 0) arrays_->push(static_cast<Array&&>(part));
}

// Of a series: overlapping windows of the rows.
void CsvLoader::give_examples(size_t tensor, const Array& rows) {
  const bool target = model_.tensors[tensor].kind == GRADC_RT_TARGET;
  if (target && series_.ahead == 0) return;
  Vec<int64_t> dims;  // of an example
  const bool weight = is_sample_weight(model_.tensors[tensor]);
  const size_t length = weight ? 1 : target ? ahead_of(tensor) : series_.steps;
  if (!target || length > 1) dims.push(static_cast<int64_t>(length));
  if (rows.row_elements() > 1) dims.push(static_cast<int64_t>(rows.row_elements()));
  for (size_t p = 0; p < 3; ++p) {
    if (examples_[p].count == 0) continue;
    Array part = series_array(series_, examples_[p], rows, target, {dims.data(), dims.size()});
    if (p > 0) part.name = format("%s_%s", rows.name.c_str(), p == 1 ? "val" : "test");
    arrays_->push(static_cast<Array&&>(part));
  }
}

void CsvLoader::give_numbers(size_t tensor, size_t columns, const Str& source, Bytes values) {
  Array array;
  array.name = Str(model_.tensors[tensor].name);
  array.source = source.clone();
  array.dtype = Dtype::kF64;
  array.dims.push(static_cast<int64_t>(rows_));
  if (columns != 1) array.dims.push(static_cast<int64_t>(columns));
  array.data = static_cast<Bytes&&>(values);
  give(tensor, static_cast<Array&&>(array));
}

// The examples of a series, part by part; *train: rows of the training part.
Status CsvLoader::draw_examples(size_t* train) {
  if (options_.split.any() && !loading_.whole)
    return split_series(path_, series_, options_.split, rows_, examples_, train);
  examples_[0].count = series_.count(rows_);
  if (examples_[0].count > 0) return {};
  return error("%s: has %zu rows, one example of the series needs %zu", path_, rows_,
               series_.span());
}

// Which rows are of which part, and which are trained on.
Status CsvLoader::draw_rows() {
  size_t train = rows_;
  if (series_.steps > 0) {
    GRADC_RT_TRY(draw_examples(&train));
  } else if (!parts_.empty()) {  // as the rows say
    if (loading_.whole) parts_.clear();
    for (const RowPart part : parts_)
      train -= part == RowPart::kTrain ? 0 : 1;
    if (train == 0)
      return error("%s: no row of column \"%s\" says train", path_,
                   shown(header_[roles_.parts[0]]).c_str());
  } else if (options_.split.any() && !loading_.whole) {
    Vec<int32_t> classes;
    if (classes_.size() == 1) {
      classes.append(reinterpret_cast<const int32_t*>(classes_[0].ids.data()), rows_);
    }
    GRADC_RT_TRY(draw_parts(path_, options_.split, rows_, classes, &parts_));
    for (const RowPart part : parts_)
      train -= part == RowPart::kTrain ? 0 : 1;
  }
  bool validated = options_.has_validation();
  for (const RowPart part : parts_)
    validated = validated || part == RowPart::kValidation;
  size_t left = loading_.training_rows(train, validated);
  trained_.resize(rows_);
  for (size_t r = 0; r < rows_ && left > 0; ++r) {
    if (!parts_.empty() && parts_[r] != RowPart::kTrain) continue;
    trained_[r] = 1;
    --left;
  }
  return {};
}

Status CsvLoader::finish_features(FeatureTable& table) {
  const Span<double> values(reinterpret_cast<double*>(table.values.data()),
                            rows_ * table.rule.width());
  GRADC_RT_TRY(table.rule.finish(path_, values, trained_,
                                 known_ != nullptr ? &(*known_)[table.tensor] : nullptr,
                                 &(*meanings_)[table.tensor], loading_.unknown));
  give_numbers(table.tensor, table.rule.width(), Str(path_), static_cast<Bytes&&>(table.values));
  return {};
}

Status CsvLoader::finish() {
  Status problems = tell_troubles();
  if (rows_ == 0 && problems.ok()) {
    return error("%s: the CSV file has a header and no rows", path_);
  }
  const bool sound = problems.ok();
  if (sound) GRADC_RT_TRY(draw_rows());
  for (NumberTable& table : tables_) {
    Str source(path_);
    if (table.columns.size() == 1) {
      source.appendf(": %s", shown(header_[table.columns[0]]).c_str());
    }
    give_numbers(table.tensor, table.columns.size(), source, static_cast<Bytes&&>(table.values));
  }
  for (ClassColumn& classes : classes_) {
    Array array;
    const size_t tensor = classes.tensor;
    const Status one = number_classes(path_, header_[classes.column], model_.tensors[tensor],
                                      known_ != nullptr ? &(*known_)[tensor].classes : nullptr,
                                      classes, &array, &(*meanings_)[tensor].classes);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
    if (problems.ok()) give(tensor, static_cast<Array&&>(array));
  }
  for (FeatureTable& table : features_) {
    if (!sound) break;  // what a wrong cell became is nothing to go on with
    const Status one = finish_features(table);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  for (TextColumn& column : texts_)
    if (sound) finish_texts(column);
  for (FileColumn& column : files_) {
    if (!problems.ok()) break;
    problems = finish_files(column);
  }
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

Status CsvLoader::run(const char* text, const char* of_part) {
  GRADC_RT_TRY(parse_csv_options(path_, text, &options_));
  of_part_ = of_part;
  if (of_part != nullptr) options_.split = {};
  ByteStream bytes;
  GRADC_RT_TRY(bytes.open(path_));
  CsvReader reader(bytes, path_, options_.separator, options_.quotes);
  bool more = true;
  for (int64_t i = 0; i <= options_.skip && more; ++i)
    GRADC_RT_TRY(reader.next(&more));
  if (!more && options_.skip > 0) {
    return error("%s: no row is left behind the %lld that are skipped", path_,
                 static_cast<long long>(options_.skip));
  }
  if (!more) return error("%s: the CSV file is empty", path_);
  GRADC_RT_TRY(read_csv_header(path_, reader, options_, &header_));
  GRADC_RT_TRY(assign_csv_roles(path_, options_, header_, &roles_));
  uses_.resize(header_.size());
  troubles_.resize(header_.size());
  GRADC_RT_TRY(find_series());
  Status plan = plan_targets();
  const Status weights = plan_weights();
  if (!weights.ok()) add_problem(plan, "%s", weights.text.c_str());
  const Status inputs = plan_inputs();
  if (!inputs.ok()) add_problem(plan, "%s", inputs.text.c_str());
  if (plan.ok()) plan = plan_series();
  if (plan.ok() && !roles_.parts.empty()) {
    if (series_.steps > 0)
      return error("%s: part=: the parts of a series are in the order of time (validation=, test=)",
                   path_);
    uses_[roles_.parts[0]] = {CellUse::kPart, 0, 0};
  }
  if (!plan.ok()) return plan;
  if (options_.header == CsvHeader::kNone) read_row(reader);
  Status status = read_rows(reader);
  if (!status.ok()) {  // what was wrong before the place where reading ended comes first
    Status problems = tell_troubles();
    add_problem(problems, "%s", status.text.c_str());
    return problems;
  }
  return finish();
}

// Other tables that are its validation and test part mean what it means.
Status load_csv(const Loading& loading, const char* path, const char* text) {
  CsvLoader loader(loading, path);
  GRADC_RT_TRY(loader.run(text));
  const Str* files[] = {&loader.options().validation_file, &loader.options().test_file};
  for (size_t p = 0; p < 2; ++p) {
    if (files[p]->empty() || loading.whole) continue;
    const Vec<TensorMeaning>* known = loading.known != nullptr ? loading.known : loading.meanings;
    Vec<TensorMeaning> meanings(loading.meanings->size());
    const Loading part{loading.model,   known,        0, false, loading.arrays, &meanings,
                       loading.unknown, loading.files};
    GRADC_RT_TRY(CsvLoader(part, files[p]->c_str()).run(text, p == 0 ? "val" : "test"));
  }
  return {};
}

}  // namespace gradc::rt
