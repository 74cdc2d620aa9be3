// Keeps the disk's entry in the cluster's metadata (log/format/disk_entry.h) up to date. The directory
// counts first, the metadata after it; a directory whose count is behind the metadata's was restored from an old copy.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "log/format/disk_entry.h"
#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

inline constexpr uint64_t kCountUnchanged = 0;

// Strand of the loop held for every call and callback.
class DiskRegistration {
 public:
  // `metadata` must outlive it.
  DiskRegistration(EventLoop* loop, MetadataStore* metadata, std::string cluster, DiskId disk, std::string node,
                   std::string zone);
  ~DiskRegistration();  // what is under way is forgotten

  // Puts `boot_count` (just raised in the directory, durably) and `address` (empty: keeps the one that is there) into
  // the entry; tries again with growing pauses for as long as the metadata cannot be reached. kDataUnknown: the
  // metadata know a count that is not lower, so the directory is an old copy, or one of two that live.
  // kCountUnchanged (a retired disk's): only the address is changed, nothing is compared.
  using Registered = std::function<void(Status)>;
  void Register(uint64_t boot_count, std::string address, Registered done);

  // The entry's state is `retired` from the next Register on, or from the one under way if it can still be. For good.
  void SetRetired();

  // Only when nothing is under way. The count is the one registered last.
  bool busy() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace understudy
