// Copies from other disks: the core decides what to ask whom for; this side asks.
#include "server/lognode/log_node_impl.h"

namespace understudy {
namespace {

constexpr size_t kFetchReadsAtOnce = 4;
constexpr size_t kSourcesMax = 64;  // connections kept; beyond it the idle ones are closed
constexpr int64_t kFetchReadTimeoutMs = 10'000;

}  // namespace

void LogNodeImpl::Fetch(FetchRequest request, Reply<FetchResponse> reply) {
  Step(ReplicaFetch{fetches_.Add(std::move(reply)), std::move(request)});
  Perform();
}

// Posted, because it may close connections, and the caller may be one's callback.
void LogNodeImpl::StartFetchReadsSoon() {
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) StartFetchReads();
  });
}

void LogNodeImpl::StartFetchReads() {
  while (fetch_running_ < kFetchReadsAtOnce && !fetch_waiting_.empty()) {
    const FetchRead read = std::move(fetch_waiting_.front());
    fetch_waiting_.pop_front();
    Source* source = SourceAt(read.source.address);
    ++fetch_running_;
    ++source->running;
    source->client->Read(read.request, kFetchReadTimeoutMs,
                         [this, alive = std::weak_ptr<bool>(alive_), token = read.token, source](auto answer) {
                           if (alive.expired()) return;
                           --fetch_running_;
                           --source->running;
                           FetchReadDone done;
                           done.token = token;
                           if (answer.ok()) {
                             done.response = std::move(answer).value();
                           } else {
                             done.response.code = StatusCode::kUnavailable;
                             done.response.detail = answer.status().ToString();
                           }
                           Step(std::move(done));
                           Perform();
                           StartFetchReadsSoon();
                         });
  }
}

LogNodeImpl::Source* LogNodeImpl::SourceAt(const std::string& address) {
  const auto known = sources_.find(address);
  if (known != sources_.end()) return &known->second;
  if (sources_.size() >= kSourcesMax)
    std::erase_if(sources_, [](const auto& entry) { return entry.second.running == 0; });
  RpcClientOptions client;
  client.cluster = options_.cluster;
  client.role = "log";
  client.name = options_.node;
  Source source{LogServiceClient::Create(loop_, client, address)};
  return &sources_.emplace(address, std::move(source)).first->second;
}

}  // namespace understudy
