// Calls that wait for a worker, in the order in which they may be worked on: several at once, but none before an
// earlier call that it could tell apart from a later one (the same key, or a key and a prefix of it, and one of the two
// changes it).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "understudy/types.h"

namespace understudy::etcd {

struct Call {
  enum class Kind { kGet, kList, kSwap, kDelete } kind;
  std::string key;  // kList: the prefix
  uint64_t expected = 0;
  std::string value = {};
  size_t limit = 0;
  Instant deadline = {};
  MetadataStore::GetCallback got = nullptr;
  MetadataStore::ListCallback listed = nullptr;
  MetadataStore::CasCallback swapped = nullptr;

  bool changes() const { return kind == Kind::kSwap || kind == Kind::kDelete; }
  void Fail(const Status& status) const;
};

// Thread-safe.
class CallQueue {
 public:
  explicit CallQueue(size_t calls_max) : calls_max_(calls_max) {}

  // kResourceExhausted when it is full, kCancelled when it is closed; `call` is as it was then.
  Status Push(Call&& call);

  // Waits for a call that may be worked on; nullptr once closed. The call stays the queue's until Done.
  Call* Next();
  void Done(Call* call);

  // Those nobody works on yet; from now on Push fails and Next gives nullptr.
  std::vector<Call> Close();

 private:
  // How far Next looks past calls that have to wait for others. Bounds its work, not what is answered.
  static constexpr size_t kLookahead = 256;

  std::list<Call>::iterator FindNext();

  const size_t calls_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Call> waiting_;
  std::list<Call> running_;
  bool closed_ = false;
};

}  // namespace understudy::etcd
