// Taking over, and what a program is made of.
#include <algorithm>
#include <utility>

#include "log/epoch/testing/describe.h"
#include "tests/sim/application.h"

namespace understudy::sim {

using understudy::testing::Describe;
using understudy::testing::DiskName;

Application::Application(const Surroundings& around, std::string name, int number, LogId log, const Workload& workload)
    : around_(around),
      name_(std::move(name)),
      number_(number),
      log_(log),
      workload_(workload),
      node_(around.world->AddNode(name_)),
      stream_(around.world->StreamFor(0xA99000 + static_cast<uint64_t>(number))),
      looks_(around.world->StreamFor(0x100C000 + static_cast<uint64_t>(number))),
      takeover_timer_(around.world, node_,
                      [this] {
                        if (takeover_ != nullptr) Step(TakeoverInput(Tick{}));
                      }),
      writer_timer_(around.world, node_,
                    [this] {
                      if (writer_ != nullptr) Step(WriterInput(Tick{}));
                    }),
      follower_timer_(around.world, node_, [this] {
        if (follower_ != nullptr) Step(FollowerInput(Tick{}));
      }) {}

void Application::Release() {
  Note([] { return "is released"; });
  ++life_;
  ++takeover_life_;
  takeover_.reset();
  ++follower_life_;
  follower_.reset();
  loading_ = saving_ = false;
  pin_ = 0;
  next_ = Lsn(1);
  state_ = 0;
}

void Application::Kill() {
  around_.coverage->Hit(Fault::program_killed);
  if (takeover_ != nullptr) {
    around_.coverage->Hit(Reached::takeover_died);
    if (takeover_->in_doubt()) around_.coverage->Hit(Reached::takeover_died_in_doubt);
  }
  Note([] { return "is killed"; });
  ++life_;
  ++takeover_life_;
  takeover_.reset();
  ++writer_life_;
  writer_.reset();
  ++follower_life_;
  follower_.reset();
  result_.reset();
  unacked_.clear();
  barriers_.clear();
  mirror_to_ = nullptr;
  serving_ = loading_ = saving_ = moving_ = degraded_ = false;
  moving_to_.clear();
  pin_ = 0;
  next_ = Lsn(1);
  state_ = 0;
}

void Application::PerformChainOp(const ChainOp& op, std::function<void(ChainReadDone)> read,
                                 std::function<void(ChainCasDone)> cas) {
  around_.metadata->Perform(node_, log_, op, std::move(read), std::move(cas));
}

// Who lives, as far as was seen, and every disk that has an entry. What is known of who lives is a little old, and who
// lives may not answer in time.
TakeoverCandidates Application::LookForCandidates() {
  TakeoverCandidates lists;
  listed_.clear();
  for (const auto& [id, entry] : around_.metadata->disks()) {
    const bool draining = entry.state != DiskState::kActive;
    lists.listed.push_back({{entry.disk, entry.node}, entry.address, entry.zone, draining});
    listed_[id] = {entry.node, entry.zone, draining, false};
  }
  for (Disk* disk : around_.registry()) {
    if (disk->retired()) continue;
    if (!disk->up() && stream_.Below(4) != 0) continue;
    const auto entry = listed_.find(disk->id());
    if (entry == listed_.end() || looks_.Chance(workload_.unseen_permille)) continue;
    entry->second.seen = true;
    lists.candidates.push_back({disk->ref(), disk->name(), entry->second.zone, entry->second.draining});
  }
  std::vector<CandidateDisk>& order = lists.candidates;
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[stream_.Below(i)]);
  return lists;
}

void Application::TakeOver(Epoch expected_epoch, std::optional<AttemptId> attempt) {
  TakeoverOptions options;
  options.log = log_;
  options.attempt = attempt.value_or(DrawAttempt());
  options.owner = {name_, ""};
  options.expected_epoch = expected_epoch;
  options.retry_ms = 20;
  options.retry_ms_max = 200;
  result_.reset();
  takeover_cas_out_ = false;
  vouched_.clear();
  around_.coverage->Hit(Reached::takeover_started);
  ++takeover_life_;
  takeover_ = std::make_unique<Takeover>(options);
  const TakeoverCandidates lists = LookForCandidates();
  Step(TakeoverInput(TakeoverStart{lists.candidates, lists.listed}));
  Later(30 * kNsPerMs, [this, core = takeover_life_] {
    if (takeover_life_ == core) RefreshCandidates();
  });
}

