// The files that `gradc new images` and `gradc new sound` look at, as training lists them.
#pragma once

#include "tools/gradc/draft.h"

#include "exchange/media/folder.h"

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gradc::tool {

struct ClassFile {
  std::filesystem::path path;
  std::string kind;

  bool operator<(const ClassFile& other) const {
    return std::pair(path.filename(), kind) < std::pair(other.path.filename(), other.kind);
  }
};

struct ClassFiles {
  std::vector<ClassFile> training;
  std::map<std::string, size_t> counts;  ///< of each class
  bool validation = false;               ///< there is such a folder

  /// About so many of them, from first to last.
  std::vector<const ClassFile*> some(size_t most) const;
};

/// A folder for each class, by itself or in train, validation, test; at least two classes. `what`
/// they hold is for messages.
Result<ClassFiles> find_class_files(const std::string& folder, exchange::Media media,
                                    const char* what);

/// What a draft has of every folder of classes: its training section, what --data takes (with the
/// part of validation, where there is no folder for it), and what was found.
void add_class_training(const std::string& folder, const ClassFiles& files, int epochs,
                        Draft& draft);

}  // namespace gradc::tool
