// Which coordinators there are: each writes coordinators/<name> now and then, and sees the others' entries change. For
// people, and for the list of addresses that applications are given. Nobody leads or is deposed by it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"

namespace understudy::coordinator {

struct SeenCoordinator {
  std::string name;
  std::string address;
  int64_t seen_ms = 0;  // since its entry changed last, or since this one began to look
  bool self = false;
};

// Strand held for every call.
class Presence : public std::enable_shared_from_this<Presence> {
 public:
  static constexpr int64_t kBeatMs = 2000;
  static constexpr int64_t kGoneMs = 60'000;  // one not seen for so long is no longer named to applications
  static constexpr size_t kCoordinatorsMax = 64;

  Presence(EventLoop* loop, MetadataStore* store, std::string key, std::string name, std::string address);

  void Start();
  void Stop();   // says no more
  void Leave();  // the process ends in order: removes its entry
  // The watch's word; removed: an empty value.
  void Changed(const std::string& name, const std::string& value);

  std::vector<SeenCoordinator> List() const;   // this one among them, by name
  std::vector<std::string> Addresses() const;  // this one's first

 private:
  struct Other {
    std::string address;
    Instant seen_at;
  };
  void Beat();
  void Answered(const Status& status, uint64_t version);
  void Again();

  EventLoop* const loop_;
  MetadataStore* const store_;
  const std::string key_;
  const std::string name_;
  const std::string address_;
  std::map<std::string, Other> others_;
  uint64_t version_ = 0;  // of its own entry
  uint64_t beat_ = 0;
  EventLoop::TimerId timer_ = 0;
  bool stopped_ = false;
};

}  // namespace understudy::coordinator
