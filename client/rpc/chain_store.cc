#include "client/rpc/chain_store.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace understudy {
namespace {

constexpr int kEditTriesMax = 32;
constexpr int64_t kEditPauseNs = 10 * kNsPerMs;

}  // namespace

ChainStore::ChainStore(Cluster* cluster, LogId log)
    : cluster_(cluster), log_(log), key_(LogKey(cluster->name(), log.value())) {}

// Two calls may overlap: of the same version the later beginning counts.
void ChainStore::Saw(uint64_t version, Instant began) {
  if (version < seen_version_) return;
  seen_at_ = version == seen_version_ ? std::max(seen_at_, began) : began;
  seen_version_ = version;
}

void ChainStore::Read(ReadCallback done) {
  const Instant began = cluster_->loop()->clock()->Now();
  cluster_->Get(key_, [this, began, done = std::move(done)](Result<std::optional<MetadataEntry>> entry) {
    if (!entry.ok()) return done(entry.status());
    VersionedChain value;
    if (entry->has_value()) {
      Result<Chain> chain = DecodeChain((*entry)->value);
      if (!chain.ok()) return done(chain.status().WithContext((*entry)->key));
      value.version = (*entry)->version;
      value.chain = std::move(chain).value();
      Saw(value.version, began);
    }
    done(std::move(value));
  });
}

void ChainStore::Perform(const ChainOp& op, std::function<void(const ChainReadDone&)> read_done,
                         std::function<void(const ChainCasDone&)> cas_done) {
  if (op.kind == ChainOp::Kind::kRead) {
    Read([token = op.token, read_done = std::move(read_done)](Result<VersionedChain> value) {
      ChainReadDone done;
      done.token = token;
      done.status = value.status();
      if (value.ok()) done.value = std::move(value).value();
      read_done(done);
    });
    return;
  }
  cluster_->CompareAndSwap(key_, op.expected_version, EncodeChain(op.chain),
                           [this, began = cluster_->loop()->clock()->Now(), token = op.token,
                            cas_done = std::move(cas_done)](Result<uint64_t> version) {
                             if (version.ok()) Saw(*version, began);
                             ChainCasDone done;
                             done.token = token;
                             done.status = version.status();
                             if (version.ok()) done.version = *version;
                             cas_done(done);
                           });
}

void ChainStore::Edit(Change change, ReadCallback done) { TryEdit(std::move(change), std::move(done), kEditTriesMax); }

void ChainStore::TryEdit(Change change, ReadCallback done, int tries_left) {
  auto again = [this, change, done, tries_left](const Status& why) {
    if (tries_left <= 1 || why.code() == StatusCode::kCancelled) {
      return done(Status(StatusCode::kUnavailable, "editing the log's metadata: " + why.ToString()));
    }
    if (why.code() == StatusCode::kConflict) return TryEdit(change, done, tries_left - 1);
    cluster_->loop()->At(cluster_->loop()->clock()->Now() + kEditPauseNs,
                         [this, change, done, tries_left] { TryEdit(change, done, tries_left - 1); });
  };
  Read([this, change, done, again](Result<VersionedChain> value) {
    if (!value.ok()) return again(value.status());
    if (value->version == 0) return done(Status(StatusCode::kNotFound, key_ + " does not exist"));
    const Result<bool> write = change(&value->chain);
    if (!write.ok()) return done(write.status());
    if (!*write) return done(std::move(value));
    cluster_->CompareAndSwap(key_, value->version, EncodeChain(value->chain),
                             [done, again, value = *value](Result<uint64_t> version) mutable {
                               if (!version.ok()) return again(version.status());
                               value.version = *version;
                               done(std::move(value));
                             });
  });
}

}  // namespace understudy
