#include "client/examples/resp_kv/kv_state_machine.h"

#include <cstdio>
#include <cstdlib>

#include "client/examples/resp_kv/record.h"
#include "client/examples/resp_kv/snapshot.h"

namespace understudy::resp_kv {

void KvStateMachine::Apply(const Record& record) {
  const Status status = ApplyRecord(record.payload, &store_);
  if (!status.ok()) {
    std::fprintf(stderr, "resp_kv: record %llu cannot be replayed: %s\n",
                 static_cast<unsigned long long>(record.lsn.value()), status.ToString().c_str());
    std::fflush(stderr);
    std::_Exit(EXIT_FAILURE);
  }
}

std::unique_ptr<Snapshot> KvStateMachine::TakeSnapshot() { return MakeSnapshot(&store_); }

Status KvStateMachine::Load(CheckpointReader& in) { return LoadSnapshot(in, &store_); }

void KvStateMachine::Reset() { store_.Clear(); }

}  // namespace understudy::resp_kv
