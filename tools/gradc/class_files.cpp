#include "tools/gradc/class_files.h"

#include "support/utf8.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace gradc::tool {
namespace {

namespace fs = std::filesystem;

constexpr size_t kUneven = 3;  ///< times as many files in one class as in another
constexpr size_t kMostNamed = 10;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  std::ranges::sort(names);
  return names;
}

/// By name, as training has them.
std::vector<ClassFile> files_in(const fs::path& folder, exchange::Media media) {
  std::vector<ClassFile> files;
  for (const std::string& kind : names_in(folder)) {
    std::error_code error;
    if (kind.starts_with('.') || !fs::is_directory(folder / kind, error)) continue;
    for (const std::string& name : names_in(folder / kind)) {
      if (exchange::is_media_name(media, name.c_str()))
        files.push_back({folder / kind / name, kind});
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

std::vector<const ClassFile*> ClassFiles::some(size_t most) const {
  std::vector<const ClassFile*> list;
  const size_t step = std::max<size_t>(training.size() / most, 1);
  for (size_t i = 0; i < training.size(); i += step)
    list.push_back(&training[i]);
  return list;
}

Result<ClassFiles> find_class_files(const std::string& folder, exchange::Media media,
                                    const char* what) {
  ClassFiles found;
  for (const char* name : {"train", "training"}) {
    if (found.training.empty()) found.training = files_in(fs::path(folder) / name, media);
  }
  for (const char* name : {"validation", "val", "valid"})
    found.validation = found.validation || !files_in(fs::path(folder) / name, media).empty();
  if (found.training.empty()) found.training = files_in(folder, media);
  for (const ClassFile& file : found.training)
    ++found.counts[file.kind];
  if (found.counts.size() >= 2) return found;
  return make_error(DiagKind::kInvalidData, {},
                    "{}: {} folders of {} files, one for each of at least two classes was expected",
                    printable(folder, 200), found.counts.empty() ? "no" : "one of the", what);
}

void add_class_training(const std::string& folder, const ClassFiles& files, int epochs,
                        Draft& draft) {
  draft.data = folder;
  if (!files.validation) draft.data += ":validation=0.15";
  Json& training = draft.model["training"];
  training = {{"loss", {{"type", "sparse_categorical_crossentropy"}, {"from_logits", true}}},
              {"optimizer", {{"type", "adam"}, {"learning_rate", 0.002}}},
              {"metrics", {"accuracy"}},
              {"batch_size", 32},
              {"epochs", epochs},
              {"early_stopping",
               {{"monitor", "val_loss"}, {"patience", 6}, {"restore_best_weights", true}}}};
  std::vector<std::string> named;
  for (const auto& [kind, count] : files.counts)
    if (named.size() < kMostNamed) named.push_back(fmt::format("{} ({})", quoted(kind), count));
  const size_t classes = files.counts.size();
  draft.notes.push_back(fmt::format("{} files of {} classes: {}{}", files.training.size(), classes,
                                    fmt::join(named, ", "), classes > kMostNamed ? ", ..." : ""));
  const auto [least, most] =
      std::ranges::minmax_element(files.counts, {}, [](const auto& count) { return count.second; });
  if (least->second * kUneven >= most->second) return;
  training["class_weight"] = "balanced";
  draft.notes.push_back(
      fmt::format("class {} has {} files, class {} has {}: classes weigh alike "
                  "(\"class_weight\")",
                  quoted(most->first), most->second, quoted(least->first), least->second));
}

}  // namespace gradc::tool