void Application::RefreshCandidates() {
  if (takeover_ == nullptr) return;
  Step(TakeoverInput(LookForCandidates()));
  // What can come back is back by now: an operator accepts that the rest will not.
  if (around_.oracle->given_up(log_).has_value() && around_.calm()) AcceptLoss();
  Later(30 * kNsPerMs, [this, core = takeover_life_] {
    if (takeover_life_ == core) RefreshCandidates();
  });
}

void Application::AcceptLoss() {
  if (takeover_ == nullptr) return;
  around_.coverage->Hit(Reached::takeover_loss_accepted);
  Note([] { return "is told that the operator accepts a loss"; });
  Step(TakeoverInput(TakeoverAcceptLoss{std::max(follower_ == nullptr ? Lsn(0) : follower_->commit(), next_ - 1)}));
}

// What the next epoch is opened on, and an epoch that begins above where the one before it ends: it gives up what lies
// between.
void Application::CheckProposal(const ChainOp& cas) {
  const Chain& chain = cas.chain;
  const EpochEntry* opened = chain.last();
  const VersionedChain& now = around_.metadata->value(log_);
  if (opened == nullptr || cas.expected_version != now.version) return;  // it will fail
  const EpochEntry* old = now.chain.last();
  const EpochEntry none;
  if (opened->epoch == (old == nullptr ? none : *old).epoch + 1) {
    CheckPlacement(old == nullptr ? none : *old, *opened, chain.replicas_target);
  }
  if (old == nullptr || opened->epoch != old->epoch + 1 || old->closed()) return;
  const EpochEntry* closed = chain.Find(old->epoch);
  const Lsn end = closed != nullptr ? *closed->last_lsn : chain.trim_lsn;
  if (opened->first_lsn == end + 1) return;
  std::vector<Lsn> tails;
  for (const ReplicaRef& ref : old->disks) {
    if (const auto word = vouched_.find(ref.disk); word != vouched_.end()) tails.push_back(word->second);
  }
  around_.oracle->OnLossProposed(log_, old->epoch, end, tails, name_);
}

// Of the disks that answered the takeover it may take those that it saw alive, and those of the old epoch.
void Application::CheckPlacement(const EpochEntry& old, const EpochEntry& opened, int target) {
  std::vector<PlacedDisk> fit;
  for (const auto& [id, held] : vouched_) {
    const auto entry = listed_.find(id);
    if (entry == listed_.end()) continue;
    const bool member =
        std::any_of(old.disks.begin(), old.disks.end(), [&](const ReplicaRef& ref) { return ref.disk == id; });
    if (member || entry->second.seen) fit.push_back(entry->second);
  }
  std::vector<PlacedDisk> chosen;
  for (const ReplicaRef& ref : opened.disks) {
    const auto entry = listed_.find(ref.disk);
    if (entry == listed_.end()) continue;
    chosen.push_back(entry->second);
    if (!entry->second.seen) around_.coverage->Hit(Reached::takeover_keeps_unseen);
  }
  CountZones(chosen);
  around_.oracle->OnPlaced(log_, chosen, fit, static_cast<size_t>(target), name_);
}

void Application::CountZones(const std::vector<PlacedDisk>& chosen) {
  std::map<std::string, int> zones;
  for (const PlacedDisk& disk : chosen) {
    if (!disk.zone.empty()) ++zones[disk.zone];
  }
  if (zones.size() > 1) around_.coverage->Hit(Reached::placed_over_zones);
  if (std::any_of(zones.begin(), zones.end(), [](const auto& zone) { return zone.second > 1; })) {
    around_.coverage->Hit(Reached::placed_in_one_zone);
  }
}

void Application::Step(const TakeoverInput& input) {
  TakeoverEffects effects;
  takeover_->Step(input, Now(), &effects);
  takeover_timer_.Set(effects.wake_at);
  Perform(effects);
}

