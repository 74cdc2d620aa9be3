// Small makers for the unit tests of this folder.
#pragma once

#include <memory>
#include <string>

#include "log/epoch/messages.h"
#include "log/format/batch.h"
#include "log/format/chain.h"

namespace understudy::testing {

inline constexpr DiskId kD1{1, 1};
inline constexpr DiskId kD2{2, 1};
inline constexpr DiskId kD3{3, 1};
inline constexpr AttemptId kA1{0xA, 1};
inline constexpr AttemptId kA2{0xA, 2};
inline const LogId kLog7 = LogId(7);

inline Instant Ms(int64_t ms) { return Instant(kNsPerSecond + ms * kNsPerMs); }

// Records [first, last] with payloads "r<lsn><salt>".
inline BatchRef Batch(uint64_t epoch, uint64_t first, uint64_t last, const std::string& salt = "") {
  BatchBuilder builder;
  for (uint64_t lsn = first; lsn <= last; ++lsn) builder.Add("r" + std::to_string(lsn) + salt, lsn);
  return std::make_shared<const std::string>(builder.Finish(kLog7, Epoch(epoch), Lsn(first)));
}

inline EpochEntry Entry(uint64_t epoch, AttemptId attempt, uint64_t first, std::vector<DiskId> disks, int ack_quorum) {
  EpochEntry entry;
  entry.epoch = Epoch(epoch);
  entry.attempt = attempt;
  entry.owner = {"node" + std::to_string(attempt.lo), ""};
  entry.first_lsn = Lsn(first);
  for (const DiskId& disk : disks) entry.disks.push_back({disk, "n" + std::to_string(disk.hi)});
  entry.ack_quorum = ack_quorum;
  return entry;
}
inline EpochEntry Closed(EpochEntry entry, uint64_t last) {
  entry.last_lsn = Lsn(last);
  return entry;
}
inline Chain ChainOf(std::vector<EpochEntry> epochs, int replicas_target = 3, int ack_quorum = 2) {
  Chain chain;
  chain.log = kLog7;
  chain.name = "test";
  chain.replicas_target = replicas_target;
  chain.ack_quorum = ack_quorum;
  chain.epochs = std::move(epochs);
  return chain;
}

}  // namespace understudy::testing
