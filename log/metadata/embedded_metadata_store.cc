#include "log/metadata/embedded_metadata_store.h"

#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "log/env/leveldb_env.h"
#include "log/env/logging.h"
#include "log/format/coding.h"

namespace understudy {
namespace {

// In LevelDB: "k" + key -> u64 version, value; "v" -> u64 version of the store.
constexpr char kEntryTag = 'k';
constexpr char kVersionKey[] = "v";
constexpr size_t kGroupMax = 256;  // calls that share one sync
constexpr size_t kWriteBufferBytes = 4u << 20;
constexpr uint64_t kReserveBytes = 2 * kWriteBufferBytes;  // what LevelDB may write when it opens, and then some

std::string EntryKey(const std::string& key) { return kEntryTag + key; }

struct Call {
  enum class Kind { kGet, kList, kSwap, kDelete } kind;
  std::string key;  // kList: the prefix
  uint64_t expected = 0;
  std::string value = {};
  size_t limit = 0;
  MetadataStore::GetCallback got = nullptr;
  MetadataStore::ListCallback listed = nullptr;
  MetadataStore::CasCallback swapped = nullptr;

  void Fail(const Status& status) {
    if (got) got(status);
    if (listed) listed(status);
    if (swapped) swapped(status);
  }
};

struct Watcher {
  std::string prefix;
  MetadataStore::WatchCallback changed;
};

class EmbeddedMetadataStore : public MetadataStore {
 public:
  EmbeddedMetadataStore(std::string dir, const EmbeddedMetadataOptions& options, FileSystem* files)
      : dir_(std::move(dir)), options_(options), files_(files), env_(NewLevelDbEnv(files)) {}

  ~EmbeddedMetadataStore() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    wake_reader_.notify_one();
    if (worker_.joinable()) worker_.join();
    if (reader_.joinable()) reader_.join();
  }

  Status Start() {
    UNDERSTUDY_RETURN_IF_ERROR(OpenDb());
    worker_ = std::thread([this] { Run(); });
    reader_ = std::thread([this] { RunReader(); });
    return Status::Ok();
  }

  void Get(const std::string& key, GetCallback done) override {
    Submit({.kind = Call::Kind::kGet, .key = key, .got = std::move(done)});
  }
  void List(const std::string& prefix, size_t limit, ListCallback done) override {
    Submit({.kind = Call::Kind::kList, .key = prefix, .limit = limit, .listed = std::move(done)});
  }
  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) override {
    Submit({.kind = Call::Kind::kSwap,
            .key = key,
            .expected = expected,
            .value = std::move(value),
            .swapped = std::move(done)});
  }
  void CompareAndDelete(const std::string& key, uint64_t expected, CasCallback done) override {
    Submit({.kind = Call::Kind::kDelete, .key = key, .expected = expected, .swapped = std::move(done)});
  }

  uint64_t Watch(const std::string& prefix, WatchCallback changed) override {
    const std::lock_guard lock(mutex_);
    const uint64_t id = next_watch_++;
    if (watchers_.size() >= options_.watches_max) {
      LogError("metadata", "too many watches: " + prefix + " is not watched");
      return id;
    }
    watchers_[id] = std::make_shared<const Watcher>(Watcher{prefix, std::move(changed)});
    return id;
  }
  void Unwatch(uint64_t id) override {
    const std::lock_guard lock(mutex_);
    watchers_.erase(id);
  }

 private:
  Status OpenDb();
  std::string ReservePath() const { return dir_ + "/RESERVE"; }  // LevelDB leaves files alone that it does not know
  void KeepReserve();
  void Submit(Call call);
  void Run();
  void RunReader();
  bool ReadOne(Call* call);  // false: the worker must see to it
  void Serve(std::deque<Call> calls);
  Status ServeOne(Call* call);  // an error: the store cannot read or write
  Status Find(const std::string& key, std::optional<MetadataEntry>* found);
  Status FindStored(const std::string& key, std::optional<MetadataEntry>* found);
  void CloseDb() {
    const std::unique_lock lock(db_mutex_);
    db_.reset();
  }
  Status ServeList(Call* call);
  Status ServeChange(Call* call);
  Status Commit();
  // Runs when the group is durable, or has failed.
  void Answer(std::function<void(const Status& wrote)> answer) { answers_.push_back(std::move(answer)); }

