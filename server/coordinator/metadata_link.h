// Between the coordinator and the metadata store: a copy of everything below the cluster's root, kept by a watch, so
// that whoever begins to lead knows it all at once; and the core's writes and reads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"
#include "server/coordinator/core/io.h"

namespace understudy::coordinator {

// Strand held for every call, and in every callback. Nothing is called back after Stop.
class MetadataLink : public std::enable_shared_from_this<MetadataLink> {
 public:
  struct Callbacks {
    // While feeding.
    std::function<void(const MetadataChanged&)> changed;
    std::function<void(const MetadataWritten&)> written;
    // Always.
    std::function<void(const std::string& value, uint64_t version)> lease;
    std::function<void(const std::string& name, const std::string& value)> coordinator;
    std::function<void()> moved_on;  // loaded() or seen() became another
  };
  MetadataLink(EventLoop* loop, MetadataStore* store, std::string cluster, Callbacks callbacks);

  // Watches and reads every folder; tries again with growing pauses until it has worked.
  void Start();
  void Stop();

  bool loaded() const { return loaded_; }
  // The copy holds all changes up to this version (once loaded).
  uint64_t seen() const { return seen_; }
  std::vector<MetadataEntry> Events() const;  // of the copy, ascending

  // Hands in the whole copy, each entry as `changed`, and from then on every change. Once loaded.
  void Feed();
  // No more of it; answers to writes and reads of before are dropped.
  void Rest();
  void Write(const WriteMetadata& write);
  // Answered with `changed`, absent as an empty value; tried again until it works.
  void Read(const ReadMetadata& read);

  static constexpr size_t kListMax = 1u << 20;

 private:
  std::string Key(MetadataKind kind, const std::string& name) const;
  void List(size_t folder);
  // Whether it was news. A deletion has an empty value.
  bool Take(const MetadataEntry& entry);
  void OnWatch(const MetadataEntry& entry);
  void Tell(const std::string& key, const MetadataEntry& entry);
  void Again(std::function<void(MetadataLink&)> fn);

  EventLoop* const loop_;
  MetadataStore* const store_;
  const std::string root_;
  Callbacks callbacks_;
  std::map<std::string, MetadataEntry> copy_;  // by key below the root; until loaded_ also what was deleted
  uint64_t seen_ = 0;
  bool loaded_ = false;
  bool stopped_ = false;
  uint64_t feeding_ = 0;  // 0: not; else the number of the Feed
  uint64_t feeds_ = 0;
  uint64_t watch_ = 0;
  bool watching_ = false;
  int64_t pause_ms_ = 0;
};

}  // namespace understudy::coordinator
