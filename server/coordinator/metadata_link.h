// Between the core and the metadata store: reads everything at the start, watches, writes, reads again.
#pragma once

#include <cstdint>
#include <functional>
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
    std::function<void(const MetadataChanged&)> changed;
    std::function<void(const MetadataWritten&)> written;
    std::function<void(const std::vector<MetadataEntry>&)> events;  // once, ascending
    std::function<void(const MetadataLoaded&)> loaded;              // once, after all that was there
  };
  MetadataLink(EventLoop* loop, MetadataStore* store, std::string cluster, std::string coordinator,
               Callbacks callbacks);

  // Raises the term in `leader`, then reads every folder; tries again with growing pauses until it has worked.
  void Start();
  void Stop();
  void Write(const WriteMetadata& write);
  // Answered with `changed`, absent as an empty value; tried again until it works.
  void Read(const ReadMetadata& read);

  std::string Key(MetadataKind kind, const std::string& name) const;
  static constexpr size_t kListMax = 1u << 20;

 private:
  struct Folder {
    MetadataKind kind;
    const char* name;
  };
  static const std::vector<Folder>& Folders();
  // Runs `fn` on the loop unless stopped by then.
  std::function<void()> Guard(std::function<void(MetadataLink&)> fn);
  void RaiseTerm();
  void List(size_t folder);
  void ListEvents();
  void Failed(const Status& status, std::function<void(MetadataLink&)> again);
  void OnWatch(const MetadataEntry& entry);

  EventLoop* const loop_;
  MetadataStore* const store_;
  const std::string cluster_;
  const std::string coordinator_;
  const std::string root_;
  Callbacks callbacks_;
  bool stopped_ = false;
  uint64_t watch_ = 0;
  bool watching_ = false;
  uint64_t term_ = 0;
  int64_t pause_ms_ = 100;
};

}  // namespace understudy::coordinator
