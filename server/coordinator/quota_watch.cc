#include "server/coordinator/quota_watch.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

namespace understudy::coordinator {
namespace {

using nlohmann::json;

std::string TextOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

QuotaWatch::QuotaWatch(EventLoop* loop, std::string cluster, std::string name, Sources sources, int64_t look_ms)
    : loop_(loop),
      cluster_(std::move(cluster)),
      name_(std::move(name)),
      sources_(std::move(sources)),
      look_ms_(look_ms) {}

void QuotaWatch::Start() { LookLater(); }

void QuotaWatch::Stop() {
  alive_.reset();
  for (auto& [address, client] : clients_) client->Close();
  clients_.clear();
}

void QuotaWatch::LookLater() {
  loop_->At(loop_->clock()->Now() + look_ms_ * kNsPerMs, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    Look();
    LookLater();
  });
}

LogServiceClient* QuotaWatch::Client(const std::string& address) {
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

// What a disk says stands until it says something else, or leaves the cluster: one that is away refuses nobody, but
// whether its logs were trimmed is not known.
void QuotaWatch::Look() {
  std::vector<Disk> disks = sources_.disks();
  if (disks.size() > kDisksMax) disks.resize(kDisksMax);
  std::set<DiskId> there;
  std::set<std::string> addresses;
  for (const Disk& disk : disks) {
    there.insert(disk.disk);
    addresses.insert(disk.address);
  }
  std::erase_if(over_, [&](const auto& entry) { return !there.contains(entry.first.first); });
  std::erase_if(clients_, [&](const auto& entry) {
    if (addresses.contains(entry.first)) return false;
    entry.second->Close();
    return true;
  });
  LogServerStatusRequest request;
  request.needs_max = kLogsMax;
  for (const Disk& disk : disks) {
    Client(disk.address)
        ->LogServerStatus(
            request, kTimeoutMs,
            [this, alive = std::weak_ptr<bool>(alive_), disk](const Result<LogServerStatusResponse>& response) {
              if (!alive.expired()) Answered(disk, response);
            });
  }
}

void QuotaWatch::Answered(const Disk& disk, const Result<LogServerStatusResponse>& response) {
  if (!response.ok() || response->code != StatusCode::kOk) return;
  const json document = json::parse(response->document, nullptr, false);
  if (!document.is_object() || TextOf(document, "disk") != ToHex(disk.disk)) return;
  const auto quota = document.find("quota");
  if (quota == document.end() || !quota->is_object()) return;
  std::map<Key, Over> now;
  const json none = json::array();
  const auto list = quota->find("over");
  for (const json& entry : list != quota->end() && list->is_array() ? *list : none) {
    if (!entry.is_object() || now.size() >= kLogsMax) continue;
    const auto id = entry.find("log");
    if (id == entry.end() || !id->is_number_unsigned()) continue;
    const LogId log(id->get<uint64_t>());
    Over& over = now[{disk.disk, log}];
    over.word = TextOf(entry, "word");
    const std::string checkpoint = sources_.checkpoint_of(log);
    over.alert = {loop_->clock()->WallUnixMs(), "", sources_.service_of(log),
                  disk.node + ": " + TextOf(entry, "text") + (checkpoint.empty() ? "" : "; " + checkpoint)};
  }
  const auto begin = over_.lower_bound({disk.disk, LogId()});
  auto end = begin;
  while (end != over_.end() && end->first.first == disk.disk) ++end;
  for (auto old = begin; old != end; ++old) {
    if (now.contains(old->first)) continue;
    old->second.alert.text = disk.node + ": log " + std::to_string(old->first.second.value()) + " is below its quota";
    Say("log_within_quota", disk, old->second);
  }
  size_t others = over_.size() - static_cast<size_t>(std::distance(begin, end));
  std::erase_if(now, [&](const auto& entry) { return !over_.contains(entry.first) && ++others > kAlertsMax; });
  for (auto& [key, over] : now) {
    const auto old = over_.find(key);
    const bool known = old != over_.end();
    if (known) over.alert.unix_ms = old->second.alert.unix_ms;
    const bool refused = over.word == "refused";
    if (!known || (refused && old->second.word != over.word)) Say(refused ? "log_refused" : "log_slowed", disk, over);
  }
  over_.erase(begin, end);
  over_.merge(now);
}

void QuotaWatch::Say(const char* kind, const Disk& disk, const Over& over) {
  Event event;
  event.kind = kind;
  event.service = over.alert.service;
  event.node = disk.node;
  event.text = over.alert.text;
  sources_.event(event);
}

std::vector<Alert> QuotaWatch::alerts() const {
  std::vector<Alert> alerts;
  for (const auto& [key, over] : over_) alerts.push_back(over.alert);
  return alerts;
}

}  // namespace understudy::coordinator
