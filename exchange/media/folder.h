// Files of one example each: a folder for each class, in one of train, validation and test or not;
// behind the folder's name may stand which parts are drawn, as behind a table's:
// DIR:validation=0.1:test=0.2:seed=3, DIR:fold=1/5.
#pragma once

#include "runtime/example_files.h"

namespace gradc::exchange {

enum class Media { kImage, kSound };

/// Does a file's name end as those of images (recordings) do, in capitals or not? Hidden ones do
/// not count.
bool is_media_name(Media media, const char* name);

/// The reader of all of them.
const rt::ExampleReader* media_reader();

}  // namespace gradc::exchange
