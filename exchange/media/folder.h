// Files of one example each: a folder for each class, in one of train, validation and test or not.
#pragma once

#include "runtime/example_files.h"

namespace gradc::exchange {

enum class Media { kImage };

/// Does a file's name end as those of images do, in capitals or not? Hidden ones do not count.
bool is_media_name(Media media, const char* name);

/// The reader of all of them.
const rt::ExampleReader* media_reader();

}  // namespace gradc::exchange
