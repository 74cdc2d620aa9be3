// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), the checksum of every format of ours. Hardware
// instruction where the processor has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace understudy {

// The CRC of the bytes that gave `crc` followed by `bytes`. Start with 0.
uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes);
inline uint32_t Crc32c(std::string_view bytes) { return ExtendCrc32c(0, bytes); }

namespace internal {
uint32_t ExtendCrc32cPortable(uint32_t crc, std::string_view bytes);  // the table version, for its test
}

}  // namespace understudy
