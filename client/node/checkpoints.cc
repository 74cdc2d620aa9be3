// When a checkpoint is taken, and how.
#include <algorithm>
#include <memory>
#include <utility>

#include "client/node/node_impl.h"

namespace understudy {
namespace {

constexpr int64_t kCheckpointIntervalMsDefault = 30'000;
constexpr uint64_t kCheckpointLogBytes = 256u << 20;  // so much log is not left to replay, whatever the interval
constexpr int64_t kQuotaRetryNs = kNsPerSecond;       // while appends wait for a checkpoint that trims the log
constexpr int64_t kLookNs = 200 * kNsPerMs;

}  // namespace

// While primary, looks now and then whether one is due.
void NodeImpl::ScheduleCheckpoints() {
  if (checkpoint_timer_set_ || role() != Role::kPrimary) return;
  checkpoint_timer_set_ = true;
  runtime_.loop()->At(runtime_.Now() + kLookNs, [this] {
    checkpoint_timer_set_ = false;
    if (closing_ || role() != Role::kPrimary) return;
    CheckpointIfDue();
    ScheduleCheckpoints();
  });
}

void NodeImpl::CheckpointIfDue() {
  if (checkpoint_running_ || (!options_.apply_on_primary && !options_.run_between_records)) return;
  const Lsn appended = writer_->last_appended();
  const int64_t since_ns = runtime_.Now() - checkpoint_at_;
  // The log is trimmed up to the older of the two that are kept.
  const bool makes_room = writer_->over_quota() && older_checkpoint_lsn_ < appended;
  if (makes_room && since_ns >= kQuotaRetryNs) return BeginCheckpoint([](const Result<CheckpointInfo>&) {});
  if (appended <= checkpoint_lsn_) return;
  // Its quota holds what is written between three checkpoints, and some.
  const uint64_t quota_bytes = writer_->quota_bytes();
  const uint64_t log_bytes = quota_bytes == 0 ? kCheckpointLogBytes : std::min(kCheckpointLogBytes, quota_bytes / 4);
  const int64_t interval_ms = checkpoint_interval_ms_ > 0 ? checkpoint_interval_ms_ : kCheckpointIntervalMsDefault;
  const bool due = since_ns >= interval_ms * kNsPerMs || writer_->sent_bytes() - checkpoint_bytes_ >= log_bytes;
  if (due) BeginCheckpoint([](const Result<CheckpointInfo>&) {});
}

Result<CheckpointInfo> NodeImpl::Checkpoint() {
  if (Runtime::InCallback()) {
    return Status(StatusCode::kFailedPrecondition, "a blocking call inside a callback of the library waits for itself");
  }
  return runtime_.Call<Result<CheckpointInfo>>([this](CheckpointCallback done) { BeginCheckpoint(std::move(done)); });
}

// Strand held; `done` too.
void NodeImpl::BeginCheckpoint(CheckpointCallback done) {
  if (closing_) return done(Status(StatusCode::kCancelled, "the node is being closed"));
  if (role() != Role::kPrimary || !epoch_) {
    return done(Status(StatusCode::kFailedPrecondition, "only the primary takes checkpoints"));
  }
  if (!options_.apply_on_primary && !options_.run_between_records) {
    return done(Status(StatusCode::kFailedPrecondition, "NodeOptions::run_between_records is not set"));
  }
  if (checkpoint_running_) return done(Status(StatusCode::kFailedPrecondition, "a checkpoint is being taken already"));
  checkpoint_running_ = true;
  checkpoint_at_ = runtime_.Now();
  checkpoint_bytes_ = writer_->sent_bytes();
  CheckpointTarget target;
  target.runtime = &runtime_;
  target.cluster = cluster_.get();
  target.chains = Chains(log_);
  target.epoch = *epoch_;
  target.when_committed = [this, epoch = epoch_->epoch](Lsn lsn, std::function<void(Status)> committed) {
    if (writer_->epoch() != epoch) return committed(Status(StatusCode::kFenced, "the epoch is no longer ours"));
    writer_->WhenCommitted(lsn, std::move(committed));
  };
  checkpoint_thread_.Run([this, target = std::move(target), done = std::move(done)] {
    Result<CheckpointInfo> info = TakeCheckpoint(target);
    runtime_.Run([this, info = std::move(info), done] {
      checkpoint_running_ = false;
      if (info.ok()) older_checkpoint_lsn_ = std::exchange(checkpoint_lsn_, info->lsn);
      done(info);
      if (!closing_) agent_->ReportNow();
    });
  });
}

Result<CheckpointInfo> NodeImpl::TakeCheckpoint(const CheckpointTarget& target) {
  std::unique_ptr<Snapshot> snapshot;
  const Result<Lsn> lsn = FreezeState(&snapshot);
  if (!lsn.ok()) return lsn.status();
  if (!snapshot) return Status(StatusCode::kUnsupported, "the state machine takes no snapshots");
  return SaveCheckpoint(target, snapshot.get(), *lsn);
}

// On the checkpoint thread: has the snapshot taken where the state is whole, and waits for it.
Result<Lsn> NodeImpl::FreezeState(std::unique_ptr<Snapshot>* snapshot) {
  struct Frozen {
    bool done = false;
    Lsn lsn;
    std::unique_ptr<Snapshot> snapshot;
  };
  auto frozen = std::make_shared<Frozen>();
  auto freeze = [this, frozen](Lsn lsn) {
    std::unique_ptr<Snapshot> taken = state_machine_->TakeSnapshot();
    const std::lock_guard<std::mutex> lock(shared_mutex_);
    frozen->snapshot = std::move(taken);
    frozen->lsn = lsn;
    frozen->done = true;
    frozen_.notify_all();
  };
  if (options_.apply_on_primary) {
    queue_->Run([this, freeze] { freeze(queue_->applied()); });
  } else {
    options_.run_between_records([this, freeze] { freeze(writer_->last_appended()); });
  }
  std::unique_lock<std::mutex> lock(shared_mutex_);
  frozen_.wait(lock, [&] { return frozen->done || closing_; });
  if (!frozen->done) return Status(StatusCode::kCancelled, "the node is being closed");
  *snapshot = std::move(frozen->snapshot);
  return frozen->lsn;
}

}  // namespace understudy
