#include "server/coordinator/metadata_link.h"

#include <algorithm>
#include <utility>

namespace understudy::coordinator {
namespace {

constexpr int64_t kPauseMsMin = 50;
constexpr int64_t kPauseMsMax = 2000;
constexpr char kLeader[] = "leader";
constexpr char kCoordinators[] = "coordinators/";
constexpr char kEvents[] = "events/";

struct Folder {
  MetadataKind kind;
  const char* name;
};
// Logs before services, services before plans: the core puts them together in that order.
constexpr Folder kFolders[] = {{MetadataKind::kSettings, "settings"}, {MetadataKind::kLog, "logs/"},
                               {MetadataKind::kDisk, "disks/"},       {MetadataKind::kNode, "nodes/"},
                               {MetadataKind::kService, "services/"}, {MetadataKind::kPlan, "plans/"}};

// What is read at the start; a key is a folder of its own.
std::vector<std::string> Prefixes() {
  std::vector<std::string> prefixes = {kLeader, kCoordinators};
  for (const Folder& folder : kFolders) prefixes.push_back(folder.name);
  prefixes.push_back(kEvents);
  return prefixes;
}

}  // namespace

MetadataLink::MetadataLink(EventLoop* loop, MetadataStore* store, std::string cluster, Callbacks callbacks)
    : loop_(loop), store_(store), root_("/understudy/" + cluster + "/"), callbacks_(std::move(callbacks)) {}

std::string MetadataLink::Key(MetadataKind kind, const std::string& name) const {
  for (const Folder& folder : kFolders) {
    if (folder.kind == kind) return root_ + folder.name + name;
  }
  return root_;
}

void MetadataLink::Start() {
  watching_ = true;
  watch_ = store_->Watch(root_, [weak = weak_from_this(), loop = loop_](const MetadataEntry& entry) {
    loop->Post([weak, entry] {
      if (auto self = weak.lock(); self != nullptr && !self->stopped_) self->OnWatch(entry);
    });
  });
  List(0);
}

void MetadataLink::Stop() {
  if (stopped_) return;
  stopped_ = true;
  if (watching_) store_->Unwatch(watch_);
}

void MetadataLink::Again(std::function<void(MetadataLink&)> fn) {
  pause_ms_ = std::clamp(pause_ms_ * 2, kPauseMsMin, kPauseMsMax);
  loop_->At(loop_->clock()->Now() + pause_ms_ * kNsPerMs, [weak = weak_from_this(), fn = std::move(fn)] {
    auto self = weak.lock();
    if (self != nullptr && !self->stopped_) fn(*self);
  });
}

void MetadataLink::List(size_t index) {
  static const std::vector<std::string>* const prefixes = new std::vector<std::string>(Prefixes());
  if (index == prefixes->size()) {
    loaded_ = true;
    pause_ms_ = 0;
    std::erase_if(copy_, [](const auto& item) { return item.second.value.empty(); });
    callbacks_.moved_on();
    return;
  }
  store_->List(root_ + (*prefixes)[index], kListMax,
               [weak = weak_from_this(), loop = loop_, index](Result<std::vector<MetadataEntry>> listed) {
                 loop->Post([weak, index, listed = std::move(listed)] {
                   auto self = weak.lock();
                   if (self == nullptr || self->stopped_) return;
                   if (!listed.ok()) return self->Again([index](MetadataLink& link) { link.List(index); });
                   for (const MetadataEntry& entry : *listed) {
                     if (self->Take(entry)) self->Tell(entry.key.substr(self->root_.size()), entry);
                   }
                   self->List(index + 1);
                 });
               });
}

bool MetadataLink::Take(const MetadataEntry& entry) {
  const std::string key = entry.key.substr(root_.size());
  auto it = copy_.find(key);
  if (it != copy_.end() && entry.version <= it->second.version) return false;
  if (!entry.value.empty()) {
    copy_[key] = entry;
  } else if (!loaded_) {
    copy_[key] = entry;  // so that an older list does not bring it back
  } else if (it != copy_.end()) {
    copy_.erase(it);
  }
  return true;
}

void MetadataLink::Tell(const std::string& key, const MetadataEntry& entry) {
  if (key == kLeader) return callbacks_.lease(entry.value, entry.version);
  if (key.starts_with(kCoordinators)) {
    return callbacks_.coordinator(key.substr(sizeof kCoordinators - 1), entry.value);
  }
  if (feeding_ == 0) return;
  for (const Folder& folder : kFolders) {
    if (!key.starts_with(folder.name)) continue;
    callbacks_.changed({folder.kind, key.substr(std::string_view(folder.name).size()), entry.value, entry.version});
    return;
  }
}

void MetadataLink::OnWatch(const MetadataEntry& entry) {
  const bool news = Take(entry);
  seen_ = std::max(seen_, entry.version);
  if (news) Tell(entry.key.substr(root_.size()), entry);
  if (!stopped_) callbacks_.moved_on();
}

std::vector<MetadataEntry> MetadataLink::Events() const {
  std::vector<MetadataEntry> events;
  for (auto it = copy_.lower_bound(kEvents); it != copy_.end() && it->first.starts_with(kEvents); ++it) {
    events.push_back(it->second);
  }
  return events;
}

void MetadataLink::Feed() {
  feeding_ = ++feeds_;
  const uint64_t feed = feeding_;
  const auto copy = copy_;  // what is handed in may lead to changes
  for (const Folder& folder : kFolders) {
    for (auto it = copy.lower_bound(folder.name); it != copy.end() && it->first.starts_with(folder.name); ++it) {
      if (feeding_ == feed) Tell(it->first, it->second);
    }
  }
}

void MetadataLink::Rest() { feeding_ = 0; }

void MetadataLink::Write(const WriteMetadata& write) {
  MetadataWritten answer{write.kind, write.name, StatusCode::kOk, "", 0};
  auto done = [weak = weak_from_this(), loop = loop_, feed = feeding_, answer](Result<uint64_t> result) mutable {
    if (result.ok()) {
      answer.version = *result;
    } else {
      answer.code = result.status().code();
      answer.detail = result.status().message();
    }
    loop->Post([weak, feed, answer] {
      auto self = weak.lock();
      if (self != nullptr && !self->stopped_ && self->feeding_ == feed) self->callbacks_.written(answer);
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
  store_->Get(Key(read.kind, read.name), [weak = weak_from_this(), loop = loop_, feed = feeding_,
                                          read](Result<std::optional<MetadataEntry>> result) {
    loop->Post([weak, feed, read, result = std::move(result)] {
      auto self = weak.lock();
      if (self == nullptr || self->stopped_ || self->feeding_ != feed) return;
      if (!result.ok()) {
        return self->Again([feed, read](MetadataLink& link) {
          if (link.feeding_ == feed) link.Read(read);
        });
      }
      self->pause_ms_ = 0;
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
