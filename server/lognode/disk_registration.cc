#include "server/lognode/disk_registration.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "log/env/logging.h"

namespace understudy {
namespace {

constexpr int64_t kFirstPauseMs = 20;
constexpr int64_t kLongestPauseMs = 2000;

}  // namespace

// Shared with the callbacks of the store, which may come late and on a thread of its own: each is posted to the loop
// and does nothing once the registration is gone.
struct DiskRegistration::State : std::enable_shared_from_this<State> {
  std::mutex alive_mutex;  // for `alive`, by which the store's threads know whether the loop may still be there
  bool alive = true;
  EventLoop* loop;
  MetadataStore* metadata;
  std::string key;
  DiskId disk;
  std::string node;
  std::string zone;
  bool retired = false;

  bool gone = false;
  uint64_t boot_count = 0;
  uint64_t registered_count = 0;  // what this process has put there; equal counts of ours are no alarm
  bool in_doubt = false;          // a CAS of `boot_count` may have landed
  std::string address;
  Registered done;
  int64_t pause_ms = kFirstPauseMs;

  template <class Value>
  std::function<void(Result<Value>)> OnLoop(void (State::*then)(Result<Value>)) {
    return [self = shared_from_this(), then](Result<Value> value) {
      const std::lock_guard lock(self->alive_mutex);
      if (!self->alive) return;
      self->loop->Post([self, then, value = std::move(value)]() mutable {
        if (!self->gone) ((*self).*then)(std::move(value));
      });
    };
  }

  void Read() { metadata->Get(key, OnLoop(&State::OnRead)); }

  void OnRead(Result<std::optional<MetadataEntry>> read) {
    if (!read.ok()) return Again(read.status());
    DiskEntry entry{disk, node, address, boot_count, zone, DiskState::kActive};
    uint64_t version = 0;
    if (read->has_value()) {
      version = (*read)->version;
      const Result<DiskEntry> there = DecodeDiskEntry((*read)->value);
      if (!there.ok()) return Finish(there.status());
      const bool ours = in_doubt && there->boot_count == boot_count;
      const bool unchanged = registered_count != 0 && there->boot_count == registered_count;
      if (boot_count == kCountUnchanged) {
        entry.boot_count = there->boot_count;
      } else if (there->boot_count >= boot_count && !ours && !unchanged) {
        return Finish({StatusCode::kDataUnknown,
                       "boot count " + std::to_string(boot_count) + " of the directory is not above the " +
                           std::to_string(there->boot_count) + " known to the metadata: the directory is an old copy"});
      }
      if (address.empty()) entry.address = there->address;
      entry.state = there->state;
    }
    if (retired) entry.state = DiskState::kRetired;
    in_doubt = true;
    metadata->CompareAndSwap(key, version, EncodeDiskEntry(entry), OnLoop(&State::OnSwapped));
  }

  void OnSwapped(Result<uint64_t> swapped) {
    if (!swapped.ok()) return Again(swapped.status());
    registered_count = boot_count;
    Finish(Status::Ok());
  }

  void Again(const Status& why) {
    LogWarning("lognode", "registering disk " + ToHex(disk) + ": " + why.ToString() + "; trying again");
    const Instant at = loop->clock()->Now() + pause_ms * kNsPerMs;
    pause_ms = std::min(pause_ms * 2, kLongestPauseMs);
    loop->At(at, [self = shared_from_this()] {
      if (!self->gone) self->Read();
    });
  }

  void Finish(Status status) {
    in_doubt = false;
    pause_ms = kFirstPauseMs;
    std::exchange(done, nullptr)(std::move(status));
  }
};

DiskRegistration::DiskRegistration(EventLoop* loop, MetadataStore* metadata, std::string cluster, DiskId disk,
                                   std::string node, std::string zone)
    : state_(std::make_shared<State>()) {
  state_->loop = loop;
  state_->metadata = metadata;
  state_->key = DiskKey(cluster, ToHex(disk));
  state_->disk = disk;
  state_->node = std::move(node);
  state_->zone = std::move(zone);
}

DiskRegistration::~DiskRegistration() {
  state_->gone = true;
  const std::lock_guard lock(state_->alive_mutex);
  state_->alive = false;
}

void DiskRegistration::Register(uint64_t boot_count, std::string address, Registered done) {
  UNDERSTUDY_CHECK(!busy());
  state_->boot_count = boot_count;
  state_->address = std::move(address);
  state_->done = std::move(done);
  state_->Read();
}

void DiskRegistration::SetRetired() { state_->retired = true; }

bool DiskRegistration::busy() const { return state_->done != nullptr; }

}  // namespace understudy
