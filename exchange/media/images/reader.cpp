// All images of a list.
#include "runtime/text.h"
#include "runtime/weights.h"

#include "exchange/media/each_file.h"
#include "exchange/media/images/image.h"
#include <fmt/format.h>

#include <algorithm>

namespace gradc::exchange {
namespace {

bool starts(const std::vector<uint8_t>& file, std::initializer_list<uint8_t> bytes) {
  return file.size() >= bytes.size() && std::equal(bytes.begin(), bytes.end(), file.begin());
}

/// What a file is, its content says.
std::string decode(const char* path, int64_t channels, Image* out) {
  std::vector<uint8_t> file;
  if (std::string problem = read_bytes(path, &file); !problem.empty()) return problem;
  if (starts(file, {0x89, 'P', 'N', 'G'})) return decode_png(file, channels, out);
  if (starts(file, {0xFF, 0xD8})) return decode_jpeg(file, channels, out);
  return file.empty() ? "is empty" : "is neither PNG nor JPEG";
}

rt::Status check_input(const gradc_rt_tensor& input, int64_t channels) {
  const bool image = input.dtype == GRADC_RT_F32 || input.dtype == GRADC_RT_F64 ||
                     input.dtype == GRADC_RT_F16 || input.dtype == GRADC_RT_BF16;
  if (image && (input.rank == 3 || input.rank == 4) &&
      (channels == 1 || channels == 3 || channels == 4))
    return {};
  return rt::error(
      "%s: images become an input [height, width] or [height, width, channels], 1, 3 or 4 of them",
      input.name);
}

std::string one_image(const char* path, const ImageForm& form, bool resize, uint8_t* pixels) {
  Image image;
  if (std::string problem = decode(path, form.channels, &image); !problem.empty()) return problem;
  if (resize) {
    image = resized(image, form);
  } else if (image.height != form.height || image.width != form.width) {
    return fmt::format(
        "is {}x{}, the first image is {}x{}: \"resize\": {{}} in the model's "
        "\"data\" makes all alike",
        image.height, image.width, form.height, form.width);
  }
  std::copy(image.pixels.begin(), image.pixels.end(), pixels);
  return {};
}

/// The size of the first image, which all must have: the input's, or a larger one to crop from.
rt::Status take_size(const gradc_rt_tensor& input, const rt::Str& path, ImageForm* form) {
  Image first;
  const std::string problem = decode(path.c_str(), form->channels, &first);
  const rt::Str name = rt::shown(path, 200);
  if (!problem.empty()) return rt::error("%s: %s", name.c_str(), problem.c_str());
  form->height = first.height;
  form->width = first.width;
  const bool crops = input.data != nullptr && input.data->crop != 0;
  const bool larger = form->height >= input.dims[1] && form->width >= input.dims[2];
  const bool same = form->height == input.dims[1] && form->width == input.dims[2];
  if (same || (crops && larger)) return {};
  return rt::error(
      "%s: is %lldx%lld, %s needs %lldx%lld: \"resize\": {} in its rule in the model's "
      "\"data\" makes all images fit",
      name.c_str(), static_cast<long long>(form->height), static_cast<long long>(form->width),
      input.name, static_cast<long long>(input.dims[1]), static_cast<long long>(input.dims[2]));
}

}  // namespace

std::string size_problem(int64_t height, int64_t width) {
  const bool possible = height > 0 && width > 0 && height <= kLongestSide && width <= kLongestSide;
  if (possible && height * width <= kMostPixels) return {};
  return fmt::format("is {}x{}, at most {} pixels are read", height, width, kMostPixels);
}

rt::Status read_images(const gradc_rt_tensor& input, rt::Span<const rt::Str> paths,
                       rt::Array* out) {
  ImageForm form;
  form.channels = input.rank == 4 ? input.dims[3] : 1;
  GRADC_RT_TRY(check_input(input, form.channels));
  const gradc_rt_data* rule = input.data;
  const bool resize = rule != nullptr && rule->resize_height > 0;
  if (resize) {
    form.height = rule->resize_height;
    form.width = rule->resize_width;
    form.fit = rule->resize_fit;
    form.filter = rule->resize_filter;
  } else if (!paths.empty()) {
    GRADC_RT_TRY(take_size(input, paths[0], &form));
  }
  const auto bytes = static_cast<size_t>(form.height * form.width * form.channels);
  out->dtype = rt::Dtype::kU8;
  for (const int64_t extent : {static_cast<int64_t>(paths.size()), form.height, form.width})
    out->dims.push(extent);
  if (input.rank == 4) out->dims.push(form.channels);
  out->data.resize(paths.size() * bytes);
  return each_file(paths, [&](size_t i) {
    return one_image(paths[i].c_str(), form, resize, out->data.data() + i * bytes);
  });
}

}  // namespace gradc::exchange
