#include "log/epoch/testing/sim_disk.h"

#include <algorithm>

#include "log/epoch/testing/describe.h"
#include "understudy/check.h"

namespace understudy::testing {
namespace {

template <class Response>
Response Failure(StatusCode code) {
  Response response;
  response.code = code;
  return response;
}

}  // namespace

SimDisk::SimDisk(SimNetwork* network, std::string name, Finder find)
    : network_(network), name_(std::move(name)), id_(DiskNamed(name_)), find_(std::move(find)) {
  Restart();
  network_->AddTimer([this] { return replica_ == nullptr ? Instant::Never() : effects_.wake_at; },
                     [this] { Step(Tick{}); });
}

// ---- calls ----

template <class Input, class Request, class Response>
void SimDisk::CallAs(const std::string& from, const Request& request, Waiting<Response>* waiting,
                     Reply<Response> reply) {
  // However often the request or its answer is delivered or lost, the caller hears once.
  auto once = [reply, done = std::make_shared<bool>(false)](Response response) {
    if (*done) return;
    *done = true;
    reply(std::move(response));
  };
  auto lost = [once] { once(Failure<Response>(StatusCode::kOutcomeUnknown)); };
  auto deliver = [this, from, request, waiting, once, lost] {
    if (replica_ == nullptr) {
      network_->At(network_->now() + kNsPerMs, [once] { once(Failure<Response>(StatusCode::kUnavailable)); });
      return;
    }
    const Token token = next_token_++;
    (*waiting)[token] = {[this, from, once, lost](Response response) {
                           const std::string text = Describe(response);
                           network_->Send(
                               name_, from, text, [once, response] { once(response); }, lost);
                         },
                         lost};
    Input input;
    input.token = token;
    input.request = request;
    if constexpr (std::is_same_v<Input, ReplicaAppend>) {
      if (full_) input.admission = Status(StatusCode::kResourceExhausted, "disk full");
    }
    Step(input);
  };
  network_->Send(from, name_, Describe(request), deliver, lost);
}

void SimDisk::Call(const std::string& from, const AppendRequest& request, Reply<AppendResponse> reply) {
  CallAs<ReplicaAppend>(from, request, &appends_, std::move(reply));
}
void SimDisk::Call(const std::string& from, const SealRequest& request, Reply<SealResponse> reply) {
  CallAs<ReplicaSeal>(from, request, &seals_, std::move(reply));
}
void SimDisk::Call(const std::string& from, const BarrierRequest& request, Reply<BarrierResponse> reply) {
  CallAs<ReplicaBarrier>(from, request, &barriers_, std::move(reply));
}
void SimDisk::Call(const std::string& from, const ReadRequest& request, Reply<ReadResponse> reply) {
  CallAs<ReplicaRead>(from, request, &reads_, std::move(reply));
}
void SimDisk::Call(const std::string& from, const FetchRequest& request, Reply<FetchResponse> reply) {
  CallAs<ReplicaFetch>(from, request, &fetches_, std::move(reply));
}
void SimDisk::Call(const std::string& from, const TrimRequest& request, Reply<TrimResponse> reply) {
  CallAs<ReplicaTrim>(from, request, &trims_, std::move(reply));
}

template <class Response>
void SimDisk::Answer(Waiting<Response>* waiting, Token token, Response response) {
  const auto found = waiting->find(token);
  if (found == waiting->end()) return;
  const Reply<Response> reply = std::move(found->second.reply);
  waiting->erase(found);
  reply(std::move(response));
}

// ---- the shell around the core ----

void SimDisk::Step(const ReplicaInput& input) {
  UNDERSTUDY_CHECK(replica_ != nullptr && !stepping_);
  stepping_ = true;
  replica_->Step(input, network_->now(), &effects_);
  stepping_ = false;
  Perform();
}

void SimDisk::Perform() {
  ReplicaEffects now = std::move(effects_);
  effects_ = ReplicaEffects();
  effects_.wake_at = now.wake_at;
  for (PersistEntry& entry : now.persist) queue_.push_back(std::move(entry));
  for (auto& reply : now.appends) Answer(&appends_, reply.token, std::move(reply.response));
  for (auto& reply : now.seals) Answer(&seals_, reply.token, std::move(reply.response));
  for (auto& reply : now.barriers) Answer(&barriers_, reply.token, std::move(reply.response));
  for (auto& reply : now.reads) Answer(&reads_, reply.token, std::move(reply.response));
  for (auto& reply : now.fetches) Answer(&fetches_, reply.token, std::move(reply.response));
  for (auto& reply : now.trims) Answer(&trims_, reply.token, std::move(reply.response));
  for (const ServeRead& read : now.serve) Answer(&reads_, read.token, ReadStored(read));
  for (const FetchRead& fetch : now.fetch_reads) {
    SimDisk* source = find_(fetch.source.disk);
    auto done = [this, token = fetch.token, incarnation = incarnation_](ReadResponse response) {
      if (incarnation == incarnation_ && up()) Step(FetchReadDone{token, std::move(response)});
    };
    if (source == nullptr) {
      network_->At(network_->now(), [done] { done(Failure<ReadResponse>(StatusCode::kUnavailable)); });
    } else {
      source->Call(name_, fetch.request, done);
    }
  }
  for (const CompareStored& compare : now.compare) {
    Compared answer{compare.token, Compared::Outcome::kUnknown};
    const auto& stored = batches_[{compare.log, compare.epoch}];
    const auto found = stored.find(compare.first_lsn);
    if (found != stored.end()) {
      const bool same = PeekBatch(*found->second.batch)->crc == compare.crc && found->second.last == compare.last_lsn;
      answer.outcome = same ? Compared::Outcome::kSame : Compared::Outcome::kDifferent;
    }
    network_->At(network_->now(), [this, answer, incarnation = incarnation_] {
      if (incarnation == incarnation_ && up()) Step(answer);
    });
  }
  StartSync();
}

ReadResponse SimDisk::ReadStored(const ServeRead& read) {
  ReadResponse response;
  response.commit = read.commit;
  for (const auto& [first, stored] : batches_[{read.log, read.epoch}]) {
    if (stored.last < read.from || stored.last > read.to) continue;
    if (!response.batches.empty() && response.batches.size() + stored.batch->size() > read.bytes_max) break;
    response.batches += *stored.batch;
  }
  if (response.batches.empty()) response.code = StatusCode::kDataUnknown;
  return response;
}

// ---- the journal ----

void SimDisk::StartSync() {
  if (syncing_ || sync_stopped_ || queue_.empty()) return;
  syncing_ = true;
  group_ = queue_.size();
  network_->At(network_->now() + sync_ns(), [this, incarnation = incarnation_] {
    if (incarnation == incarnation_ && up()) FinishSync();
  });
}

void SimDisk::FinishSync() {
  syncing_ = false;
  if (sync_stopped_) return;
  for (size_t i = 0; i < group_; ++i) MakeDurable(queue_[i]);
  const uint64_t seq = queue_[group_ - 1].seq;
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(group_));
  Step(Persisted{seq});
}

