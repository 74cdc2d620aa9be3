#include "client/writer/log_writer.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "client/writer/log_writer_impl.h"
#include "understudy/check.h"

namespace understudy {
namespace {

void Answer(AppendWaiter& waiter, const Status& status, Lsn lsn) {
  if (auto* callback = std::get_if<AppendCallback>(&waiter)) {
    if (!*callback) return;
    (*callback)(status.ok() ? Result<Lsn>(lsn) : Result<Lsn>(status));
  } else if (auto* future = std::get_if<std::shared_ptr<AppendFuture::State>>(&waiter)) {
    AppendFuture::State& state = **future;
    state.status = status;
    state.lsn = lsn;
    state.completion.Set();
  }
}

}  // namespace

// ---- CommitWaiters

void CommitWaiters::Open(Lsn commit) {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = Status::Ok();
  commit_.store(commit.value(), std::memory_order_release);
}

void CommitWaiters::Wait(Lsn upto, std::function<void(Status)> callback) {
  Status now;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_.ok() && upto > commit()) {
      waiting_.emplace(upto, std::move(callback));
      return;
    }
    now = closed_;
  }
  callback(now);
}

void CommitWaiters::Advance(Lsn commit) {
  std::multimap<Lsn, std::function<void(Status)>> ready;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commit_.store(commit.value(), std::memory_order_release);
    while (!waiting_.empty() && waiting_.begin()->first <= commit) {
      ready.insert(ready.end(), waiting_.extract(waiting_.begin()));
    }
  }
  for (const auto& [lsn, callback] : ready) callback(Status::Ok());
}

void CommitWaiters::Fail(const Status& why) {
  std::multimap<Lsn, std::function<void(Status)>> failed;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = why;
    failed.swap(waiting_);
  }
  for (const auto& [lsn, callback] : failed) callback(why);
}

// ---- what any thread may call

LogWriter::Impl::Impl(Runtime* runtime, Cluster* cluster, LogWriterOptions options, LogWriterEvents events)
    : runtime(runtime),
      cluster(cluster),
      options(options),
      events(std::move(events)),
      staging(runtime->loop()->clock(), options.staging) {}

LogWriter::LogWriter(Runtime* runtime, Cluster* cluster, LogWriterOptions options, LogWriterEvents events)
    : impl_(std::make_unique<Impl>(runtime, cluster, options, std::move(events))) {
  // Whoever held the strand looks here after letting go: that is what Kick() relies on when it finds it taken.
  impl_->after_work = [impl = impl_.get()] { impl->Kick(); };
  runtime->SetAfterWork(&impl_->after_work);
}

LogWriter::~LogWriter() { impl_->runtime->SetAfterWork(nullptr); }

void LogWriter::Close() { impl_->Over(Status(StatusCode::kCancelled, "the log was closed")); }

AppendFuture LogWriter::Append(std::string_view payload, uint64_t key) {
  auto state = std::make_shared<AppendFuture::State>(impl_->runtime->loop());
  const Result<Lsn> lsn = impl_->staging.Add(payload, key, state, /*block=*/!Runtime::InCallback());
  if (!lsn.ok()) return AppendFuture(std::make_shared<AppendFuture::State>(lsn.status()));
  impl_->Kick();
  return AppendFuture(std::move(state));
}

Result<Lsn> LogWriter::Append(std::string_view payload, uint64_t key, AppendCallback callback) {
  Result<Lsn> lsn = impl_->staging.Add(payload, key, std::move(callback), /*block=*/false);
  if (lsn.ok()) impl_->Kick();
  return lsn;
}

void LogWriter::WhenCommitted(std::function<void(Status)> callback) {
  impl_->commit_waiters.Wait(impl_->staging.last_appended(), std::move(callback));
}

void LogWriter::WhenCommitted(Lsn lsn, std::function<void(Status)> callback) {
  impl_->commit_waiters.Wait(lsn, std::move(callback));
}

void LogWriter::ReadBarrier(std::function<void(Status)> callback) {
  const Lsn upto = impl_->staging.last_appended();
  impl_->runtime->Run([impl = impl_.get(), upto, callback = std::move(callback)]() mutable {
    const Runtime::CallbackScope scope;
    if (!impl->open) return callback(impl->over_why);
    const Token token = impl->next_token++;
    impl->barriers.emplace(token, std::make_pair(upto, std::move(callback)));
    impl->Step(WriterBarrier{token});
  });
}

