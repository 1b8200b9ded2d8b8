// Depthwise windows block by block: a thread copies some rows of one image, zeros around them, into
// memory of its own, and reads them there while its second cache holds them. Internal to lowering.
#pragma once

#include "codegen/kernel/contraction.h"
#include "codegen/kernel/nest.h"

#include <cstdint>
#include <optional>

namespace gradc::kernel {

/// Whether guarded windows are worth copies of the rows that they read: where pixels evict one
/// another, and the third cache holds image and result, since memory would be read a few lines at a
/// time. `set` is not padded.
bool wants_image_blocks(const Graph& body, const ContractionSet& set);

/// Cuts the dimensions of the one part of a padded set into blocks, which come first and do not
/// move a, and the blocks' own, which read a copy as long as one block needs: the result, of
/// which only one image is made (dims without images). Dimensions have two more spaces: where the
/// copy begins in the operand, and at which of its rows. Nothing, and the set as it was, where
/// blocks would be too large, or too few for threads to share.
std::optional<PaddedCopy> take_image_blocks(ContractionSet& set);

/// Lets threads share the blocks of a nest of such dimensions, and copies each before its windows.
/// c.copy is the memory that is copied to.
void share_image_blocks(Nest& nest, const Contraction& c, const PaddedCopy& copy);

}  // namespace gradc::kernel
