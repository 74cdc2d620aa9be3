// Calls of the metadata store whose answers come on a loop, with its strand, and not at all once the caller is gone:
// the store may answer late, and on a thread of its own.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"

namespace understudy {

// Strand held for every call, and for the end.
class MetadataCalls {
 public:
  MetadataCalls(EventLoop* loop, MetadataStore* store) : link_(std::make_shared<Link>()), store_(store) {
    link_->loop = loop;
  }
  ~MetadataCalls() { Close(); }
  void Close() {
    const std::lock_guard lock(link_->mutex);
    link_->open = false;
  }

  void Get(const std::string& key, MetadataStore::GetCallback done) { store_->Get(key, OnLoop(std::move(done))); }
  void List(const std::string& prefix, size_t limit, MetadataStore::ListCallback done) {
    store_->List(prefix, limit, OnLoop(std::move(done)));
  }
  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, MetadataStore::CasCallback done) {
    store_->CompareAndSwap(key, expected, std::move(value), OnLoop(std::move(done)));
  }
  void CompareAndDelete(const std::string& key, uint64_t expected, MetadataStore::CasCallback done) {
    store_->CompareAndDelete(key, expected, OnLoop(std::move(done)));
  }

 private:
  struct Link {
    std::mutex mutex;  // for the store's threads, which must know whether the loop may still be there
    bool open = true;
    EventLoop* loop = nullptr;
  };
  template <class Value>
  std::function<void(Result<Value>)> OnLoop(std::function<void(Result<Value>)> done) {
    return [link = link_, done = std::move(done)](Result<Value> value) {
      const std::lock_guard lock(link->mutex);
      if (!link->open) return;
      link->loop->Post([link, done, value = std::move(value)]() mutable {
        {
          const std::lock_guard still(link->mutex);
          if (!link->open) return;
        }
        done(std::move(value));
      });
    };
  }

  std::shared_ptr<Link> link_;
  MetadataStore* store_;
};

}  // namespace understudy
