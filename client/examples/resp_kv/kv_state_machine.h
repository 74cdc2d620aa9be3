// What resp_kv gives the library: how a record is replayed, and how the state is saved and loaded.
#pragma once

#include <memory>

#include "client/examples/resp_kv/store.h"
#include "understudy/state_machine.h"

namespace understudy::resp_kv {

class KvStateMachine : public StateMachine {
 public:
  // On a spare, from several threads for different keys. A record that this program cannot read ends the process: a
  // spare that skipped it must never become primary.
  void Apply(const Record& record) override;
  std::unique_ptr<Snapshot> TakeSnapshot() override;
  Status Load(CheckpointReader& in) override;
  void Reset() override;

  Store& store() { return store_; }

 private:
  Store store_;
};

}  // namespace understudy::resp_kv
