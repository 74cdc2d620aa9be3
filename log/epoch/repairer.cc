#include "log/epoch/repairer.h"

#include <algorithm>
#include <utility>

#include "log/epoch/repairer_impl.h"
#include "understudy/check.h"

namespace understudy {

void RepairerEffects::Clear() {
  asks.clear();
  held.clear();
  fetches.clear();
  copies.clear();
  chain_ops.clear();
  events.clear();
  wake_at = Instant::Never();
}

const char* RepairDiskWordName(RepairDiskWord word) {
  switch (word) {
    case RepairDiskWord::kFit:
      return "fit";
    case RepairDiskWord::kSilent:
      return "silent";
    case RepairDiskWord::kDraining:
      return "draining";
    case RepairDiskWord::kUnreachable:
      return "unreachable";
    case RepairDiskWord::kRetired:
      return "retired";
    case RepairDiskWord::kWiped:
      return "wiped";
    case RepairDiskWord::kRemoved:
      return "removed";
  }
  return "unknown";
}

const char* RepairKindName(RepairKind kind) {
  switch (kind) {
    case RepairKind::kComplete:
      return "complete";
    case RepairKind::kReplace:
      return "replace";
    case RepairKind::kDrop:
      return "drop";
    case RepairKind::kCheckpoint:
      return "checkpoint";
  }
  return "unknown";
}

Repairer::Impl::Impl(RepairerOptions o) : options(std::move(o)) {
  UNDERSTUDY_CHECK(options.own_tail != nullptr && !options.disk.disk.none() && options.jobs_max > 0);
  options.gone_after_ms = std::min(options.gone_after_ms, options.repair_after_ms);
  options.complete_after_ms = std::min(options.complete_after_ms, options.repair_after_ms);
}

// ---- disks ----

Repairer::Impl::Word Repairer::Impl::WordOf(const DiskId& id, Instant now) const {
  const auto found = disks.find(id);
  if (found == disks.end()) return Word::kSilent;  // beyond what we keep: nothing is known
  const Disk& disk = found->second;
  const auto over = [&](const std::optional<Instant>& since, int64_t ms) {
    return since.has_value() && now - *since >= ms * kNsPerMs;
  };
  if (!disk.listed) return over(disk.unlisted_since, options.gone_after_ms) ? Word::kRemoved : Word::kSilent;
  if (disk.entry.state == DiskState::kRetired) return Word::kRetired;
  if (id != options.disk.disk) {
    if (disk.answers && disk.last_code == StatusCode::kDataUnknown) return Word::kRetired;
    if (over(disk.wrong_since, options.gone_after_ms)) return Word::kWiped;
    if (over(disk.silent_since, options.repair_after_ms)) return Word::kUnreachable;
  }
  if (disk.entry.state == DiskState::kDraining) return Word::kDraining;
  return disk.silent_since.has_value() || disk.wrong_since.has_value() ? Word::kSilent : Word::kFit;
}

void Repairer::Impl::OnDiskAnswered(const RepairDiskAnswered& input, Instant now) {
  const auto found = std::find_if(disks.begin(), disks.end(),
                                  [&](const auto& entry) { return entry.second.ask_token == input.token; });
  if (input.token == 0 || found == disks.end()) return;
  Disk& disk = found->second;
  disk.ask_token = 0;
  disk.last_code = input.code;
  const bool wrong = input.code == StatusCode::kWrongDisk;
  disk.answers = input.code == StatusCode::kOk || input.code == StatusCode::kDataUnknown;
  if (wrong && !disk.wrong_since) disk.wrong_since = now;
  if (!wrong) disk.wrong_since.reset();
  if (disk.answers) disk.silent_since.reset();
  if (!disk.answers && !disk.silent_since) disk.silent_since = now;
}

void Repairer::Impl::AskDisks(Instant now, RepairerEffects* out) {
  if (stopped || now < next_ask) return;
  next_ask = now + options.ask_ms * kNsPerMs;
  for (auto& [id, disk] : disks) {
    if (id == options.disk.disk || !disk.listed || disk.entry.address.empty() || disk.ask_token != 0) continue;
    disk.ask_token = next_token++;
    out->asks.push_back({disk.ask_token, id, disk.entry.address});
  }
}

const std::string& Repairer::Impl::AddressOf(const DiskId& id) const {
  static const std::string none;
  const auto found = disks.find(id);
  return found == disks.end() || !found->second.listed ? none : found->second.entry.address;
}

std::string Repairer::Impl::Name(const DiskId& id) const {
  const auto found = disks.find(id);
  std::string name = ToHex(id).substr(0, 8);
  if (found != disks.end() && !found->second.entry.node.empty()) name += " (" + found->second.entry.node + ")";
  return name;
}

std::string Repairer::Impl::Title(const Need& need) {
  return "log " + std::to_string(need.key.log.value()) +
         (need.key.checkpoint == 0 ? " epoch " + std::to_string(need.key.epoch.value())
                                   : " checkpoint " + std::to_string(need.key.checkpoint));
}

Instant Repairer::Impl::WakeAt(Instant now) const {
  if (stopped) return Instant::Never();
  Instant at = disks.empty() ? Instant::Never() : next_ask;
  if (running >= options.jobs_max) return at;  // the end of one comes first
  for (const auto& [key, need] : needs) {
    if (need.running() || !need.ours) continue;
    const Instant ready = ReadyAt(need);
    if (ready > now) at = std::min(at, ready);
  }
  return at;
}

// ---- the class ----

Repairer::Repairer(RepairerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Repairer::~Repairer() = default;

void Repairer::Step(const RepairerInput& input, Instant now, RepairerEffects* out) {
  struct Visitor {
    Impl& impl;
    Instant now;
    RepairerEffects* out;
    void operator()(const RepairLook& in) { impl.OnLook(in, now, out); }
    void operator()(const RepairDiskAnswered& in) { impl.OnDiskAnswered(in, now); }
    void operator()(const RepairHeldAnswered& in) { impl.OnHeld(in, now, out); }
    void operator()(const RepairFetched& in) { impl.OnFetched(in, now, out); }
    void operator()(const RepairCheckpointCopied& in) { impl.OnCopied(in, now, out); }
    void operator()(const ChainReadDone& in) { impl.OnRead(in, now, out); }
    void operator()(const ChainCasDone& in) { impl.OnSwapped(in, now, out); }
    void operator()(const RepairStop&) {
      impl.stopped = true;
      impl.needs.clear();
      impl.running = 0;
    }
    void operator()(const Tick&) {}
  };
  std::visit(Visitor{*impl_, now, out}, input);
  impl_->AskDisks(now, out);
  impl_->StartJobs(now, out);
  out->wake_at = impl_->WakeAt(now);
}

RepairStatus Repairer::StatusNow(Instant now, size_t worst_max) const {
  RepairStatus status;
  status.looked = impl_->looks > 0;
  status.stopped = impl_->stopped;
  status.chains = impl_->chains_seen;
  status.chains_ignored = impl_->chains_ignored;
  status.needs = impl_->needs_seen;
  status.needs_below_quorum = impl_->needs_below_quorum;
  status.repaired_epochs = impl_->repaired_epochs;
  status.repaired_checkpoints = impl_->repaired_checkpoints;
  std::vector<const Impl::Need*> order;
  for (const auto& [key, need] : impl_->needs) {
    order.push_back(&need);
    status.lost += need.lost;
  }
  std::stable_sort(order.begin(), order.end(), [](const Impl::Need* a, const Impl::Need* b) {
    if (a->lost != b->lost) return a->lost;
    if (a->running() != b->running()) return a->running();
    return Impl::MoreUrgent(*a, *b);
  });
  if (order.size() > worst_max) order.resize(worst_max);
  for (const Impl::Need* need : order) {
    RepairNeedStatus line;
    line.kind = need->kind;
    line.log = need->key.log;
    line.epoch = need->key.epoch;
    line.checkpoint = need->key.checkpoint;
    if (need->key.checkpoint == 0) {
      line.held = impl_->options.own_tail(need->key.log, need->key.epoch);
      line.to = *need->entry.last_lsn;
    }
    line.fit = need->fit;
    line.wanted = need->wanted;
    line.below_quorum = need->below_quorum();
    line.running = need->running();
    line.lost = need->lost;
    line.text = need->text;
    status.worst.push_back(std::move(line));
  }
  for (const auto& [id, disk] : impl_->disks) {
    status.disks.push_back({id, disk.entry.node, impl_->WordOf(id, now), disk.epochs, disk.checkpoints});
  }
  return status;
}

std::optional<uint64_t> Repairer::References(const DiskId& disk) const {
  if (impl_->looks == 0) return std::nullopt;
  const auto found = impl_->disks.find(disk);
  return found == impl_->disks.end() ? 0 : found->second.epochs + found->second.checkpoints;
}

}  // namespace understudy
