// A spare at work on one log: loads the newest checkpoint, replays what follows, and stays at the writer's heels, fed
// by the log servers or by the writer's mirror stream.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "client/replay/replay_queue.h"
#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "client/rpc/runtime.h"
#include "log/epoch/follower.h"
#include "understudy/state_machine.h"

namespace understudy {

struct ReplayerOptions {
  std::string holder;                 // this node, as the holder of the pin that keeps its checkpoint while it loads
  size_t hold_bytes_max = 64u << 20;  // mirrored, not yet committed
};

// Called with the strand held.
struct ReplayerEvents {
  std::function<void()> changed;                     // phase() or caught_up() is another
  std::function<void(const Status&)> failed;         // no checkpoint could be loaded; nothing more happens
  std::function<void(const VersionedChain&)> chain;  // a newer chain was seen
  std::function<void(const AttemptId&)> next_owner;  // the mirror stream's hint
  std::function<void(const Status&)> mirror_lost;    // the mirror stream is given up: the primary is to begin again
};

// Strand held for every call. After Stop() or destruction no event comes any more; the queue may still be running a
// record.
class Replayer {
 public:
  enum class Phase { kLoading, kReplaying, kMirroring };

  // `queue` owns the thread that touches `state_machine`; all outlive the replayer.
  Replayer(Runtime* runtime, Cluster* cluster, ChainStore* chains, ReplayQueue* queue, StateMachine* state_machine,
           ReplayerOptions options, ReplayerEvents events);
  ~Replayer();
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

  void Start();
  // No event comes any more. Inside one of its events it must not be destroyed, but may be stopped.
  void Stop();
  void Mirror(MirrorPush push);
  // The mirror stream has ended: the log is read until the next push.
  void MirrorBroken();
  // A chain read elsewhere (a takeover's own, say): goes on to what it closes.
  void UseChain(const VersionedChain& chain);
  // `fn` (strand held) once everything up to `lsn` is applied.
  void WhenApplied(Lsn lsn, std::function<void()> fn);
  // From the queue: the state stands at `lsn` now.
  void OnApplied(Lsn lsn);

  Phase phase() const;
  // Applied up to what was known to be committed within the last second.
  bool caught_up() const;
  Lsn applied() const;
  Lsn commit() const;
  uint64_t replayed() const;  // records since Start

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with callbacks under way, which find it closed
};

}  // namespace understudy
