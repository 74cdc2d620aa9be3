// How an epoch gets back the number of disks that its log wants: when it opened with fewer, or lost one, and others are
// alive, the writer Moves to a next epoch with them. Appends go on meanwhile.
#include <algorithm>
#include <memory>
#include <utility>

#include "client/writer/log_writer_impl.h"
#include "log/env/logging.h"
#include "log/env/random.h"

namespace understudy {
namespace {

constexpr int64_t kLookNs = kNsPerSecond;

}  // namespace

void LogWriter::Impl::LookAtDisksLater() {
  if (looking || !open || replicas_target == 1) return;
  looking = true;
  runtime->loop()->At(runtime->Now() + kLookNs, [this] {
    looking = false;
    LookAtDisks();
  });
}

void LogWriter::Impl::LookAtDisks() {
  if (!open) return;
  LookAtDisksLater();
  if (probe || moving || handover_done || !writer->accepting() || writer->frozen()) return;
  const std::vector<Writer::ReplicaView> views = writer->Replicas();
  const auto kept = std::count_if(views.begin(), views.end(), [](const auto& view) { return !view.dropped; });
  if (kept >= replicas_target) return;
  probe = std::make_unique<DiskProbe>(cluster, chains->log(),
                                      [this](const std::vector<CandidateDisk>& alive, bool complete) {
                                        if (!complete) return;
                                        runtime->loop()->Post([this, alive] {
                                          probe.reset();
                                          MoveTo(alive);
                                        });
                                      });
}

void LogWriter::Impl::MoveTo(const std::vector<CandidateDisk>& alive) {
  if (!open || moving || handover_done || !writer->accepting()) return;
  WriterMove move;
  for (const Writer::ReplicaView& view : writer->Replicas()) {
    if (!view.dropped) move.disks.push_back(view.disk);
  }
  const size_t kept = move.disks.size();
  for (const CandidateDisk& candidate : alive) {
    if (move.disks.size() >= static_cast<size_t>(replicas_target)) break;
    const bool known = std::any_of(move.disks.begin(), move.disks.end(),
                                   [&](const ReplicaRef& disk) { return disk.disk == candidate.disk.disk; });
    if (!known) move.disks.push_back(candidate.disk);
  }
  if (move.disks.size() == kept) return;  // nobody new is there
  move.owner = entry.owner;
  move.attempt = SystemRandom()->NewAttemptId();
  move.ack_quorum = std::min(ack_quorum_target, static_cast<int>(move.disks.size()));
  moving = true;
  Step(std::move(move));
}

void LogWriter::Impl::Moved(const EpochEntry& next) {
  entry = next;
  LogInfo("writer", "log " + std::to_string(chains->log().value()) + " goes on in epoch " +
                        std::to_string(next.epoch.value()) + " with " + std::to_string(next.disks.size()) + " disks");
  if (events.moved) events.moved(next);
}

}  // namespace understudy
