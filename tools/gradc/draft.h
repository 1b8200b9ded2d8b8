// What `gradc new` writes: a model that fits what was found in a person's data.
#pragma once

#include "support/json.h"
#include "support/result.h"
#include "tools/gradc/table_profile.h"

#include <string>
#include <utility>
#include <vector>

namespace gradc::tool {

struct Draft {
  Json model;
  std::vector<std::string> notes;  ///< what was found, for people
  std::string data;                ///< what --data of train takes
};

/// A name of the data in a message.
std::string quoted(const std::string& name);

/// A target's name as a layer's.
std::string target_name(const ColumnProfile& target);
/// Two digits: enough to bring an output near its targets.
double rounded(double value);
/// How many classes a target has; 0: it is a quantity.
size_t classes_of(const ColumnProfile& target, size_t rows);
/// The only target of a table, all of whose cells can be told apart; else what is wrong.
Result<const ColumnProfile*> only_target(const TableProfile& table, const std::string& spec);
/// Features of the table as "columns" wants them, and how many values they are; what is left out is
/// noted. `also_target`: what was known of the target before is a feature too.
size_t add_features(const TableProfile& table, bool also_target, Json& columns, Draft& draft);
/// A last layer, loss and metrics for a target.
void add_output(const ColumnProfile& target, size_t classes, Draft& draft);

/// FILE.csv:target=COLUMN: numbers and names.
Result<Draft> draft_table(const std::string& spec);
/// The same whose rows are in the order of time.
Result<Draft> draft_series(const std::string& spec);
/// A folder with a folder of image files for each class, by itself or in train, validation, test.
Result<Draft> draft_images(const std::string& folder);
/// The same of recordings.
Result<Draft> draft_sound(const std::string& folder);
/// FILE:chars, :bytes or :words for a language model; FILE.csv:target=COLUMN for a text in a
/// column.
Result<Draft> draft_text(const std::string& spec);

}  // namespace gradc::tool
