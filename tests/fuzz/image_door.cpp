// The door of images: PNG and JPEG, decoded to as many channels as the first byte says, and made
// smaller or larger.
#include "runtime/model_abi.h"
#include "tests/fuzz/door.h"

#include "exchange/media/images/image.h"

#include <string>
#include <vector>

namespace gradc::fuzz {

void image_door(std::string_view bytes) {
  using exchange::Image;
  const uint8_t choice = take_byte(bytes);
  constexpr int64_t kChannels[] = {1, 3, 4};
  constexpr int64_t kFits[] = {GRADC_RT_RESIZE_STRETCH, GRADC_RT_RESIZE_CROP, GRADC_RT_RESIZE_PAD};
  const exchange::ImageForm form{.height = 1 + choice % 5,
                                 .width = 9,
                                 .channels = kChannels[choice % 3],
                                 .fit = kFits[choice / 3 % 3],
                                 .filter = choice / 9 % 2 == 0 ? int64_t{GRADC_RT_RESIZE_BILINEAR}
                                                               : int64_t{GRADC_RT_RESIZE_NEAREST}};
  const std::vector<uint8_t> file(bytes.begin(), bytes.end());
  for (const auto decode : {exchange::decode_png, exchange::decode_jpeg}) {
    Image image;
    if (!decode(file, form.channels, &image).empty()) continue;
    require(exchange::size_problem(image.height, image.width).empty(), "the size is a size");
    require(image.channels == form.channels, "there are as many channels as were asked for");
    require(image.pixels.size() == image.bytes(), "an image is whole");
    constexpr int64_t kMostResized = 1 << 20;
    if (image.height * image.width > kMostResized) continue;
    const Image other = exchange::resized(image, form);
    require(other.height == form.height && other.width == form.width &&
                other.pixels.size() == other.bytes(),
            "an image in another size is whole");
  }
}

}  // namespace gradc::fuzz
