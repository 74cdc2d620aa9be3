// The metadata store of a single machine: a LevelDB directory, every change synced before it is answered.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "log/env/file.h"
#include "log/metadata/metadata_store.h"
#include "understudy/status.h"

namespace understudy {

struct EmbeddedMetadataOptions {
  size_t keys_max = 1u << 20;  // a CAS that would create more is refused with kResourceExhausted
  size_t queue_max = 10'000;   // calls waiting; beyond it they are refused with kResourceExhausted
  size_t watches_max = 10'000;
};

// Opens or creates `dir`. Callbacks run on two threads of the store's, with no lock of the store held: a Get of a key
// that no earlier call may yet change is answered on one, beside everything else; all other calls on the other, in
// their order. Calls that come close together share one sync. A watcher sees a change before the CAS that made it is
// answered; one that is unwatched from another thread may see a change that was under way. A change whose write failed
// is answered kOutcomeUnknown. After a failed sync every call fails with kIoError: restart the process. After a full
// disk, calls fail with kResourceExhausted until there is space. The destructor answers what is queued with kCancelled,
// then returns; callbacks must not destroy the store. kFailedPrecondition: another process has it open. `files` must
// outlive the store.
Result<std::unique_ptr<MetadataStore>> OpenEmbeddedMetadataStore(const std::string& dir,
                                                                 const EmbeddedMetadataOptions& options,
                                                                 FileSystem* files);

}  // namespace understudy
