#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "understudy/types.h"

namespace understudy {

inline constexpr size_t kRecordBytesMax = 8u << 20;  // payload of one record

// One redo record as a reader sees it. The payload is borrowed: valid until the call that handed it out returns.
struct Record {
  Lsn lsn;
  uint64_t key = 0;  // conflict key hash: equal keys keep their order; 0 orders against everything
  std::string_view payload;
};

}  // namespace understudy
