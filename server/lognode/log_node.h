// The shell of one disk of a log server: the Replica core on a LogStore, behind LogService. One data directory is one
// disk. Whoever drives the loop does the work: the thread that finds journal entries waiting writes and syncs them
// without the strand, and sends the answers itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "log/env/file.h"
#include "log/env/random.h"
#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"
#include "log/rpc/services.h"
#include "understudy/status.h"

namespace understudy {

struct LogNodeOptions {
  std::string cluster = "understudy";
  std::string node = "local";  // whose disk it is, for people and placement
  std::string zone;            // what fails together with it; empty: the node alone
  std::string data_dir;        // made if absent; holds journal, index, checkpoints and the disk's identity
  std::string listen = "127.0.0.1:7401";
  std::string advertise;         // what the metadata say; empty: the address listened on
  bool unsafe_no_fsync = false;  // for benchmarks: acknowledges what is not on the disk
  uint64_t segment_bytes = 64u << 20;
  uint64_t log_quota_bytes = 0;  // what one log may keep on this disk; 0: no bound
  int64_t boot_count_interval_ms = 60'000;
  int64_t repair_after_ms = 300'000;        // a disk not reached for so long is replaced
  int64_t repair_look_ms = 5'000;           // about so often the metadata are looked at
  uint64_t repair_bytes_per_s = 64u << 20;  // of copies, at most; less while appends suffer
};

class LogNode {
 public:
  // Opens (or makes) the disk and recovers its journal; blocks for as long as that takes. `metadata` is where the disk
  // is listed, and must outlive the node. Takes the loop's after-work: one LogNode a loop, before the loop runs. Drive
  // it with two threads: one may be waiting for the disk.
  static Result<std::unique_ptr<LogNode>> Open(EventLoop* loop, Random* random, FileSystem* files,
                                               MetadataStore* metadata, LogNodeOptions options);
  virtual ~LogNode() = default;  // the loop must not be running any more

  // Strand held. Raises the boot count in the directory and in the metadata, then listens; `done` says how it went.
  // Nothing is answered before.
  virtual void Start(std::function<void(Status)> done) = 0;

  // Called, strand held, when this disk can no longer be trusted to keep what it is given (a failed sync): nothing is
  // acknowledged from then on; the process must end.
  virtual void SetOnFatal(std::function<void(Status)> fn) = 0;

  // Called once, strand held, when the disk is retired and nothing refers to it any more; its entry has left the
  // metadata. The directory may be put aside and a new disk opened in its place.
  virtual void SetOnReplaceable(std::function<void()> fn) = 0;

  // Strand held. No request is answered afterwards. Idempotent; call it before the loop stops.
  virtual void Close() = 0;

  virtual const std::string& address() const = 0;  // with the real port, after Start
  virtual DiskId disk() const = 0;
};

}  // namespace understudy
