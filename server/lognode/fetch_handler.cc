// Copies from other disks: the core decides what to ask whom for; this side asks.
#include "server/lognode/log_node_impl.h"

namespace understudy {
namespace {

constexpr size_t kFetchReadsAtOnce = 4;
constexpr size_t kBackgroundReadsAtOnce = 2;
constexpr int64_t kFullDiskPauseMs = 1000;  // until the next look whether there is space again, for repair
constexpr size_t kSourcesMax = 64;          // connections kept; beyond it the idle ones are closed
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
    FetchRead read = std::move(fetch_waiting_.front());
    fetch_waiting_.pop_front();
    StartFetchRead(std::move(read));
  }
  while (fetch_running_ == 0 && background_running_ < kBackgroundReadsAtOnce && !background_waiting_.empty()) {
    const Instant now = Now();
    // What is reserved on a full disk is for seals and takeovers.
    const Instant at = store_->Stats().disk_full ? now + kFullDiskPauseMs * kNsPerMs : budget_.ReadyAt(now);
    if (at > now) {
      if (std::exchange(background_timer_, true)) return;
      loop_->At(at, [this] {
        background_timer_ = false;
        if (!closed_) StartFetchReads();
      });
      return;
    }
    FetchRead read = std::move(background_waiting_.front());
    background_waiting_.pop_front();
    budget_.Spend(read.request.bytes_max, now);
    StartFetchRead(std::move(read));
  }
}

void LogNodeImpl::StartFetchRead(FetchRead read) {
  Source* source = SourceAt(read.source.address);
  ++source->running;
  ++(read.background ? background_running_ : fetch_running_);
  source->client->Read(read.request, kFetchReadTimeoutMs,
                       [this, alive = std::weak_ptr<bool>(alive_), token = read.token, background = read.background,
                        asked = read.request.bytes_max, source](Result<ReadResponse> answer) {
                         if (alive.expired()) return;
                         --(background ? background_running_ : fetch_running_);
                         --source->running;
                         FetchReadDone done;
                         done.token = token;
                         if (answer.ok()) {
                           done.response = std::move(answer).value();
                         } else {
                           done.response.code = StatusCode::kUnavailable;
                           done.response.detail = answer.status().ToString();
                         }
                         const size_t bytes = done.response.batches.size();
                         if (background && bytes > asked) budget_.Spend(bytes - asked, Now());
                         Step(std::move(done));
                         Perform();
                         StartFetchReadsSoon();
                       });
}

// Posted for the same reason as StartFetchReadsSoon.
void LogNodeImpl::Use(const std::string& address, UseClient call) {
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_), address, call = std::move(call)] {
    if (alive.expired()) return;
    Source* source = SourceAt(address);
    ++source->running;
    call(source->client.get(), [source] { --source->running; });
  });
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
