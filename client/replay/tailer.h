// Follows a log as it grows: drives the Follower core with reads from log servers, the primary's mirror stream and the
// chain, and hands on what may be applied. The next read is in flight while the last one is being applied.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "log/epoch/follower.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

// Called with the strand held. Applying happens elsewhere: they hand on and return.
struct TailerSink {
  // May be applied, in this order. Applied() is to be called as that goes on, or no more will be read.
  std::function<void(std::vector<Released>)> released;
  // Records from next() on are gone up to this LSN: load a checkpoint and start a new Tailer.
  std::function<void(Lsn)> trimmed;
  // The chain, whenever a newer one was read or given.
  std::function<void(const VersionedChain&)> chain;
  // A writer's word that this attempt owns the next epoch: a hint, the chain decides.
  std::function<void(const AttemptId&)> next_owner;
  // The mirror stream is given up, and the log read instead: the primary is to begin again.
  std::function<void(const Status&)> mirror_lost;
  // After anything happened: follower() may say something new.
  std::function<void()> stepped;
};

// Strand held for every call. After destruction nothing is called any more.
class Tailer {
 public:
  Tailer(Cluster* cluster, ChainStore* chains, FollowerOptions options, TailerSink sink);
  ~Tailer();
  Tailer(const Tailer&) = delete;
  Tailer& operator=(const Tailer&) = delete;

  // Begins with this chain, or goes on with a newer one.
  void UseChain(const VersionedChain& chain);
  void Mirror(MirrorPush push);
  void MirrorBroken();  // the stream's connection has ended
  void Applied(Lsn lsn);

  const Follower& follower() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with callbacks under way, which find it closed
};

}  // namespace understudy
