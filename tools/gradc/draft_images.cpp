// gradc new images: convolutions for as many halvings as the images have, classes by their folders.
#include "support/utf8.h"
#include "tools/gradc/draft.h"

#include "exchange/media/folder.h"
#include "exchange/media/images/image.h"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

namespace gradc::tool {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMostLookedAt = 200;
constexpr int64_t kMostSide = 128;
constexpr int64_t kLeastSide = 32;  ///< what images of several sizes become
constexpr size_t kUneven = 3;       ///< times as many files in one class as in another

struct ImageFile {
  fs::path path;
  std::string kind;

  bool operator<(const ImageFile& other) const {
    return std::pair(path.filename(), kind) < std::pair(other.path.filename(), other.kind);
  }
};

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  std::ranges::sort(names);
  return names;
}

/// The files in the folders of classes, as training lists them: by name.
std::vector<ImageFile> files_in(const fs::path& folder) {
  std::vector<ImageFile> files;
  for (const std::string& kind : names_in(folder)) {
    std::error_code error;
    if (kind.starts_with('.') || !fs::is_directory(folder / kind, error)) continue;
    for (const std::string& name : names_in(folder / kind)) {
      if (exchange::is_media_name(exchange::Media::kImage, name.c_str())) files.push_back({folder / kind / name, kind});
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// What the files that were looked at are.
struct Sizes {
  std::vector<int64_t> heights, widths;
  bool colours = false;

  bool all_equal() const {
    return std::ranges::count(heights, heights.front()) == std::ssize(heights) &&
           std::ranges::count(widths, widths.front()) == std::ssize(widths);
  }
  int64_t middle_side() const {
    std::vector<int64_t> sides;
    for (size_t i = 0; i < heights.size(); ++i)
      sides.push_back(std::min(heights[i], widths[i]));
    std::ranges::sort(sides);
    return sides[sides.size() / 2];
  }
};

bool has_colours(const exchange::Image& image) {
  for (size_t i = 0; i + 2 < image.pixels.size(); i += 3) {
    if (image.pixels[i] != image.pixels[i + 1] || image.pixels[i] != image.pixels[i + 2])
      return true;
  }
  return false;
}

Result<Sizes> look_at(const std::vector<ImageFile>& files) {
  Sizes sizes;
  const size_t step = std::max<size_t>(files.size() / kMostLookedAt, 1);
  for (size_t i = 0; i < files.size(); i += step) {
    std::ifstream stream(files[i].path, std::ios::binary);
    const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(stream), {}};
    exchange::Image image;
    const bool is_png = !bytes.empty() && bytes.front() == 0x89;
    const std::string problem =
        is_png ? exchange::decode_png(bytes, 3, &image) : exchange::decode_jpeg(bytes, 3, &image);
    if (!problem.empty())
      return make_error(DiagKind::kInvalidData, {}, "{}: {}",
                        printable(files[i].path.string(), 200), problem);
    sizes.heights.push_back(image.height);
    sizes.widths.push_back(image.width);
    sizes.colours = sizes.colours || has_colours(image);
  }
  return sizes;
}

/// Each halves the sides; about 4 pixels are left.
std::vector<Json> stages_for(int64_t side) {
  std::vector<Json> stages;
  for (int64_t filters = 32; side >= 8 && stages.size() < 5; side /= 2, filters *= 2) {
    stages.push_back({{"type", "block"},
                      {"block", "stage"},
                      {"with", {{"filters", std::min<int64_t>(filters, 256)}}}});
  }
  return stages;
}

Json stage_block() {
  return {{"parameters", {{"filters", 32}}},
          {"layers", Json::array({{{"type", "conv2d"},
                                   {"filters", "$filters"},
                                   {"kernel_size", 3},
                                   {"padding", "same"},
                                   {"use_bias", false}},
                                  {{"type", "batch_norm"}},
                                  {{"type", "relu"}},
                                  {{"type", "max_pooling2d"}}})}};
}

struct Folders {
  std::vector<ImageFile> training;
  bool validation = false;
};

/// As training finds the parts: by name, or all in one.
Folders find_parts(const fs::path& folder) {
  Folders found;
  for (const char* name : {"train", "training"}) {
    if (found.training.empty()) found.training = files_in(folder / name);
  }
  for (const char* name : {"validation", "val", "valid"})
    found.validation = found.validation || !files_in(folder / name).empty();
  if (found.training.empty()) found.training = files_in(folder);
  return found;
}

/// Whether the classes of the last files, which a validation_split holds out, are all classes.
bool ends_with_all(const std::vector<ImageFile>& files, size_t classes, double share) {
  std::map<std::string, size_t> last;
  const auto held = static_cast<size_t>(share * static_cast<double>(files.size()));
  for (size_t i = files.size() - held; i < files.size(); ++i)
    ++last[files[i].kind];
  return last.size() == classes;
}

}  // namespace

Result<Draft> draft_images(const std::string& folder) {
  const Folders found = find_parts(folder);
  const std::vector<ImageFile>& files = found.training;
  std::map<std::string, size_t> counts;
  for (const ImageFile& file : files)
    ++counts[file.kind];
  if (counts.size() < 2)
    return make_error(DiagKind::kInvalidData, {},
                      "{}: {} folders of PNG or JPEG files, one for each of at least two classes "
                      "was expected",
                      printable(folder, 200), counts.empty() ? "no" : "one of the");
  GRADC_TRY(const Sizes sizes, look_at(files));
  const bool equal = sizes.all_equal();
  int64_t height = sizes.heights.front(), width = sizes.widths.front();
  const bool resizes = !equal || std::max(height, width) > kMostSide;
  if (resizes)
    height = width =
        std::clamp(sizes.middle_side() / 8 * 8, equal ? int64_t{8} : kLeastSide, kMostSide);
  const std::vector<Json> stages = stages_for(std::min(height, width));
  if (stages.empty())
    return make_error(DiagKind::kInvalidData, {},
                      "{}: images of {} x {} pixels, at least 8 x 8 were expected",
                      printable(folder, 200), height, width);
  Draft draft;
  draft.data = folder;
  const size_t classes = counts.size();
  Json& model = draft.model;
  model["name"] = "images";
  model["inputs"] =
      Json::array({{{"name", "image"}, {"shape", {height, width, sizes.colours ? 3 : 1}}}});
  model["blocks"]["stage"] = stage_block();
  model["layers"] = stages;
  model["layers"].push_back({{"type", "global_average_pooling2d"}});
  model["layers"].push_back({{"type", "dropout"}, {"rate", 0.3}});
  model["layers"].push_back({{"type", "dense"}, {"units", classes}, {"name", "class"}});
  Json& training = model["training"];
  training = {{"loss", {{"type", "sparse_categorical_crossentropy"}, {"from_logits", true}}},
              {"optimizer", {{"type", "adam"}, {"learning_rate", 0.002}}},
              {"metrics", {"accuracy"}},
              {"batch_size", 32},
              {"epochs", 30},
              {"early_stopping",
               {{"monitor", "val_loss"}, {"patience", 6}, {"restore_best_weights", true}}}};
  constexpr double kShare = 0.15;
  if (!found.validation) training["validation_split"] = kShare;
  const auto [least, most] =
      std::ranges::minmax_element(counts, {}, [](const auto& count) { return count.second; });
  if (least->second * kUneven < most->second) training["class_weight"] = "balanced";
  Json& rule = model["data"]["image"];
  if (resizes) rule["resize"] = {{"fit", "crop"}};
  rule["scale"] = 1.0 / 255.0;
  rule["augment"] = {{"shift", std::max<int64_t>(std::min(height, width) / 16, 1)}};

  std::vector<std::string> named;
  for (const auto& [kind, count] : counts)
    if (named.size() < 10) named.push_back(fmt::format("{} ({})", quoted(kind), count));
  draft.notes.push_back(fmt::format("{} files of {} classes: {}{}", files.size(), classes,
                                    fmt::join(named, ", "), classes > 10 ? ", ..." : ""));
  const auto [low, high] = std::ranges::minmax(sizes.heights);
  const auto [narrow, wide] = std::ranges::minmax(sizes.widths);
  draft.notes.push_back(
      equal ? fmt::format("{} images of {} x {} pixels{}", sizes.colours ? "coloured" : "grey",
                          sizes.heights.front(), sizes.widths.front(),
                          resizes ? fmt::format(" become {} x {}", height, width) : "")
            : fmt::format("{} images of {} to {} x {} to {} pixels become {} x {}",
                          sizes.colours ? "coloured" : "grey", low, high, narrow, wide, height,
                          width));
  if (training.contains("class_weight"))
    draft.notes.push_back(
        fmt::format("class {} has {} files, class {} has {}: classes weigh alike "
                    "(\"class_weight\")",
                    quoted(most->first), most->second, quoted(least->first), least->second));
  if (!found.validation && !ends_with_all(files, classes, kShare))
    draft.notes.emplace_back(
        "the last files by name, which \"validation_split\" holds out, are not of all classes: put "
        "some of each into a folder \"validation\" beside a folder \"train\"");
  draft.notes.emplace_back(
      "where mirrored images are of the same class, \"flip_horizontal\": true of \"augment\" makes "
      "more of them");
  return draft;
}

}  // namespace gradc::tool
