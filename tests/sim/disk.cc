#include "tests/sim/disk.h"

#include <algorithm>
#include <utility>

#include "understudy/check.h"

namespace understudy::sim {

std::string Describe(const CheckpointRequest& request) {
  static constexpr const char* kVerbs[] = {"write", "read", "delete"};
  return std::string(kVerbs[static_cast<int>(request.kind)]) + " checkpoint " + std::to_string(request.id);
}
std::string Describe(const CheckpointResponse& response) {
  return response.code == StatusCode::kOk ? "ok" : std::string(StatusCodeName(response.code));
}

Disk::Disk(World* world, Metadata* metadata, Oracle* oracle, Coverage* coverage, int number, const DiskSpeed& speed,
           Finder find)
    : world_(world),
      metadata_(metadata),
      oracle_(oracle),
      coverage_(coverage),
      node_(world->AddNode("d" + std::to_string(number))),
      speed_(speed),
      find_(std::move(find)),
      stream_(world->StreamFor(0xD15C00 + static_cast<uint64_t>(number))),
      timer_(world, node_,
             [this] {
               if (up()) Step(Tick{});
             }),
      repair_timer_(world, node_, [this] {
        if (repairer_ != nullptr) Repair(Tick{});
      }) {
  media_.id = testing::DiskNamed(name());
  Restart();
}

void Disk::SetZone(std::string zone) {
  zone_ = std::move(zone);
  if (up()) metadata_->Register(media_.id, name(), zone_);
}

// ---- calls ----

template <class Input, class CallType>
void Disk::Take(std::unordered_map<Token, std::shared_ptr<CallType>>* waiting, std::shared_ptr<CallType> call) {
  if (!up()) return call->Refuse(StatusCode::kUnavailable);
  Input input;
  input.token = next_token_++;
  input.request = call->request;
  if constexpr (std::is_same_v<Input, ReplicaAppend>) {
    if (full_) input.admission = Status(StatusCode::kResourceExhausted, "disk full");
  }
  waiting->emplace(input.token, std::move(call));
  Step(std::move(input));
}

void Disk::Receive(std::shared_ptr<AppendCall> call) { Take<ReplicaAppend>(&appends_, std::move(call)); }
void Disk::Receive(std::shared_ptr<SealCall> call) {
  if (up() && busy_) coverage_->Hit(Reached::seal_races_append);
  Take<ReplicaSeal>(&seals_, std::move(call));
}
void Disk::Receive(std::shared_ptr<BarrierCall> call) { Take<ReplicaBarrier>(&barriers_, std::move(call)); }
void Disk::Receive(std::shared_ptr<ReadCall> call) { Take<ReplicaRead>(&reads_, std::move(call)); }
void Disk::Receive(std::shared_ptr<FetchCall> call) {
  if (call->request.trim >= call->request.from) coverage_->Hit(Reached::fetch_after_trim);
  Take<ReplicaFetch>(&fetches_, std::move(call));
}
void Disk::Receive(std::shared_ptr<StatusCall> call) { Take<ReplicaStatusAsk>(&statuses_, std::move(call)); }
void Disk::Receive(std::shared_ptr<TrimCall> call) { Take<ReplicaTrim>(&trims_, std::move(call)); }

// Checkpoints are files of their own: written, synced, renamed.
void Disk::Receive(const std::shared_ptr<CheckpointCall>& call) {
  const CheckpointRequest& request = call->request;
  if (!up()) return call->Refuse(StatusCode::kUnavailable);
  if (request.disk != media_.id) return call->Refuse(StatusCode::kWrongDisk);
  if (media_.retired && request.kind == CheckpointRequest::Kind::kWrite) return call->Refuse(StatusCode::kDataUnknown);
  const std::pair<LogId, uint64_t> key{request.log, request.id};
  switch (request.kind) {
    case CheckpointRequest::Kind::kWrite:
      Later(stream_.Between(speed_.sync_us_min, speed_.sync_us_max) * 1000 * slow_, [this, key, call] {
        media_.checkpoints[key] = call->request.checkpoint;
        call->Answer({});
      });
      return;
    case CheckpointRequest::Kind::kRead: {
      const auto found = media_.checkpoints.find(key);
      if (found == media_.checkpoints.end()) return call->Refuse(StatusCode::kNotFound);
      return call->Answer({StatusCode::kOk, found->second});
    }
    case CheckpointRequest::Kind::kDelete:
      media_.checkpoints.erase(key);
      return call->Answer({});
  }
}

template <class CallType>
void Disk::Answer(Asked what, std::unordered_map<Token, std::shared_ptr<CallType>>* waiting, Token token,
                  typename CallType::Response response) {
  const auto found = waiting->find(token);
  if (found == waiting->end()) return;
  coverage_->Answered(what, response.code);
  const bool vouches = what == Asked::append || what == Asked::seal || what == Asked::barrier;
  if (silent_ && vouches && response.code == StatusCode::kOk) {
    oracle_->Broken(Rule::kRetiredSilent, name() + " is retired and answers " +
                                              (what == Asked::append ? "an append"
                                               : what == Asked::seal ? "a seal"
                                                                     : "a barrier"));
  }
  const std::shared_ptr<CallType> call = std::move(found->second);
  waiting->erase(found);
  call->Answer(std::move(response));
}

// Connections break: whoever waits for an answer learns only that it will not come.
template <class CallType>
void Disk::Break(std::unordered_map<Token, std::shared_ptr<CallType>>* waiting) {
  std::vector<std::pair<Token, std::shared_ptr<CallType>>> broken(waiting->begin(), waiting->end());
  std::sort(broken.begin(), broken.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [token, call] : broken) call->Refuse(StatusCode::kOutcomeUnknown);
  waiting->clear();
}
template void Disk::Break(std::unordered_map<Token, std::shared_ptr<AppendCall>>*);
template void Disk::Break(std::unordered_map<Token, std::shared_ptr<SealCall>>*);
template void Disk::Break(std::unordered_map<Token, std::shared_ptr<BarrierCall>>*);
template void Disk::Break(std::unordered_map<Token, std::shared_ptr<ReadCall>>*);
template void Disk::Break(std::unordered_map<Token, std::shared_ptr<FetchCall>>*);
template void Disk::Break(std::unordered_map<Token, std::shared_ptr<TrimCall>>*);
template void Disk::Break(std::unordered_map<Token, std::shared_ptr<StatusCall>>*);

// ---- the shell around the core ----

void Disk::Step(const ReplicaInput& input) {
  replica_->Step(input, world_->Local(node_), &effects_);
  Perform();
}

void Disk::Perform() {
  ReplicaEffects now = std::move(effects_);
  effects_ = ReplicaEffects();
  timer_.Set(now.wake_at);
  for (PersistEntry& entry : now.persist) queue_.push_back(std::move(entry));
  for (auto& reply : now.appends) {
    if (reply.response.code == StatusCode::kFenced) coverage_->Hit(Reached::append_after_seal);
    Answer(Asked::append, &appends_, reply.token, std::move(reply.response));
  }
  for (auto& reply : now.seals) Answer(Asked::seal, &seals_, reply.token, std::move(reply.response));
  for (auto& reply : now.barriers) Answer(Asked::barrier, &barriers_, reply.token, std::move(reply.response));
  for (auto& reply : now.reads) Answer(Asked::read, &reads_, reply.token, std::move(reply.response));
  for (auto& reply : now.statuses) Answer(Asked::status, &statuses_, reply.token, std::move(reply.response));
  for (auto& reply : now.fetches) {
    if (const auto own = own_fetches_.find(reply.token); own != own_fetches_.end()) {
      const Token token = own->second;
      own_fetches_.erase(own);
      Later(0, [this, token, response = std::move(reply.response)]() mutable {
        if (repairer_ != nullptr) Repair(RepairFetched{token, std::move(response)});
      });
      continue;
    }
    coverage_->Hit(reply.response.code == StatusCode::kOk ? Reached::fetch_done : Reached::fetch_failed);
    Answer(Asked::fetch, &fetches_, reply.token, std::move(reply.response));
  }
  for (auto& reply : now.trims) Answer(Asked::trim, &trims_, reply.token, std::move(reply.response));
  for (const ServeRead& read : now.serve) Answer(Asked::read, &reads_, read.token, ReadStored(read));
  for (const FetchRead& fetch : now.fetch_reads) {
    Disk* source = find_(fetch.source.disk);
    const auto done = [this, token = fetch.token, life = life_](ReadResponse response) {
      if (life == life_ && up()) Step(FetchReadDone{token, std::move(response)});
    };
    UNDERSTUDY_CHECK(source != nullptr);
    Ask<ReadResponse>(world_, node_, source->node(), source, fetch.request, done);
  }
  for (const CompareStored& compare : now.compare) {
    Compared answer{compare.token, Compared::Outcome::kUnknown};
    if (const std::vector<Stored>* stored = Find(compare.log, compare.epoch)) {
      for (const Stored& batch : *stored) {
        if (batch.first != compare.first_lsn) continue;
        const bool same = PeekBatch(*batch.batch)->crc == compare.crc && batch.last == compare.last_lsn;
        answer.outcome = same ? Compared::Outcome::kSame : Compared::Outcome::kDifferent;
      }
    }
    Later(0, [this, answer] { Step(answer); });
  }
  StartGroup();
}

ReadResponse Disk::ReadStored(const ServeRead& read) {
  ReadResponse response;
  response.commit = read.commit;
  Lsn next = read.from;
  if (const auto found = batches_.find({read.log, read.epoch}); found != batches_.end()) {
    for (const Stored& stored : found->second) {
      if (stored.last < read.from || stored.last > read.to) continue;
      if (stored.first > next) break;
      if (!response.batches.empty() && response.batches.size() + stored.batch->size() > read.bytes_max) break;
      response.batches += *stored.batch;
      next = stored.last + 1;
    }
  }
  if (!response.batches.empty()) return response;
  response.code = StatusCode::kDataUnknown;
  if (damaged_ && !media_.retired) Retire("a read meets damage");
  return response;
}

const std::vector<Stored>* Disk::Find(LogId log, Epoch epoch) const {
  static const std::vector<Stored> kNothing;
  const auto found = batches_.find({log, epoch});
  return found == batches_.end() ? &kNothing : &found->second;
}

std::optional<ReplicaStatusResponse> Disk::StatusOf(const DiskId& id, LogId log) const {
  if (!up()) return std::nullopt;
  ReplicaStatusResponse response;
  if (id == media_.id && !media_.retired) return replica_->StatusOf(log, world_->Local(node_));
  response.code = id == media_.id ? StatusCode::kDataUnknown : StatusCode::kWrongDisk;
  return response;
}

uint64_t Disk::Fingerprint(LogId log) const {
  uint64_t print = (up() ? 1 : 0) | (media_.retired ? 2 : 0) | (busy_ ? 4 : 0) | (hung_ ? 8 : 0) | (full_ ? 16 : 0);
  const auto found = logs_.find(log);
  if (found == logs_.end()) return print;
  const bool sealed = !found->second.epochs.empty() && found->second.sealed >= found->second.epochs.back().epoch;
  return print | (sealed ? 32 : 0) | (std::min<uint64_t>(found->second.epochs.size(), 3) << 6);
}

void Disk::SetHung(bool hung) {
  hung_ = hung;
  if (!hung && up()) StartGroup();
}

// A disk that fills up while entries wait refuses the first batch of them: those behind it in the same log go with it.
void Disk::SetFull(bool full) {
  full_ = full;
  if (!full || !up()) return;
  for (size_t i = group_; i < queue_.size(); ++i) {
    if (queue_[i].kind != PersistEntry::Kind::kBatch) continue;
    const uint64_t seq = queue_[i].seq;
    const LogId log = queue_[i].log;
    const auto lost = std::remove_if(queue_.begin() + static_cast<std::ptrdiff_t>(i), queue_.end(),
                                     [&](const auto& entry) { return entry.log == log && entry.batch != nullptr; });
    queue_.erase(lost, queue_.end());
    coverage_->Hit(Reached::persist_failed);
    Step(PersistFailed{seq, Status(StatusCode::kResourceExhausted, "no space")});
    return;
  }
}

void Disk::Scrub() {
  if (up() && damaged_ && !media_.retired) Retire("a scrub meets damage");
}

void Disk::ForgetFaults() {
  armed_.reset();
  fail_sync_down_ns_ = 0;
  slow_ = 1;
  SetFull(false);
  SetHung(false);
}

}  // namespace understudy::sim
