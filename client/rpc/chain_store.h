// One log's metadata key: carries out what the cores ask for, and edits of the chain that can be repeated.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "client/rpc/cluster.h"
#include "log/epoch/core.h"
#include "log/format/chain.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

// Strand held for every call; callbacks come with it held, perhaps before the call returns. Must outlive its calls'
// callbacks: Cluster::Close() brings them.
class ChainStore {
 public:
  ChainStore(Cluster* cluster, LogId log);

  LogId log() const { return log_; }

  // The chain as it is now; version 0 when the log does not exist. Never from a cache.
  using ReadCallback = std::function<void(Result<VersionedChain>)>;
  void Read(ReadCallback done);

  // When a call began that has shown the log at `version`: until then, at least, it was the chain. Instant() when
  // another version has been seen since.
  Instant SeenAt(uint64_t version) const { return version == seen_version_ ? seen_at_ : Instant(); }

  // A ChainOp of a core. Exactly one of the two is called.
  void Perform(const ChainOp& op, std::function<void(const ChainReadDone&)> read_done,
               std::function<void(const ChainCasDone&)> cas_done);

  // Reads, lets `change` edit, writes, and begins again when another edit came between or the outcome is unknown (so
  // `change` must be one that finds its work done and then has nothing to do). `change` answers whether the chain is
  // to be written; its error ends the edit. kNotFound: no such log. kUnavailable after several tries.
  using Change = std::function<Result<bool>(Chain*)>;
  void Edit(Change change, ReadCallback done);

 private:
  void TryEdit(Change change, ReadCallback done, int tries_left);
  void Saw(uint64_t version, Instant began);

  Cluster* const cluster_;
  const LogId log_;
  const std::string key_;
  uint64_t seen_version_ = 0;
  Instant seen_at_;
};

}  // namespace understudy