  const std::string dir_;
  const EmbeddedMetadataOptions options_;
  FileSystem* const files_;
  const std::unique_ptr<leveldb::Env> env_;

  // The worker changes db_ and broken_ with db_mutex_ held, and reads them without; the reader reads them with it.
  std::shared_mutex db_mutex_;
  std::unique_ptr<leveldb::DB> db_;
  Status broken_;  // a sync failed: for good

  // Of the worker alone.
  uint64_t version_ = 0;
  size_t keys_ = 0;
  std::map<std::string, std::optional<MetadataEntry>> overlay_;  // changes of this group, not yet written
  std::vector<MetadataEntry> changes_;                           // the same in order, for watchers
  std::vector<std::function<void(const Status&)>> answers_;
  std::vector<std::string> changed_keys_;  // of the calls of this group

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable wake_reader_;
  std::deque<Call> queue_;
  std::deque<Call> reads_;                            // Gets of keys that no waiting call changes
  std::unordered_map<std::string, size_t> changing_;  // key -> calls that may change it and are not answered yet
  std::map<uint64_t, std::shared_ptr<const Watcher>> watchers_;
  uint64_t next_watch_ = 1;
  bool stopping_ = false;
  std::thread worker_;
  std::thread reader_;
};

Status EmbeddedMetadataStore::OpenDb() {
  leveldb::Options options;
  options.env = env_.get();
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.write_buffer_size = kWriteBufferBytes;
  leveldb::DB* db = nullptr;
  const auto open = [&] { return FromLevelDb(leveldb::DB::Open(options, dir_, &db), "opening metadata in " + dir_); };
  Status opened = open();
  if (opened.code() == StatusCode::kResourceExhausted && files_->Remove(ReservePath()).ok()) {
    LogWarning("metadata", dir_ + ": the disk is full, what was kept in reserve is used");
    opened = open();
  }
  UNDERSTUDY_RETURN_IF_ERROR(opened);
  KeepReserve();
  {
    const std::unique_lock lock(db_mutex_);
    db_.reset(db);
  }
  std::string stored;
  const leveldb::Status got = db_->Get({}, kVersionKey, &stored);
  if (!got.ok() && !got.IsNotFound()) return FromLevelDb(got, dir_);
  if (got.ok() && stored.size() != 8) return {StatusCode::kCorruption, dir_ + ": the version is not 8 bytes"};
  version_ = got.ok() ? Load64(stored.data()) : 0;
  keys_ = 0;
  const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator({}));
  for (it->Seek(std::string(1, kEntryTag)); it->Valid() && it->key().starts_with(std::string(1, kEntryTag));
       it->Next()) {
    ++keys_;
  }
  return FromLevelDb(it->status(), dir_);
}

// Zeros whose space is given up on a full disk, so that changes go on: takeovers there need few, and small ones.
void EmbeddedMetadataStore::KeepReserve() {
  const Result<bool> there = files_->Exists(ReservePath());
  if (!there.ok() || *there || !CheckRoom(files_, dir_, 2 * kReserveBytes).ok()) return;
  const std::string temporary = ReservePath() + ".tmp";
  const auto make = [&]() -> Status {
    auto file = files_->OpenForWrite(temporary, FileSystem::OpenMode::kTruncate);
    if (!file.ok()) return file.status();
    UNDERSTUDY_RETURN_IF_ERROR((*file)->WriteZeros(0, kReserveBytes));
    UNDERSTUDY_RETURN_IF_ERROR((*file)->Sync());
    return files_->Rename(temporary, ReservePath());
  };
  if (!make().ok()) (void)files_->Remove(temporary);
}

void EmbeddedMetadataStore::Submit(Call call) {
  const bool change = call.kind == Call::Kind::kSwap || call.kind == Call::Kind::kDelete;
  if (call.key.size() > kMetadataKeyBytesMax || (change && call.key.empty()) ||
      call.value.size() > kMetadataValueBytesMax) {
    return call.Fail({StatusCode::kInvalidArgument, "key or value empty or too long: " + call.key.substr(0, 100)});
  }
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + reads_.size() < options_.queue_max && !stopping_) {
      if (change) ++changing_[call.key];
      if (call.kind == Call::Kind::kGet && !changing_.contains(call.key)) {
        reads_.push_back(std::move(call));
        wake_reader_.notify_one();
        return;
      }
      queue_.push_back(std::move(call));
      wake_.notify_one();
      return;
    }
  }
  call.Fail({StatusCode::kResourceExhausted, "too many metadata calls are waiting"});
}

