// How texts, image files, series and recordings become examples, as the runtime core reads it.
#pragma once

#include "frontend/model.h"
#include "runtime/model_abi.h"

namespace gradc {

/// "flip_vertical", "cutout", "mixup" and "cutmix".
void set_examples(gradc_rt_data& rule, const DataRule& given);
void set_text(gradc_rt_data& rule, const DataRule& given);
/// "resize", "series" and "sound".
void set_files(gradc_rt_data& rule, const DataRule& given);
/// As gradc_rt_column has them.
int64_t date_parts(const ColumnRule& column);

}  // namespace gradc
