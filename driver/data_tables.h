// How texts, image files, series and recordings become examples, as the runtime core reads it.
#pragma once

#include "frontend/model.h"
#include "runtime/model_abi.h"

namespace gradc {

void set_text(gradc_rt_data& rule, const DataRule& given);
/// "resize", "series" and "sound".
void set_files(gradc_rt_data& rule, const DataRule& given);

}  // namespace gradc
