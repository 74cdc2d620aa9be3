#include "client/cli/bench/foreground.h"

#include <poll.h>

#include <memory>

#include "log/env/clock.h"

namespace understudy::cli {
namespace {

constexpr int kTickMs = 1;  // of the paced writer, which sends what has become due since the last

}  // namespace

Foreground::Foreground(BenchLog* sync, BenchLog* paced, size_t size, int64_t rate)
    : sync_log_(sync->log.get()), paced_log_(paced->log.get()), size_(size), rate_(rate) {
  sync_thread_ = std::thread([this] { RunSync(); });
  paced_thread_ = std::thread([this] { RunPaced(); });
}

Foreground::~Foreground() { (void)Stop(); }

Status Foreground::Stop() {
  stopping_ = true;
  if (sync_thread_.joinable()) sync_thread_.join();
  if (paced_thread_.joinable()) paced_thread_.join();
  const std::lock_guard lock(mutex_);
  return failed_;
}

void Foreground::Failed(const Status& status) {
  stopping_ = true;
  const std::lock_guard lock(mutex_);
  if (failed_.ok()) failed_ = status;
}

void Foreground::RunSync() {
  std::string payload(size_, 'x');
  for (uint64_t i = 0; !stopping_; ++i) {
    FillPayload(i, &payload);
    const Phase phase = phase_.load();
    const Instant sent = SystemClock()->Now();
    const Result<Lsn> lsn = sync_log_->Append(payload, KeyOf(i)).Get();
    if (!lsn.ok()) return Failed(lsn.status());
    sync_.of_phase[static_cast<size_t>(phase)].Add(SystemClock()->Now() - sent);
  }
}

// Never waits for an answer: a record's time runs from when it was due, however late this thread comes to send it.
void Foreground::RunPaced() {
  std::string payload(size_, 'x');
  const Instant began = SystemClock()->Now();
  const double ns_per_record = static_cast<double>(kNsPerSecond) / static_cast<double>(rate_);
  std::atomic<uint64_t> answered{0};
  uint64_t sent = 0;
  while (!stopping_) {
    while (!stopping_) {
      const Instant due = began + static_cast<int64_t>(static_cast<double>(sent) * ns_per_record);
      if (SystemClock()->Now() < due) break;
      FillPayload(sent, &payload);
      const auto phase = static_cast<size_t>(phase_.load());
      const Result<Lsn> lsn =
          paced_log_->Append(payload, KeyOf(sent), [this, phase, due, &answered](const Result<Lsn>& answer) {
            if (answer.ok()) {
              const std::lock_guard lock(mutex_);
              paced_.of_phase[phase].Add(SystemClock()->Now() - due);
            } else {
              Failed(answer.status());
            }
            answered.fetch_add(1);
          });
      if (!lsn.ok()) {
        Failed(lsn.status());
        break;
      }
      ++sent;
    }
    poll(nullptr, 0, kTickMs);
  }
  // Also those of a log that has failed are answered.
  while (answered.load() < sent) poll(nullptr, 0, kTickMs);
}

}  // namespace understudy::cli