void EmbeddedMetadataStore::Run() {
  while (true) {
    std::deque<Call> calls;
    bool stop = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      stop = stopping_;
      while (!queue_.empty() && (stop || calls.size() < kGroupMax)) {
        calls.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    if (stop) {
      for (Call& call : calls) call.Fail({StatusCode::kCancelled, "the metadata store is closing"});
      return;
    }
    Serve(std::move(calls));
  }
}

// A Get of a key that nobody is changing needs not wait for the sync of other keys' changes. LevelDB shows a change
// only once it is synced, and a change that was answered is shown: linearizable.
void EmbeddedMetadataStore::RunReader() {
  while (true) {
    std::optional<Call> call;
    bool stop = false;
    {
      std::unique_lock lock(mutex_);
      wake_reader_.wait(lock, [this] { return stopping_ || !reads_.empty(); });
      stop = stopping_;
      if (stop && reads_.empty()) return;
      call = std::move(reads_.front());
      reads_.pop_front();
    }
    if (stop) {
      call->Fail({StatusCode::kCancelled, "the metadata store is closing"});
    } else if (!ReadOne(&*call)) {
      std::unique_lock lock(mutex_);
      if (!stopping_) {
        queue_.push_back(std::move(*call));
        wake_.notify_one();
        continue;
      }
      lock.unlock();
      call->Fail({StatusCode::kCancelled, "the metadata store is closing"});
    }
  }
}

bool EmbeddedMetadataStore::ReadOne(Call* call) {
  std::optional<MetadataEntry> found;
  Status status;
  {
    const std::shared_lock lock(db_mutex_);
    if (db_ == nullptr || !broken_.ok()) return false;
    status = FindStored(call->key, &found);
  }
  status.ok() ? call->got(std::move(found)) : call->got(status);
  return true;
}

void EmbeddedMetadataStore::Serve(std::deque<Call> calls) {
  for (Call& call : calls) {
    if (call.kind == Call::Kind::kSwap || call.kind == Call::Kind::kDelete) changed_keys_.push_back(call.key);
    Status status = broken_;
    if (status.ok() && db_ == nullptr) status = OpenDb();  // it was closed because the disk was full
    if (status.ok()) status = ServeOne(&call);
    if (!status.ok()) {
      Answer([call = std::make_shared<Call>(std::move(call)), status](const Status&) { call->Fail(status); });
    }
  }
  if (Commit().ok()) KeepReserve();
}

Status EmbeddedMetadataStore::ServeOne(Call* call) {
  if (call->kind == Call::Kind::kList) return ServeList(call);
  if (call->kind != Call::Kind::kGet) return ServeChange(call);
  std::optional<MetadataEntry> found;
  UNDERSTUDY_RETURN_IF_ERROR(Find(call->key, &found));
  Answer([done = std::move(call->got), found = std::move(found)](const Status& wrote) {
    if (!wrote.ok()) return done(wrote);  // what it saw may be gone
    done(found);
  });
  return Status::Ok();
}

Status EmbeddedMetadataStore::Find(const std::string& key, std::optional<MetadataEntry>* found) {
  if (const auto at = overlay_.find(key); at != overlay_.end()) {
    *found = at->second;
    return Status::Ok();
  }
  return FindStored(key, found);
}

Status EmbeddedMetadataStore::FindStored(const std::string& key, std::optional<MetadataEntry>* found) {
  std::string stored;
  const leveldb::Status got = db_->Get({}, EntryKey(key), &stored);
  if (got.IsNotFound()) return Status::Ok();
  if (!got.ok()) return FromLevelDb(got, key);
  if (stored.size() < 8) return {StatusCode::kCorruption, dir_ + ": the value of " + key + " has no version"};
  *found = MetadataEntry{key, stored.substr(8), Load64(stored.data())};
  return Status::Ok();
}

Status EmbeddedMetadataStore::ServeList(Call* call) {
  UNDERSTUDY_RETURN_IF_ERROR(Commit());  // so that one place holds everything
  std::vector<MetadataEntry> entries;
  const std::string start = EntryKey(call->key);
  const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator({}));
  for (it->Seek(start); it->Valid() && it->key().starts_with(start) && entries.size() < call->limit; it->Next()) {
    if (it->value().size() < 8) return {StatusCode::kCorruption, dir_ + ": a value has no version"};
    entries.push_back({it->key().ToString().substr(1), it->value().ToString().substr(8), Load64(it->value().data())});
  }
  UNDERSTUDY_RETURN_IF_ERROR(FromLevelDb(it->status(), dir_));
  Answer([done = std::move(call->listed), entries = std::move(entries)](const Status&) { done(entries); });
  return Status::Ok();
}

