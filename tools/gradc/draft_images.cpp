// gradc new images: convolutions for as many halvings as the images have, classes by their folders.
#include "support/utf8.h"
#include "tools/gradc/class_files.h"

#include "exchange/media/images/image.h"
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace gradc::tool {

namespace {

constexpr size_t kMostLookedAt = 200;
constexpr int64_t kMostSide = 128;
constexpr int64_t kLeastSide = 32;  ///< what images of several sizes become

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

Result<Sizes> look_at(const ClassFiles& files) {
  Sizes sizes;
  for (const ClassFile* file : files.some(kMostLookedAt)) {
    std::ifstream stream(file->path, std::ios::binary);
    const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(stream), {}};
    exchange::Image image;
    const bool is_png = !bytes.empty() && bytes.front() == 0x89;
    const std::string problem =
        is_png ? exchange::decode_png(bytes, 3, &image) : exchange::decode_jpeg(bytes, 3, &image);
    if (!problem.empty())
      return make_error(DiagKind::kInvalidData, {}, "{}: {}", printable(file->path.string(), 200),
                        problem);
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

}  // namespace

Result<Draft> draft_images(const std::string& folder) {
  GRADC_TRY(const ClassFiles files,
            find_class_files(folder, exchange::Media::kImage, "PNG or JPEG"));
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
  Json& model = draft.model;
  model["name"] = "images";
  model["inputs"] =
      Json::array({{{"name", "image"}, {"shape", {height, width, sizes.colours ? 3 : 1}}}});
  model["blocks"]["stage"] = stage_block();
  model["layers"] = stages;
  model["layers"].push_back({{"type", "global_average_pooling2d"}});
  model["layers"].push_back({{"type", "dropout"}, {"rate", 0.3}});
  model["layers"].push_back({{"type", "dense"}, {"units", files.counts.size()}, {"name", "class"}});
  add_class_training(folder, files, 30, draft);
  Json& rule = model["data"]["image"];
  if (resizes) rule["resize"] = {{"fit", "crop"}};
  rule["scale"] = 1.0 / 255.0;
  rule["augment"] = {{"shift", std::max<int64_t>(std::min(height, width) / 16, 1)}};

  const auto [low, high] = std::ranges::minmax(sizes.heights);
  const auto [narrow, wide] = std::ranges::minmax(sizes.widths);
  draft.notes.push_back(
      equal ? fmt::format("{} images of {} x {} pixels{}", sizes.colours ? "coloured" : "grey",
                          sizes.heights.front(), sizes.widths.front(),
                          resizes ? fmt::format(" become {} x {}", height, width) : "")
            : fmt::format("{} images of {} to {} x {} to {} pixels become {} x {}",
                          sizes.colours ? "coloured" : "grey", low, high, narrow, wide, height,
                          width));
  draft.notes.emplace_back(
      "where mirrored images are of the same class, \"flip_horizontal\": true of \"augment\" makes "
      "more of them");
  return draft;
}

}  // namespace gradc::tool
