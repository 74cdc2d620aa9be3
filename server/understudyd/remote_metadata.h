// The metadata as a log server of its own process reaches them: through any coordinator, by Thrift.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "log/rpc/clients.h"
#include "log/rpc/event_loop.h"

namespace understudy {

// Calls from any thread without the strand of `loop`, or with another loop's; callbacks come on `loop` with its strand.
// A call goes to the coordinator that answered last. A question that has no answer after half a second is put to the
// next one as well, and the first answer counts; a change goes to the next one only when it was certainly never sent.
class RemoteMetadata final : public MetadataStore {
 public:
  RemoteMetadata(EventLoop* loop, const std::string& cluster, const std::string& role, const std::string& name,
                 const std::vector<std::string>& coordinators);
  ~RemoteMetadata() override;  // strand of `loop` held; what is outstanding is answered kCancelled or never

  void Get(const std::string& key, GetCallback done) override;
  void List(const std::string& prefix, size_t limit, ListCallback done) override;
  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) override;
  void CompareAndDelete(const std::string& key, uint64_t expected, CasCallback done) override;
  // The wire has no watches: a bug to ask for.
  uint64_t Watch(const std::string& prefix, WatchCallback changed) override;
  void Unwatch(uint64_t id) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace understudy
