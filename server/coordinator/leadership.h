// Carries out what core/election.h decides: the lease is read and written in the metadata, its clock runs on the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"
#include "server/coordinator/core/election.h"

namespace understudy::coordinator {

// Strand held for every call and callback. Nothing is called back after Stop.
class Leadership : public std::enable_shared_from_this<Leadership> {
 public:
  // `changed`: leads() became another, and why; not from within a call but Resign's.
  Leadership(EventLoop* loop, MetadataStore* store, std::string key, ElectionOptions options,
             std::function<void(const std::string& why)> changed);

  void Start();
  void Stop();
  // The watch's word on the key.
  void Changed(const std::string& value, uint64_t version);
  // Stops to lead, hands the lease over and calls `done` (also when that fails for good by then: see Stop).
  void Resign(std::function<void()> done);

  // Whether this coordinator may act now: to be asked before every action.
  bool leads() const { return !stopped_ && election_.Leads(loop_->clock()->Now()); }
  uint64_t term() const { return election_.term(); }
  uint64_t won_version() const { return won_version_; }                           // of the lease when it began to lead
  std::string leader() const { return election_.Leader(loop_->clock()->Now()); }  // another's address, or empty
  const std::string& leader_name() const { return election_.lease().coordinator; }

 private:
  using Call = std::function<void(Election*, Instant, ElectionEffects*)>;
  void Do(const Call& call);
  void Read(uint64_t id);
  void Cas(const ElectionEffects::Cas& cas);
  void Arm(Instant at);

  EventLoop* const loop_;
  MetadataStore* const store_;
  const std::string key_;
  Election election_;
  const std::function<void(const std::string&)> changed_;
  uint64_t won_version_ = 0;
  EventLoop::TimerId timer_ = 0;
  bool stopped_ = false;
  std::function<void()> resigned_;
};

}  // namespace understudy::coordinator
