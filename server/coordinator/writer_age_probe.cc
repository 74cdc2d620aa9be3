#include "server/coordinator/writer_age_probe.h"

#include <algorithm>
#include <utility>

namespace understudy::coordinator {

WriterAgeProbe::WriterAgeProbe(EventLoop* loop, std::string cluster, std::string name,
                               std::function<std::string(const DiskId&)> address_of,
                               std::function<void(const WriterAge&)> done)
    : loop_(loop),
      cluster_(std::move(cluster)),
      name_(std::move(name)),
      address_of_(std::move(address_of)),
      done_(std::move(done)),
      alive_(std::make_shared<bool>(true)) {}

LogServiceClient* WriterAgeProbe::Client(const std::string& address) {
  auto& client = clients_[address];
  if (client == nullptr) {
    RpcClientOptions options;
    options.cluster = cluster_;
    options.role = "coordinator";
    options.name = name_;
    options.connect_timeout_ms = kTimeoutMs;
    client = LogServiceClient::Create(loop_, std::move(options), address);
  }
  return client.get();
}

void WriterAgeProbe::Ask(const std::string& service, const Chain& chain) {
  const EpochEntry* last = chain.last();
  if (last == nullptr || alive_ == nullptr || questions_.count(service) > 0) return;
  const uint64_t number = ++asked_;
  Question& question = questions_[service];
  question.number = number;
  question.answer.service = service;
  question.answer.epoch = last->epoch;
  question.answer.needed = static_cast<int>(last->disks.size()) - last->ack_quorum + 1;
  question.outstanding = last->disks.size() + 1;  // one of our own, so that it does not end while it is being asked
  for (const ReplicaRef& replica : last->disks) {
    const std::string address = address_of_(replica.disk);
    if (address.empty()) {
      Answered(service, number, nullptr);
      continue;
    }
    ReplicaStatusRequest request;
    request.log = chain.log;
    request.disk = replica.disk;
    Client(address)->ReplicaStatus(
        request, kTimeoutMs,
        [this, alive = std::weak_ptr<bool>(alive_), service, number](const Result<ReplicaStatusResponse>& response) {
          if (!alive.expired()) Answered(service, number, response.ok() ? &*response : nullptr);
        });
  }
  Answered(service, number, nullptr);
}

void WriterAgeProbe::Answered(const std::string& service, uint64_t number, const ReplicaStatusResponse* response) {
  const auto it = questions_.find(service);
  if (it == questions_.end() || it->second.number != number) return;  // it was settled without this one
  WriterAge& answer = it->second.answer;
  // A disk that has never heard of the log has not heard from its writer either.
  if (response != nullptr && (response->code == StatusCode::kOk || response->code == StatusCode::kNotFound)) {
    ++answer.answered;
    if (response->code == StatusCode::kOk && response->writer_age_ms >= 0) {
      answer.age_ms = answer.age_ms < 0 ? response->writer_age_ms : std::min(answer.age_ms, response->writer_age_ms);
    }
  }
  if (--it->second.outstanding > 0 && answer.answered < answer.needed) return;
  // Later, not from inside the question: whoever asked is in the middle of a decision.
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_), settled = std::move(answer)] {
    if (!alive.expired()) done_(settled);
  });
  questions_.erase(it);
}

void WriterAgeProbe::Stop() {
  alive_.reset();
  questions_.clear();
  for (auto& [address, client] : clients_) client->Close();
  clients_.clear();
}

}  // namespace understudy::coordinator
