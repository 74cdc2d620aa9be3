#include "log/metadata/etcd/call_queue.h"

#include <algorithm>

namespace understudy::etcd {
namespace {

bool Depends(const Call& later, const Call& earlier) {
  if (!later.changes() && !earlier.changes()) return false;
  if (later.kind == Call::Kind::kList) return earlier.key.starts_with(later.key);
  if (earlier.kind == Call::Kind::kList) return later.key.starts_with(earlier.key);
  return later.key == earlier.key;
}

}  // namespace

void Call::Fail(const Status& status) const {
  if (got) got(status);
  if (listed) listed(status);
  if (swapped) swapped(status);
}

Status CallQueue::Push(Call&& call) {
  const std::lock_guard lock(mutex_);
  if (closed_) return {StatusCode::kCancelled, "the metadata store is closing"};
  if (waiting_.size() >= calls_max_) {
    return {StatusCode::kResourceExhausted, std::to_string(waiting_.size()) + " metadata calls are waiting"};
  }
  waiting_.push_back(std::move(call));
  changed_.notify_one();
  return Status::Ok();
}

std::list<Call>::iterator CallQueue::FindNext() {
  size_t looked = 0;
  for (auto it = waiting_.begin(); it != waiting_.end() && looked < kLookahead; ++it, ++looked) {
    const auto waits_for = [&](const Call& earlier) { return Depends(*it, earlier); };
    if (std::none_of(running_.begin(), running_.end(), waits_for) && std::none_of(waiting_.begin(), it, waits_for)) {
      return it;
    }
  }
  return waiting_.end();
}

Call* CallQueue::Next() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (closed_) return nullptr;
    if (const auto it = FindNext(); it != waiting_.end()) {
      running_.splice(running_.end(), waiting_, it);
      if (!waiting_.empty()) changed_.notify_one();
      return &running_.back();
    }
    changed_.wait(lock);
  }
}

void CallQueue::Done(Call* call) {
  std::list<Call> done;  // destroyed without the lock: callbacks own what is theirs
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(running_.begin(), running_.end(), [&](const Call& one) { return &one == call; });
  done.splice(done.end(), running_, at);
  changed_.notify_one();
}

std::vector<Call> CallQueue::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  std::vector<Call> left;
  for (Call& call : waiting_) left.push_back(std::move(call));
  waiting_.clear();
  changed_.notify_all();
  return left;
}

}  // namespace understudy::etcd