Status EmbeddedMetadataStore::ServeChange(Call* call) {
  std::optional<MetadataEntry> found;
  UNDERSTUDY_RETURN_IF_ERROR(Find(call->key, &found));
  const uint64_t at = found ? found->version : 0;
  const bool removes = call->kind == Call::Kind::kDelete;
  Status refused;
  if (at != call->expected) {
    refused = {StatusCode::kConflict,
               call->key + " is at version " + std::to_string(at) + ", not " + std::to_string(call->expected)};
  } else if (removes && !found) {
    refused = {StatusCode::kNotFound, call->key};
  } else if (!removes && !found && keys_ >= options_.keys_max) {
    refused = {StatusCode::kResourceExhausted, "the metadata store holds its " + std::to_string(keys_) + " keys"};
  }
  if (!refused.ok()) {
    Answer([done = std::move(call->swapped), refused](const Status& wrote) { done(wrote.ok() ? refused : wrote); });
    return Status::Ok();
  }
  if (removes) --keys_;
  if (!removes && !found) ++keys_;
  ++version_;
  changes_.push_back({call->key, removes ? "" : std::move(call->value), version_});
  overlay_[call->key] = removes ? std::nullopt : std::optional(changes_.back());
  Answer([done = std::move(call->swapped), version = version_](const Status& wrote) {
    if (!wrote.ok()) return done(Status(StatusCode::kOutcomeUnknown, wrote.message()));
    done(version);
  });
  return Status::Ok();
}

// Makes the group durable, tells the watchers, answers. An error has been answered too, as kOutcomeUnknown.
Status EmbeddedMetadataStore::Commit() {
  Status wrote;
  if (!overlay_.empty()) {
    leveldb::WriteBatch batch;
    for (const auto& [key, entry] : overlay_) {
      if (!entry) {
        batch.Delete(EntryKey(key));
        continue;
      }
      std::string stored;
      Append64(&stored, entry->version);
      batch.Put(EntryKey(key), stored + entry->value);
    }
    std::string stored;
    Append64(&stored, version_);
    batch.Put(kVersionKey, stored);
    leveldb::WriteOptions synced;
    synced.sync = true;
    wrote = FromLevelDb(db_->Write(synced, &batch), "writing metadata in " + dir_);
  }
  overlay_.clear();
  if (!wrote.ok()) {
    LogError("metadata", wrote.ToString());
    CloseDb();
    // A full disk passes; LevelDB reads its own log again then. A failed sync does not pass.
    if (wrote.code() != StatusCode::kResourceExhausted) {
      const std::unique_lock lock(db_mutex_);
      broken_ = {StatusCode::kIoError, "metadata is read no more since a write failed; restart: " + wrote.message()};
    }
    changes_.clear();
  }
  const std::vector<MetadataEntry> changes = std::exchange(changes_, {});
  for (const MetadataEntry& entry : changes) {
    std::vector<std::shared_ptr<const Watcher>> told;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [id, watcher] : watchers_) {
        if (entry.key.starts_with(watcher->prefix)) told.push_back(watcher);
      }
    }
    for (const auto& watcher : told) watcher->changed(entry);
  }
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& key : changed_keys_) {
      const auto at = changing_.find(key);
      if (--at->second == 0) changing_.erase(at);
    }
    changed_keys_.clear();
  }
  const auto answers = std::exchange(answers_, {});
  for (const auto& answer : answers) answer(wrote);
  return wrote;
}

}  // namespace

Result<std::unique_ptr<MetadataStore>> OpenEmbeddedMetadataStore(const std::string& dir,
                                                                 const EmbeddedMetadataOptions& options,
                                                                 FileSystem* files) {
  UNDERSTUDY_RETURN_IF_ERROR(CreateDirs(files, dir));
  auto store = std::make_unique<EmbeddedMetadataStore>(dir, options, files);
  UNDERSTUDY_RETURN_IF_ERROR(store->Start());
  return std::unique_ptr<MetadataStore>(std::move(store));
}

}  // namespace understudy