bool LogWriter::MayServe() const {
  return impl_->runtime->Now().ns() < impl_->serve_until_ns.load(std::memory_order_acquire);
}

Epoch LogWriter::epoch() const { return Epoch(impl_->epoch.load(std::memory_order_acquire)); }
Lsn LogWriter::commit() const { return impl_->commit_waiters.commit(); }
Lsn LogWriter::last_appended() const { return impl_->staging.last_appended(); }
size_t LogWriter::outstanding_bytes() const { return impl_->staging.outstanding_bytes(); }

// ---- sending and answering

// Whoever stages and then finds the strand taken relies on its holder to look again after letting go; so does this.
void LogWriter::Impl::Kick() {
  if (Runtime::InCallback()) return;  // the strand is ours further up; it sends when the callbacks are done
  while (gather.WorthSending(StagedBytes())) {
    const EventLoop::Section strand(runtime->loop(), std::try_to_lock);
    if (!strand.held()) return;
    if (!open) return;
    Pump();
    if (!writer->accepting()) return;
  }
}

bool LogWriter::Impl::SendOneStaged(bool all) {
  if (!open || !writer->accepting()) return false;
  if (!all && gather.Full()) return false;
  const auto verdict = all ? GatherPolicy::Verdict::kSend : gather.Judge(StagedBytes());
  if (verdict == GatherPolicy::Verdict::kWaitFromNow) {
    runtime->loop()->At(runtime->Now() + GatherPolicy::kWaitNs, [this] {
      gather.TimeUp();
      Pump();
      gather.TimeUsed();
    });
  }
  if (verdict != GatherPolicy::Verdict::kSend) return false;
  StagedBatch staged;
  if (!staging.Take(all || gather.batches_in_flight() == 0 ? 0 : gather.BytesMin(), &staged)) return false;
  UNDERSTUDY_CHECK(staged.first == writer->next_lsn());
  auto batch = std::make_shared<const std::string>(staged.records.Finish(chains->log(), writer->epoch(), staged.first));
  PendingBatch& sent = pending.emplace_back();
  sent.first = staged.first;
  sent.last = staged.first + (staged.waiters.size() - 1);
  sent.waiters = std::move(staged.waiters);
  sent.bytes = staged.bytes;
  sent.since = staged.since;
  sent_bytes += batch->size();
  JudgeQuota();
  if (options.hand_on_committed) sent.batch = batch;
  gather.Sent(sent.bytes);
  effects.Clear();
  writer->Append(std::move(batch), runtime->Now(), &effects);
  Perform();
  return true;
}

void LogWriter::Impl::Complete(Lsn commit) {
  const Instant now = runtime->Now();
  const Runtime::CallbackScope scope;
  while (!pending.empty() && pending.front().last <= commit) {
    PendingBatch done = std::move(pending.front());
    pending.pop_front();
    gather.Answered(done.bytes);
    latency.Add((now - done.since) / 1000, done.waiters.size());
    if (done.batch) {
      unapplied.emplace_back(done.last, done.bytes);
      events.committed({done.batch, 0, done.batch->size(), writer->epoch(), done.first, done.last});
    } else {
      staging.Release(done.bytes);
    }
    commit_waiters.Advance(done.last);
    for (size_t i = 0; i < done.waiters.size(); ++i) Answer(done.waiters[i], Status::Ok(), done.first + i);
  }
  commit_waiters.Advance(commit);
}

// Refuses new appends and answers all that are not acknowledged.
void LogWriter::Impl::AnswerAll(const Status& why) {
  staging.Refuse(why);
  const Runtime::CallbackScope scope;
  std::deque<PendingBatch> unanswered = std::move(pending);
  pending.clear();
  gather.Dropped();
  for (PendingBatch& batch : unanswered) {
    staging.Release(batch.bytes);
    for (AppendWaiter& waiter : batch.waiters) Answer(waiter, why, Lsn(0));
  }
  for (StagedBatch& batch : staging.Drop()) {
    staging.Release(batch.bytes);
    for (AppendWaiter& waiter : batch.waiters) Answer(waiter, why, Lsn(0));
  }
  for (const auto& [lsn, bytes] : unapplied) staging.Release(bytes);
  unapplied.clear();
  commit_waiters.Fail(why);
  auto failed = std::move(barriers);
  barriers.clear();
  for (auto& [token, barrier] : failed) barrier.second(why);
}

