// Group commit. After a dispatch, the thread that finds entries waiting and nobody committing writes and syncs them
// itself, then sends the answers itself; the other thread drives the loop meanwhile.
#include <algorithm>

#include "server/lognode/log_node_impl.h"

namespace understudy {

void LogNodeImpl::CommitPending() {
  if (!store_->HasPending()) return;
  std::unique_ptr<CommitGroup> group;
  {
    const EventLoop::Section section(loop_);
    if (!closed_) group = store_->TakeGroup();
  }
  while (group != nullptr) {
    store_->WriteAndSync(group.get());
    const EventLoop::Section section(loop_);
    Finished(store_->FinishGroup(std::move(group)));
    group = closed_ ? nullptr : store_->TakeGroup();
  }
}

void LogNodeImpl::Finished(GroupOutcome outcome) {
  if (!outcome.fatal.ok()) {
    Fatal(outcome.fatal);
    return;
  }
  // Failures first: the core must not take for durable what a Persisted would pass over.
  for (GroupOutcome::Failed& failed : outcome.failed) {
    const auto entry = std::lower_bound(queued_.begin(), queued_.end(), failed.seq,
                                        [](const Queued& queued, uint64_t seq) { return queued.store_seq < seq; });
    if (entry == queued_.end() || entry->store_seq != failed.seq) continue;  // an entry of the store's own
    Step(PersistFailed{entry->core_seq, std::move(failed.status)});
  }
  uint64_t durable = 0;
  while (!queued_.empty() && queued_.front().store_seq <= outcome.durable_through) {
    durable = queued_.front().core_seq;
    queued_.pop_front();
  }
  if (sample_ != 0 && durable >= sample_) {
    budget_.NoteAppend(Now() - sample_at_, Now());
    sample_ = 0;
  }
  if (durable != 0) Step(Persisted{durable});
  Perform();
}

}  // namespace understudy
