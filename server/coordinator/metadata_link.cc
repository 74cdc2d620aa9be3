#include "server/coordinator/metadata_link.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace understudy::coordinator {
namespace {

constexpr int64_t kPauseMsMax = 5000;
constexpr char kLeader[] = "leader";

}  // namespace

MetadataLink::MetadataLink(EventLoop* loop, MetadataStore* store, std::string cluster, std::string coordinator,
                           Callbacks callbacks)
    : loop_(loop),
      store_(store),
      cluster_(std::move(cluster)),
      coordinator_(std::move(coordinator)),
      root_("/understudy/" + cluster_ + "/"),
      callbacks_(std::move(callbacks)) {}

const std::vector<MetadataLink::Folder>& MetadataLink::Folders() {
  // Logs before services, services before plans: the core puts them together in that order.
  static const std::vector<Folder>* const folders = new std::vector<Folder>{{MetadataKind::kLog, "logs/"},
                                                                            {MetadataKind::kDisk, "disks/"},
                                                                            {MetadataKind::kNode, "nodes/"},
                                                                            {MetadataKind::kService, "services/"},
                                                                            {MetadataKind::kPlan, "plans/"}};
  return *folders;
}

std::string MetadataLink::Key(MetadataKind kind, const std::string& name) const {
  if (kind == MetadataKind::kLeader) return root_ + kLeader;
  for (const Folder& folder : Folders()) {
    if (folder.kind == kind) return root_ + folder.name + name;
  }
  return root_;
}

std::function<void()> MetadataLink::Guard(std::function<void(MetadataLink&)> fn) {
  return [weak = weak_from_this(), fn = std::move(fn)] {
    auto self = weak.lock();
    if (self != nullptr && !self->stopped_) fn(*self);
  };
}

void MetadataLink::Start() { RaiseTerm(); }

void MetadataLink::Stop() {
  if (stopped_) return;
  stopped_ = true;
  if (watching_) store_->Unwatch(watch_);
}

void MetadataLink::Failed(const Status&, std::function<void(MetadataLink&)> again) {
  loop_->At(loop_->clock()->Now() + pause_ms_ * kNsPerMs, Guard(std::move(again)));
  pause_ms_ = std::min(pause_ms_ * 2, kPauseMsMax);
}

// Every start has a term above all before it: command ids and plans carry it.
void MetadataLink::RaiseTerm() {
  const auto again = [](MetadataLink& link) { link.RaiseTerm(); };
  const auto on_read = [again](MetadataLink& link, const Result<std::optional<MetadataEntry>>& read) {
    if (!read.ok()) return link.Failed(read.status(), again);
    uint64_t version = 0;
    nlohmann::json leader = nlohmann::json::object();
    if (read->has_value()) {
      version = (*read)->version;
      leader = nlohmann::json::parse((*read)->value, nullptr, false);
      if (!leader.is_object()) leader = nlohmann::json::object();
    }
    link.term_ = 1;
    if (leader.contains("term") && leader["term"].is_number_unsigned()) link.term_ = leader["term"].get<uint64_t>() + 1;
    leader["term"] = link.term_;
    leader["coordinator"] = link.coordinator_;
    const std::string value = leader.dump();
    link.store_->CompareAndSwap(
        link.Key(MetadataKind::kLeader, ""), version, value,
        [weak = link.weak_from_this(), loop = link.loop_, again, value](Result<uint64_t> written) {
          loop->Post([weak, again, value, written] {
            auto self = weak.lock();
            if (self == nullptr || self->stopped_) return;
            if (!written.ok()) return self->Failed(written.status(), again);
            self->callbacks_.changed({MetadataKind::kLeader, "", value, *written});
            if (!self->watching_) {
              self->watching_ = true;
              self->watch_ = self->store_->Watch(self->root_, [weak, loop = self->loop_](const MetadataEntry& entry) {
                loop->Post([weak, entry] {
                  if (auto link = weak.lock(); link != nullptr && !link->stopped_) link->OnWatch(entry);
                });
              });
            }
            self->List(0);
          });
        });
  };
  store_->Get(Key(MetadataKind::kLeader, ""),
              [weak = weak_from_this(), loop = loop_, on_read](Result<std::optional<MetadataEntry>> read) {
                loop->Post([weak, on_read, read = std::move(read)] {
                  auto self = weak.lock();
                  if (self != nullptr && !self->stopped_) on_read(*self, read);
                });
              });
}