void LogWriter::Impl::Over(const Status& why) {
  open = false;
  draining = false;
  moving = false;
  probe.reset();
  if (moved_done) std::exchange(moved_done, nullptr)(why);
  over_why = why;
  epoch = 0;
  serve_until_ns = INT64_MIN;
  AnswerAll(why);
}

// ---- what the owner calls, strand held

void LogWriter::Begin(ChainStore* chains, const VersionedChain& versioned) {
  Impl& impl = *impl_;
  const Chain& chain = versioned.chain;
  const EpochEntry& entry = *chain.last();
  UNDERSTUDY_CHECK(!impl.open && !entry.closed());
  impl.EndMirror();  // of an epoch that was handed over
  impl.chains = chains;
  ++impl.generation;
  // What is older than the self-fence is as good as never.
  const Instant oldest(impl.runtime->Now().ns() - impl.options.core.self_fence_ms * kNsPerMs);
  const Instant seen_at = std::max(chains->SeenAt(versioned.version), oldest);
  impl.writer = std::make_unique<Writer>(impl.options.core, chains->log(), entry, seen_at);
  impl.inbox.clear();
  impl.replicas.clear();
  impl.replicas_epoch = Epoch(0);
  impl.open = true;
  impl.draining = false;
  impl.moving = false;
  impl.list_at = impl.move_not_before = impl.moved_at = Instant();
  impl.move_pause_ns = 0;
  impl.shunned.clear();
  impl.entry = entry;
  impl.replicas_target = chain.replicas_target;
  impl.ack_quorum_target = chain.ack_quorum;
  impl.quota = {};
  impl.epoch = entry.epoch.value();
  impl.commit_waiters.Open(impl.writer->commit());
  impl.staging.Open(impl.writer->next_lsn());
  impl.Step(Tick{});
  impl.UseQuota(chain.quota_bytes);
  impl.LookAtDisksLater();
}

bool LogWriter::writing() const { return impl_->open; }

void LogWriter::Handover(const Owner& owner, const AttemptId& attempt, const VersionedChain& chain,
                         Instant drain_deadline, std::function<void(Status)> done) {
  Impl& impl = *impl_;
  if (!impl.open || impl.moving || impl.handover_done || !impl.writer->accepting()) {
    return done(Status(StatusCode::kFailedPrecondition, "not the writer, or moving already"));
  }
  impl.staging.Refuse(Status(StatusCode::kFailedPrecondition, "a handover is under way"));
  impl.handover_done = std::move(done);
  impl.draining = true;
  impl.Pump();  // all that is staged goes to the core: it drains what it knows
  impl.draining = false;
  if (!impl.open) return;  // fenced meanwhile; answered there
  WriterMove move;
  move.handover = true;
  move.owner = owner;
  move.attempt = attempt;
  for (const Writer::ReplicaView& replica : impl.writer->Replicas()) {
    if (!replica.dropped) move.disks.push_back(replica.disk);
  }
  move.ack_quorum = std::min(impl.entry.ack_quorum, static_cast<int>(move.disks.size()));
  move.base = chain;
  move.deadline = drain_deadline;
  impl.Step(std::move(move));
}

void LogWriter::MirrorTo(const std::string& address) {
  Impl& impl = *impl_;
  if (impl.mirror_address == address && impl.mirror) return;
  impl.mirror_address = address;
  impl.mirror_pause_ns = 0;
  impl.RetryMirror();
}

void LogWriter::Applied(Lsn lsn) {
  while (!impl_->unapplied.empty() && impl_->unapplied.front().first <= lsn) {
    impl_->staging.Release(impl_->unapplied.front().second);
    impl_->unapplied.pop_front();
  }
}

uint64_t LogWriter::sent_bytes() const { return impl_->sent_bytes; }
uint64_t LogWriter::quota_bytes() const { return impl_->quota.bytes; }
bool LogWriter::over_quota() const { return impl_->quota.over; }

bool LogWriter::mirroring() const { return impl_->writer && impl_->writer->mirroring(); }

void LogWriter::TakeLatency(int64_t* p50_us, int64_t* p99_us) {
  *p50_us = impl_->latency.QuantileUs(0.5);
  *p99_us = impl_->latency.QuantileUs(0.99);
  impl_->latency.Clear();
}

}  // namespace understudy
