// Folders of image files. What is in the files is decoded by a reader that programs bring along:
// compiled programs have none.
#pragma once

#include "runtime/file.h"

namespace gradc::rt {

/// What is made of each file.
struct ImageForm {
  int64_t height = 0;  // 0: what the first file has, which all must have
  int64_t width = 0;
  int64_t channels = 1;  // 1 grey, 3 colours, 4 with what is transparent
  int64_t fit = 0;       // gradc_rt_resize_fit
  int64_t filter = 0;    // gradc_rt_resize_filter
};

struct ImageReader {
  /// u8 [paths, height, width, channels] of all files, on as many threads as there are; a height of
  /// 0 in *form is replaced by what there is. Damaged files are told together, by their names.
  Status (*read)(Span<const Str> paths, ImageForm* form, Bytes* pixels) = nullptr;
};

/// Does a file's name end in .png, .jpg or .jpeg, in capitals or not?
bool is_image_name(const Str& name);
/// Does the folder hold image files, or folders of them (train and test too)?
bool is_image_folder(const char* path);

}  // namespace gradc::rt
