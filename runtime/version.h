// Which gradc this is, said once: `gradc --version`, the head of logs.
#pragma once

namespace gradc::rt {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace gradc::rt