void Application::Perform(TakeoverEffects& effects) {
  Coverage* coverage = around_.coverage;
  const auto alive = [this, life = life_, core = takeover_life_] { return life == life_ && takeover_life_ == core; };
  for (const SendSeal& send : effects.seals) {
    Disk* disk = around_.find(send.disk.disk);
    Ask<SealResponse>(around_.world, node_, disk->node(), disk, send.request,
                      [this, alive, token = send.token, id = send.disk.disk](SealResponse response) {
                        if (token == 0 || !alive()) return;
                        if (response.code == StatusCode::kOk) vouched_[id] = response.tail;
                        if (response.code != StatusCode::kOk) vouched_.erase(id);
                        Step(TakeoverInput(SealAnswered{token, std::move(response)}));
                      });
  }
  for (const SendFetch& send : effects.fetches) {
    coverage->Hit(Reached::takeover_fetches);
    if (around_.copied_from) around_.copied_from(send.request.sources.front().disk);
    Disk* disk = around_.find(send.disk.disk);
    Ask<FetchResponse>(around_.world, node_, disk->node(), disk, send.request,
                       [this, alive, token = send.token, id = send.disk.disk](FetchResponse response) {
                         if (!alive()) return;
                         if (response.code == StatusCode::kDataUnknown || response.code == StatusCode::kWrongDisk) {
                           vouched_.erase(id);
                         }
                         Step(TakeoverInput(FetchAnswered{token, std::move(response)}));
                       });
  }
  for (const ChainOp& op : effects.chain_ops) {
    if (op.kind == ChainOp::Kind::kCas) {
      coverage->Hit(takeover_cas_out_ ? Reached::takeover_cas_again : Reached::takeover_cas);
      takeover_cas_out_ = true;
      CheckProposal(op);
    } else if (takeover_ != nullptr && takeover_->in_doubt()) {
      coverage->Hit(Reached::takeover_cas_settling);
    }
    PerformChainOp(
        op,
        [this, alive](ChainReadDone done) {
          if (alive()) Step(TakeoverInput(std::move(done)));
        },
        [this, alive](ChainCasDone done) {
          if (alive()) Step(TakeoverInput(std::move(done)));
        });
  }
  if (effects.waiting.has_value()) {
    coverage->Hit(Reached::takeover_waits);
    Note([&] { return "waits: " + effects.waiting->text; });
  }
  if (!effects.result.has_value()) return;
  result_ = std::move(effects.result);
  ++takeover_life_;
  takeover_.reset();
  if (!result_->status.ok()) {
    coverage->Hit(Reached::takeover_beaten);
    Note([&] { return "takeover ends: " + result_->status.ToString(); });
    if (result_->status.code() == StatusCode::kDataUnknown) {
      around_.oracle->OnRollbackAlarm(log_, name_ + ": " + result_->status.message());
    }
    return;
  }
  coverage->Hit(result_->adopted ? Reached::takeover_adopted : Reached::takeover_won);
  if (result_->loss.has_value()) coverage->Hit(Reached::takeover_lost_records);
  if (result_->epoch.epoch == Epoch(1)) coverage->Hit(Reached::takeover_first_epoch);
  Note([&] { return std::string(result_->adopted ? "adopts " : "owns ") + Describe(result_->epoch); });
  StartWriter(result_->epoch);
}

uint64_t Application::Fingerprint() const {
  uint64_t print = (takeover_ != nullptr ? 1 : 0) | (takeover_ != nullptr && takeover_->in_doubt() ? 2 : 0) |
                   (follower_ != nullptr ? 4 : 0) | (follower_ != nullptr && follower_->mirror_live() ? 8 : 0) |
                   (loading_ ? 16 : 0) | (saving_ ? 32 : 0);
  if (writer_ == nullptr) return print;
  print |= 64 | (writer_->over() ? 128 : 0) | (writer_->frozen() ? 256 : 0) | (writer_->accepting() ? 512 : 0) |
           (serving_ ? 1024 : 0) | (unacked_.empty() ? 0 : 2048) | (writer_->mirroring() ? 4096 : 0);
  int shift = 13;
  for (const Writer::ReplicaView& replica : writer_->Replicas()) {
    print ^= static_cast<uint64_t>((replica.dropped ? 1 : 0) | (replica.sealed ? 2 : 0) | (replica.reachable ? 4 : 0) |
                                   (replica.durable >= writer_->commit() ? 8 : 0))
             << shift;
    shift += 4;
  }
  return print;
}

}  // namespace understudy::sim
