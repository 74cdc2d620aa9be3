// A checkpoint's bytes: "RESPKV1\n", then each key with its value, then an end mark with the number of keys.
// docs/examples.md has the grammar. The library adds the checksums.
#pragma once

#include <memory>

#include "client/examples/resp_kv/store.h"
#include "understudy/state_machine.h"

namespace understudy::resp_kv {

// A snapshot of `store` as it is now, to be written by the library later, on a thread of its own.
std::unique_ptr<Snapshot> MakeSnapshot(Store* store);

// Replaces what `store` holds. kCorruption: not such a checkpoint; the store then holds a part of it.
Status LoadSnapshot(CheckpointReader& in, Store* store);

}  // namespace understudy::resp_kv
