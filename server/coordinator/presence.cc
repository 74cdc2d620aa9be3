#include "server/coordinator/presence.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace understudy::coordinator {

Presence::Presence(EventLoop* loop, MetadataStore* store, std::string key, std::string name, std::string address)
    : loop_(loop), store_(store), key_(std::move(key)), name_(std::move(name)), address_(std::move(address)) {}

void Presence::Start() { Beat(); }

void Presence::Stop() {
  stopped_ = true;
  loop_->Cancel(timer_);
  timer_ = 0;
}

void Presence::Leave() {
  if (stopped_) return;
  Stop();
  if (version_ != 0) store_->CompareAndDelete(key_, version_, [](Result<uint64_t>) {});
}

void Presence::Beat() {
  const std::string value = nlohmann::json({{"coordinator", name_}, {"address", address_}, {"beat", ++beat_}})
                                .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  store_->CompareAndSwap(key_, version_, value, [weak = weak_from_this(), loop = loop_](Result<uint64_t> written) {
    loop->Post([weak, written = std::move(written)] {
      if (auto self = weak.lock()) self->Answered(written.status(), written.ok() ? *written : 0);
    });
  });
}

void Presence::Answered(const Status& status, uint64_t version) {
  if (stopped_) return;
  if (status.ok()) {
    version_ = version;
    return Again();
  }
  // An earlier run's entry, or an answer that was lost: look, and write over it with the next beat.
  store_->Get(key_, [weak = weak_from_this(), loop = loop_](Result<std::optional<MetadataEntry>> read) {
    loop->Post([weak, read = std::move(read)] {
      auto self = weak.lock();
      if (self == nullptr || self->stopped_) return;
      const bool news = read.ok() && (read->has_value() ? (*read)->version : 0) != self->version_;
      if (read.ok()) self->version_ = read->has_value() ? (*read)->version : 0;
      if (news && self->beat_ == 1) return self->Beat();
      self->Again();
    });
  });
}

void Presence::Again() {
  timer_ = loop_->At(loop_->clock()->Now() + kBeatMs * kNsPerMs, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr || self->stopped_) return;
    self->timer_ = 0;
    self->Beat();
  });
}

void Presence::Changed(const std::string& name, const std::string& value) {
  if (name == name_) return;
  const auto entry = nlohmann::json::parse(value, nullptr, false);
  if (!entry.is_object() || !entry.contains("address") || !entry["address"].is_string()) {
    others_.erase(name);
    return;
  }
  if (others_.size() >= kCoordinatorsMax && others_.count(name) == 0) return;
  others_[name] = {entry["address"].get<std::string>(), loop_->clock()->Now()};
}

std::vector<SeenCoordinator> Presence::List() const {
  std::vector<SeenCoordinator> list = {{name_, address_, 0, true}};
  for (const auto& [name, other] : others_) {
    list.push_back({name, other.address, (loop_->clock()->Now() - other.seen_at) / kNsPerMs, false});
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return list;
}

std::vector<std::string> Presence::Addresses() const {
  std::vector<std::string> addresses = {address_};
  for (const auto& [name, other] : others_) {
    const bool here = loop_->clock()->Now() - other.seen_at < kGoneMs * kNsPerMs;
    if (here && other.address != address_) addresses.push_back(other.address);
  }
  return addresses;
}

}  // namespace understudy::coordinator
