#include "client/cli/session.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "client/cli/text.h"
#include "log/env/clock.h"
#include "log/rpc/await.h"

namespace understudy::cli {
namespace {

constexpr int64_t kTimeoutMs = 5000;
constexpr size_t kListMax = 100'000;

}  // namespace

Session::Session(const Arguments& arguments) : Session(arguments.coordinators(), arguments.cluster()) {}

Session::Session(const std::string& coordinators, const std::string& cluster)
    : coordinators_(SplitAddresses(coordinators)),
      coordinator_(coordinators_.front()),
      cluster_(cluster),
      loop_(std::make_unique<EventLoop>(SystemClock())) {
  EventLoop::Section section(loop_.get());
  ClusterOptions options;
  options.cluster = cluster_;
  options.coordinators = coordinators_;
  options.name = "understudy";
  options.rpc_timeout_ms = kTimeoutMs;
  metadata_ = std::make_unique<Cluster>(loop_.get(), options);
}

Session::~Session() {
  EventLoop::Section section(loop_.get());
  servers_.clear();
  metadata_->Close();
  metadata_.reset();
  control_.clear();
}

CoordinatorServiceClient* Session::Control(const std::string& address) {
  std::unique_ptr<CoordinatorServiceClient>& client = control_[address];
  if (!client) client = CoordinatorServiceClient::Create(loop_.get(), ClientOptions(), address);
  return client.get();
}

RpcClientOptions Session::ClientOptions() const {
  RpcClientOptions options;
  options.cluster = cluster_;
  options.role = "operator";
  options.name = "understudy";
  return options;
}

Status Session::Unreachable(const Status& status) const {
  const bool nobody = status.code() == StatusCode::kUnavailable;
  return {status.code(),
          "coordinator " + status.message() + (nobody ? "; is understudyd running, and is --coordinators right?" : "")};
}

Result<std::string> Session::Document(const Call& call, bool repeatable) {
  LeaderCall::Options options;
  options.coordinators = coordinators_;
  options.open = [this](const std::string& address) { return Control(address); };
  options.repeatable = repeatable;
  std::shared_ptr<LeaderCall> leader;
  Result<DocumentResponse> answer = Await<DocumentResponse>(loop_.get(), [&](Done<DocumentResponse> done) {
    leader = std::make_shared<LeaderCall>(loop_.get(), options, call, std::move(done));
    leader->Start();
  });
  if (!leader->answered().empty()) coordinator_ = leader->answered();
  if (!answer.ok()) return Unreachable(answer.status());
  if (answer->code != StatusCode::kOk) return Status(answer->code, answer->detail);
  return answer->document;
}

Result<std::vector<MetadataEntry>> Session::List(const std::string& folder) {
  const std::string prefix = "/understudy/" + cluster_ + "/" + folder;
  Result<std::vector<MetadataEntry>> entries = Await<std::vector<MetadataEntry>>(
      loop_.get(), [&](MetadataStore::ListCallback done) { metadata_->List(prefix, kListMax, std::move(done)); });
  if (!entries.ok()) return Unreachable(entries.status());
  return entries;
}

Result<std::vector<Chain>> Session::Chains() {
  Result<std::vector<MetadataEntry>> entries = List("logs/");
  if (!entries.ok()) return entries.status();
  std::vector<Chain> chains;
  for (const MetadataEntry& entry : *entries) {
    Result<Chain> chain = DecodeChain(entry.value);
    if (!chain.ok()) return chain.status().WithContext(entry.key);
    chains.push_back(*std::move(chain));
  }
  std::sort(chains.begin(), chains.end(), [](const Chain& a, const Chain& b) { return a.log < b.log; });
  return chains;
}

Result<LogServiceClient*> Session::LogServer(const DiskId& disk) {
  const std::string id = ToHex(disk);
  if (addresses_.count(id) == 0) {
    Result<std::vector<MetadataEntry>> entries = List("disks/");
    if (!entries.ok()) return entries.status();
    for (const MetadataEntry& entry : *entries) {
      const nlohmann::json json = nlohmann::json::parse(entry.value, nullptr, false);
      if (!json.is_object()) continue;
      addresses_[json.value("disk", "")] = json.value("address", "");
    }
  }
  const auto found = addresses_.find(id);
  if (found == addresses_.end() || found->second.empty()) {
    return Status(StatusCode::kNotFound, "no log server has said that it holds disk " + id.substr(0, 8));
  }
  std::unique_ptr<LogServiceClient>& client = servers_[found->second];
  if (!client) {
    EventLoop::Section section(loop_.get());
    client = LogServiceClient::Create(loop_.get(), ClientOptions(), found->second);
  }
  return client.get();
}

Result<ReplicaStatusResponse> Session::Replica(LogId log, const DiskId& disk) {
  Result<LogServiceClient*> server = LogServer(disk);
  if (!server.ok()) return server.status();
  return Await<ReplicaStatusResponse>(loop_.get(), [&](Done<ReplicaStatusResponse> done) {
    (*server)->ReplicaStatus({log, disk}, kTimeoutMs, std::move(done));
  });
}

Result<std::string> Session::LogServerStatus(const DiskId& disk) {
  Result<LogServiceClient*> server = LogServer(disk);
  if (!server.ok()) return server.status();
  const Result<LogServerStatusResponse> answer = Await<LogServerStatusResponse>(
      loop_.get(),
      [&](Done<LogServerStatusResponse> done) { (*server)->LogServerStatus({}, kTimeoutMs, std::move(done)); });
  if (!answer.ok()) return answer.status();
  if (answer->code != StatusCode::kOk) return Status(answer->code, answer->detail);
  return answer->document;
}

Result<BarrierResponse> Session::Barrier(LogId log, const DiskId& disk, Epoch epoch) {
  Result<LogServiceClient*> server = LogServer(disk);
  if (!server.ok()) return server.status();
  return Await<BarrierResponse>(loop_.get(), [&](Done<BarrierResponse> done) {
    (*server)->Barrier({log, disk, epoch}, kTimeoutMs, std::move(done));
  });
}

Result<TrimResponse> Session::Trim(LogId log, const DiskId& disk, Lsn lsn) {
  Result<LogServiceClient*> server = LogServer(disk);
  if (!server.ok()) return server.status();
  return Await<TrimResponse>(loop_.get(), [&](Done<TrimResponse> done) {
    (*server)->Trim({log, disk, lsn}, kTimeoutMs, std::move(done));
  });
}

}  // namespace understudy::cli