void MetadataLink::List(size_t index) {
  if (index == Folders().size()) {
    ListEvents();
    return;
  }
  const Folder folder = Folders()[index];
  const std::string prefix = root_ + folder.name;
  store_->List(
      prefix, kListMax,
      [weak = weak_from_this(), loop = loop_, index, folder, prefix](Result<std::vector<MetadataEntry>> listed) {
        loop->Post([weak, index, folder, prefix, listed = std::move(listed)] {
          auto self = weak.lock();
          if (self == nullptr || self->stopped_) return;
          if (!listed.ok()) {
            return self->Failed(listed.status(), [index](MetadataLink& link) { link.List(index); });
          }
          for (const MetadataEntry& entry : *listed) {
            self->callbacks_.changed({folder.kind, entry.key.substr(prefix.size()), entry.value, entry.version});
          }
          self->List(index + 1);
        });
      });
}

void MetadataLink::ListEvents() {
  store_->List(root_ + "events/", kListMax,
               [weak = weak_from_this(), loop = loop_](Result<std::vector<MetadataEntry>> listed) {
                 loop->Post([weak, listed = std::move(listed)] {
                   auto self = weak.lock();
                   if (self == nullptr || self->stopped_) return;
                   if (!listed.ok()) {
                     return self->Failed(listed.status(), [](MetadataLink& link) { link.ListEvents(); });
                   }
                   self->pause_ms_ = 100;
                   self->callbacks_.events(*listed);
                   self->callbacks_.loaded({self->term_});
                 });
               });
}

void MetadataLink::OnWatch(const MetadataEntry& entry) {
  const std::string name = entry.key.substr(root_.size());
  if (name == kLeader) {
    callbacks_.changed({MetadataKind::kLeader, "", entry.value, entry.version});
    return;
  }
  for (const Folder& folder : Folders()) {
    const std::string prefix = folder.name;
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    callbacks_.changed({folder.kind, name.substr(prefix.size()), entry.value, entry.version});
    return;
  }
}

void MetadataLink::Write(const WriteMetadata& write) {
  MetadataWritten answer{write.kind, write.name, StatusCode::kOk, "", 0};
  auto done = [weak = weak_from_this(), loop = loop_, answer](Result<uint64_t> result) mutable {
    if (result.ok()) {
      answer.version = *result;
    } else {
      answer.code = result.status().code();
      answer.detail = result.status().message();
    }
    loop->Post([weak, answer] {
      auto self = weak.lock();
      if (self != nullptr && !self->stopped_) self->callbacks_.written(answer);
    });
  };
  const std::string key = Key(write.kind, write.name);
  if (write.value.empty()) {
    store_->CompareAndDelete(key, write.expected, std::move(done));
  } else {
    store_->CompareAndSwap(key, write.expected, write.value, std::move(done));
  }
}

void MetadataLink::Read(const ReadMetadata& read) {
  store_->Get(Key(read.kind, read.name),
              [weak = weak_from_this(), loop = loop_, read](Result<std::optional<MetadataEntry>> result) {
                loop->Post([weak, read, result = std::move(result)] {
                  auto self = weak.lock();
                  if (self == nullptr || self->stopped_) return;
                  if (!result.ok()) {
                    return self->Failed(result.status(), [read](MetadataLink& link) { link.Read(read); });
                  }
                  self->pause_ms_ = 100;
                  MetadataChanged changed{read.kind, read.name, "", 0};
                  if (result->has_value()) {
                    changed.value = (*result)->value;
                    changed.version = (*result)->version;
                  }
                  self->callbacks_.changed(changed);
                });
              });
}

}  // namespace understudy::coordinator
