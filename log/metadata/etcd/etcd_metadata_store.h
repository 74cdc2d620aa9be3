// Metadata in etcd (3.4 or later), through the JSON gateway that every member serves beside gRPC.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "log/env/clock.h"
#include "log/metadata/metadata_store.h"
#include "understudy/status.h"

namespace understudy {

struct EtcdMetadataOptions {
  std::vector<std::string> endpoints;  // "http://HOST:PORT", any of the cluster's members
  size_t workers = 8;                  // calls under way at once, each a thread and a connection
  size_t queue_max = 10'000;           // calls waiting; beyond it they are refused with kResourceExhausted
  size_t watches_max = 64;             // each a thread and a connection
  int64_t call_timeout_ms = 3000;      // from the call to its answer, but for Lists of many pages
  int64_t attempt_timeout_ms = 1000;   // then a read is tried at another member, and a change is in doubt
  int64_t connect_timeout_ms = 500;
  int64_t watch_idle_ms = 5000;  // a watch without news for so long looks for a member that lives
};

// Does not wait for etcd, nor need it: while no endpoint can be reached, calls fail with kUnavailable, which is logged
// once. Names of hosts are looked up by the system, whose time no timeout here bounds: addresses are better.
// kInvalidArgument: no endpoints, or one that is not http://host:port. `clock` must outlive the store.
//
// An entry's version is its mod_revision. Reads are linearizable. Calls that touch the same key (or a List a key under
// its prefix) are carried out in the order in which they were made; others side by side. Callbacks run on the store's
// threads with no lock held; they may call the store, but not destroy it.
//
// Errors: kUnavailable: not carried out, no member could be asked (of a read also: none answered in time).
// kOutcomeUnknown, of changes: sent, and no answer that settles it. kResourceExhausted: the queue is full, etcd is busy
// or out of space (NOSPACE alarm), an answer is above its bound. kFailedPrecondition: etcd wants a user.
// kCorruption, of reads: a member answers what is no such answer. kUnsupported: no v3 JSON gateway there.
//
// Watches resume where they broke. When etcd has compacted what came after, the prefix is listed and what differs is
// told, deletions with the version of that list; then a change may stand for several of one key. A watch made before
// the store has heard anything from etcd begins with all entries below its prefix. Watchers are told soon after a
// change, not before it is answered.
//
// The destructor ends what is under way (changes that were sent: kOutcomeUnknown), answers what is queued with
// kCancelled, and waits for callbacks under way.
Result<std::unique_ptr<MetadataStore>> OpenEtcdMetadataStore(Clock* clock, const EtcdMetadataOptions& options);

}  // namespace understudy
