// The versions of the public contract (log/protocol/understudy.thrift) that this build speaks.
#pragma once

#include <cstdint>

namespace understudy {

inline constexpr int32_t kProtocolVersionMin = 1;
inline constexpr int32_t kProtocolVersion = 1;

}  // namespace understudy
