// The end of a run: the faults stop, and within bounds takeovers end, writes resume, readers reach the commit.
#include <algorithm>

#include "tests/sim/stage.h"

namespace understudy::sim {
namespace {
// Bounds in simulated time. Retries pause for 200 ms at most, a call fails after 60.
constexpr int64_t kTakeoversMs = 2000;
constexpr int64_t kLateMs = 200;
constexpr int64_t kWritesMs = 2000;
constexpr int64_t kReadersMs = 2000;
constexpr int64_t kRepairMs = 3000;
constexpr int64_t kStepNs = 5 * kNsPerMs;
}  // namespace

bool Stage::RunWhile(int64_t limit_ms, const std::function<bool()>& busy) {
  const Instant limit = world_.now() + limit_ms * kNsPerMs;
  while (busy()) {
    if (world_.stopped()) return true;  // something else is broken already
    if (world_.now() >= limit) return false;
    world_.RunUntil(world_.now() + kStepNs);
  }
  return true;
}

void Stage::Settle() {
  calm_ = true;
  world_.rates.drop_permille = world_.rates.duplicate_permille = world_.rates.late_permille = 0;
  world_.rates.delay_us_max = 200;
  world_.ResetDrift();
  metadata_.ForgetFaults();
  for (auto& disk : disks_) {
    disk->ForgetFaults();
    disk->Restart();
    disk->Scrub();  // what nobody has read yet, repair cannot know of
  }
  SettleTakeovers();
  // So may messages of programs that are no more: a late seal stops a writer as well as a prompt one.
  RunWhile(kLateMs, [] { return true; });
  for (int l = 1; l <= plan_.logs; ++l) SettleWrites(LogId(static_cast<uint64_t>(l)));
  for (auto& program : programs_) program->SetQuiet(true);
  for (int l = 1; l <= plan_.logs; ++l) SettleReaders(LogId(static_cast<uint64_t>(l)));
  for (int l = 1; l <= plan_.logs; ++l) SettleRepair(LogId(static_cast<uint64_t>(l)));
  if (!oracle_.finding().has_value()) oracle_.Audit();
}

// Those that were under way go on by themselves: nobody begins them anew.
void Stage::SettleTakeovers() {
  const auto busy = [this] {
    return std::any_of(programs_.begin(), programs_.end(),
                       [](const auto& program) { return program->taking_over() || program->moving(); });
  };
  if (RunWhile(kTakeoversMs, busy)) return;
  for (const auto& program : programs_) {
    if (!program->taking_over() && !program->moving()) continue;
    oracle_.Broken(Rule::kLiveTakeover, program->name() + " is still " +
                                            (program->moving() ? "moving" : "taking over") + " " +
                                            std::to_string(kTakeoversMs) + " ms after the faults stopped");
  }
}

void Stage::SettleWrites(LogId log) {
  // What was on its way when the faults stopped may depose a writer or two yet.
  const Instant limit = world_.now() + 3 * kWritesMs * kNsPerMs;
  while (world_.now() < limit && !world_.stopped()) {
    Application* writer = WriterOf(log);
    if (writer == nullptr) {
      for (auto& program : programs_) {
        if (program->log() != log || program->taking_over()) continue;
        program->Kill();
        program->TakeOver(LastEpoch(log));
        break;
      }
      RunWhile(kWritesMs, [&] { return WriterOf(log) == nullptr; });
      writer = WriterOf(log);
      if (writer == nullptr) continue;
    }
    // A record appended from now on: an answer that was still on its way proves nothing.
    const Lsn next = writer->writer()->next_lsn();
    const auto acked = [&] { return writer->writing() && writer->writer()->commit() >= next; };
    const uint64_t barriers = writer->barriers_done();
    // A writer whose epoch was sealed by a takeover that died may wait for ever; a coordinator then runs the takeover.
    const bool resumed = RunWhile(kWritesMs / 4, [&] {
      return writer->writing() && (!acked() || writer->barriers_done() == barriers);
    });
    if (world_.stopped() || (resumed && acked())) return;
    writer->Kill();
  }
  oracle_.Broken(Rule::kLiveWrites,
                 "log " + std::to_string(log.value()) + ": writes do not resume after the faults stopped");
}

void Stage::SettleReaders(LogId log) {
  if (world_.stopped()) return;
  const auto behind = [this, log](const Application& reader) { return reader.next() <= oracle_.settled(log); };
  Application& fresh = *readers_[log.value() - 1];
  fresh.ReadFresh();
  const auto lagging = [&]() -> const Application* {
    for (auto& program : programs_) {
      if (program->log() == log && program->following() && behind(*program)) return program.get();
    }
    return behind(fresh) ? &fresh : nullptr;
  };
  if (RunWhile(kReadersMs, [&] { return lagging() != nullptr; })) return;
  oracle_.Broken(Rule::kLiveReaders, "log " + std::to_string(log.value()) + ": " + lagging()->name() + " is at LSN " +
                                         std::to_string(lagging()->next().value()) + " of " +
                                         std::to_string(oracle_.settled(log).value()) +
                                         " long after the faults stopped");
}

void Stage::SettleRepair(LogId log) {
  for (auto& disk : disks_) disk->Scrub();  // those that were still waiting for the metadata then
  const auto left = static_cast<int>(
      std::count_if(disks_.begin(), disks_.end(), [](const auto& disk) { return disk->trusted(disk->id()); }));
  if (RunWhile(kRepairMs, [&] { return oracle_.Thin(log, left) != nullptr; })) return;
  const EpochEntry* thin = oracle_.Thin(log, left);
  oracle_.Broken(Rule::kLiveRepair, "log " + std::to_string(log.value()) + ": epoch " +
                                        std::to_string(thin->epoch.value()) +
                                        " has too few full replicas long after the faults stopped");
}

void Stage::Count() {
  coverage_->Hit(Fault::message_dropped, world_.counts.dropped);
  coverage_->Hit(Fault::message_cut, world_.counts.cut);
  coverage_->Hit(Fault::message_duplicated, world_.counts.duplicated);
  coverage_->Hit(Fault::message_late, world_.counts.late);
  coverage_->Hit(Fault::event_parked, world_.counts.parked);
}

}  // namespace understudy::sim
