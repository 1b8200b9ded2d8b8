// System calls that a signal interrupted are made again.
#pragma once

#include <cerrno>

namespace gradc::rt {

/// Calls until the result is not -1 with EINTR.
template <class Call>
auto again_if_interrupted(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR)
    result = call();
  return result;
}

}  // namespace gradc::rt
