// Losses with a value for each element, [batch, ...] like the output, or for each row of its last
// axis. Targets are of the output's shape.
#pragma once

#include "frontend/options.h"
#include "ir/builder.h"

namespace gradc {

Val build_mse(const Options& options, Val output, Val target);
Val build_mae(const Options& options, Val output, Val target);
Val build_mape(const Options& options, Val output, Val target);
Val build_msle(const Options& options, Val output, Val target);
Val build_log_cosh(const Options& options, Val output, Val target);
Val build_poisson(const Options& options, Val output, Val target);
Val build_hinge(const Options& options, Val output, Val target);
Val build_squared_hinge(const Options& options, Val output, Val target);
Val build_categorical_hinge(const Options& options, Val output, Val target);
Val build_kl_divergence(const Options& options, Val output, Val target);
Val build_cosine_similarity(const Options& options, Val output, Val target);
Val build_huber(const Options& options, Val output, Val target);
Val build_binary_crossentropy(const Options& options, Val output, Val target);
Val build_binary_focal(const Options& options, Val output, Val target);
Val build_categorical_crossentropy(const Options& options, Val output, Val target);
Val build_categorical_focal(const Options& options, Val output, Val target);
Val build_contrastive(const Options& options, Val output, Val target);

}  // namespace gradc