void SimDisk::ResumeSync() {
  sync_stopped_ = false;
  StartSync();
}

void SimDisk::MakeDurable(const PersistEntry& entry) {
  ReplicaLogState& log = logs_[entry.log];
  log.log = entry.log;
  log.sealed = std::max(log.sealed, entry.sealed_epoch);
  log.trim = std::max(log.trim, entry.trim_lsn);
  if (entry.batch == nullptr) return;
  auto at = std::find_if(log.epochs.begin(), log.epochs.end(), [&](const auto& e) { return e.epoch >= entry.epoch; });
  if (at == log.epochs.end() || at->epoch != entry.epoch) {
    at = log.epochs.insert(at, {entry.epoch, entry.attempt, entry.epoch_first_lsn, entry.epoch_first_lsn - 1});
  }
  UNDERSTUDY_CHECK(entry.last_lsn > at->tail);
  at->tail = entry.last_lsn;
  batches_[{entry.log, entry.epoch}][entry.first_lsn] = {entry.last_lsn, entry.batch};
}

// Connections break: whoever waits for an answer learns only that it will not come.
template <class Response>
void SimDisk::Break(Waiting<Response>* waiting) {
  for (auto& [token, waiter] : *waiting) network_->At(network_->now() + kNsPerMs, std::move(waiter.broken));
  waiting->clear();
}

void SimDisk::Crash(size_t entries_kept) {
  if (!up()) return;
  for (size_t i = 0; i < std::min(entries_kept, queue_.size()); ++i) MakeDurable(queue_[i]);
  ++incarnation_;
  queue_.clear();
  syncing_ = false;
  replica_.reset();
  effects_ = ReplicaEffects();
  Break(&appends_);
  Break(&seals_);
  Break(&barriers_);
  Break(&reads_);
  Break(&fetches_);
  Break(&trims_);
}

void SimDisk::Restart() {
  if (up()) return;
  ReplicaOptions options;
  options.disk = id_;
  options.retired = retired_;
  replica_ = std::make_unique<Replica>(options);
  for (const auto& [id, log] : logs_) replica_->Restore(log);
}

void SimDisk::Retire() {
  retired_ = true;
  if (up()) Step(RetireDisk{Status(StatusCode::kDataUnknown, "retired")});
}

std::string SimDisk::Summary(LogId log) {
  const auto found = logs_.find(log);
  if (found == logs_.end()) return "holds nothing";
  std::string text = "sealed=e" + std::to_string(found->second.sealed.value());
  for (const auto& epoch : found->second.epochs) {
    text += "  e" + std::to_string(epoch.epoch.value()) + " up to " + std::to_string(epoch.tail.value());
  }
  return text;
}

}  // namespace understudy::testing
