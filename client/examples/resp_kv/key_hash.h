// The two hashes of a key: one orders replay and picks the shard, the other is what Redis Cluster clients expect.
#pragma once

#include <cstdint>
#include <string_view>

namespace understudy::resp_kv {

// FNV-1a with a final mix, never 0. Part of the record format: a record's conflict key is this hash of its key, so that
// every version of this program must compute the same one.
uint64_t KeyHash(std::string_view key);

// CRC16 (XMODEM) of the key, or of what stands between its first '{' and the next '}', modulo 16384.
int HashSlot(std::string_view key);

}  // namespace understudy::resp_kv
