#include "log/store/index.h"

#include <leveldb/db.h>

#include <mutex>

#include "log/env/leveldb_env.h"
#include "log/format/coding.h"

namespace understudy {
namespace {

// Keys: a tag, then numbers big-endian so that they sort; values little-endian like all our formats.
constexpr char kDisk = 'd';
constexpr char kPosition = 'p';
constexpr char kLog = 'l';
constexpr char kEpoch = 'e';
constexpr char kUse = 's';
constexpr char kExtent = 'x';

constexpr size_t kWriteBufferBytes = 4u << 20;
// Of an index opened on a full disk. Opening writes out two write buffers at most; a compaction that wants more fails.
constexpr uint64_t kOverlayBytesMax = 8 * kWriteBufferBytes;

class Key {
 public:
  explicit Key(char tag) : bytes_(1, tag) {}
  Key& Add(uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes_.push_back(static_cast<char>(value >> shift));
    return *this;
  }
  Key& Add(const LogEpoch& of) { return Add(of.log.value()).Add(of.epoch.value()); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

uint64_t NumberInKey(const leveldb::Slice& key, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = (value << 8) | static_cast<unsigned char>(key[1 + 8 * at + i]);
  return value;
}

std::string Pack(std::initializer_list<uint64_t> values) {
  std::string out;
  for (const uint64_t value : values) Append64(&out, value);
  return out;
}

uint64_t Unpack(const leveldb::Slice& value, size_t at) { return Load64(value.data() + 8 * at); }

std::string DiskValue(DiskId disk) { return Pack({1, disk.hi, disk.lo}); }  // 1: version of this format

// How many numbers a key and a value of each tag have.
bool RightSize(const leveldb::Slice& key, const leveldb::Slice& value) {
  const auto is = [&](size_t in_key, size_t in_value) {
    return key.size() == 1 + 8 * in_key && value.size() == 8 * in_value;
  };
  switch (key[0]) {
    case kDisk:
      return is(0, 3);
    case kPosition:
      return is(0, 3);
    case kLog:
      return is(1, 2);
    case kEpoch:
      return is(2, 7);
    case kUse:
      return is(3, 3);
    case kExtent:
      return is(3, 5);
    default:
      return false;
  }
}

}  // namespace

void IndexBatch::PutExtent(const LogEpoch& of, const Extent& extent) {
  batch_.Put(Key(kExtent).Add(of).Add(extent.first.value()).bytes(),
             Pack({extent.last.value(), extent.segment, extent.offset, extent.end, extent.batch_bytes}));
}
void IndexBatch::EraseExtent(const LogEpoch& of, Lsn first) {
  batch_.Delete(Key(kExtent).Add(of).Add(first.value()).bytes());
}
void IndexBatch::PutEpoch(const LogEpoch& of, const EpochRecord& record) {
  batch_.Put(Key(kEpoch).Add(of).bytes(),
             Pack({record.attempt.hi, record.attempt.lo, record.epoch_first_lsn.value(), record.tail.value(),
                   record.last.first_lsn.value(), record.last.last_lsn.value(), record.last.crc}));
}
void IndexBatch::EraseEpoch(const LogEpoch& of) { batch_.Delete(Key(kEpoch).Add(of).bytes()); }
void IndexBatch::PutLog(LogId log, const LogRecord& record) {
  batch_.Put(Key(kLog).Add(log.value()).bytes(), Pack({record.sealed.value(), record.trim.value()}));
}
void IndexBatch::PutUse(uint64_t segment, const LogEpoch& of, const SegmentUse& use) {
  batch_.Put(Key(kUse).Add(segment).Add(of).bytes(), Pack({use.first.value(), use.last.value(), use.bytes}));
}
void IndexBatch::EraseUse(uint64_t segment, const LogEpoch& of) {
  batch_.Delete(Key(kUse).Add(segment).Add(of).bytes());
}
void IndexBatch::SetPosition(const JournalPosition& position) {
  batch_.Put(Key(kPosition).bytes(), Pack({position.segment, position.offset, position.next_group}));
}

Index::Index(std::string dir, FileSystem* files) : dir_(std::move(dir)), files_(files), env_(NewLevelDbEnv(files)) {}
Index::~Index() = default;

Status Index::OpenDb() {
  db_.reset();  // before what it stands on
  overlay_env_.reset();
  overlay_.reset();
  Status opened = OpenWith(env_.get());
  if (opened.code() != StatusCode::kResourceExhausted) return opened;
  overlay_ = std::make_unique<OverlayFileSystem>(files_, kOverlayBytesMax);
  overlay_env_ = NewLevelDbEnv(overlay_.get());
  const Status readable = OpenWith(overlay_env_.get());
  return readable.ok() ? opened : readable;
}

Status Index::OpenWith(leveldb::Env* env) {
  leveldb::Options options;
  options.env = env;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.write_buffer_size = kWriteBufferBytes;
  leveldb::DB* db = nullptr;
  UNDERSTUDY_RETURN_IF_ERROR(FromLevelDb(leveldb::DB::Open(options, dir_, &db), "opening the index " + dir_));
  db_.reset(db);
  return Status::Ok();
}

Result<std::unique_ptr<Index>> Index::Open(const std::string& dir, DiskId disk, FileSystem* files) {
  UNDERSTUDY_RETURN_IF_ERROR(CreateDirs(files, dir));
  std::unique_ptr<Index> index(new Index(dir, files));
  const Status opened = index->OpenDb();
  if (index->db_ == nullptr) return opened;
  std::string stored;
  const leveldb::Status got = index->db_->Get({}, Key(kDisk).bytes(), &stored);
  if (got.IsNotFound()) {
    UNDERSTUDY_RETURN_IF_ERROR(opened);
    leveldb::WriteOptions synced;
    synced.sync = true;
    UNDERSTUDY_RETURN_IF_ERROR(FromLevelDb(index->db_->Put(synced, Key(kDisk).bytes(), DiskValue(disk)), dir));
  } else if (!got.ok()) {
    return FromLevelDb(got, dir);
  } else if (stored != DiskValue(disk)) {
    return Status(StatusCode::kCorruption, dir + ": the index belongs to another disk or a later version");
  }
  return index;
}

Result<IndexContent> Index::Load() {
  const std::shared_lock lock(mutex_);
  IndexContent content;
  const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator({}));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    const leveldb::Slice key = it->key();
    const leveldb::Slice value = it->value();
    if (key.empty() || !RightSize(key, value)) return Status(StatusCode::kCorruption, dir_ + ": unknown index entry");
    if (key[0] == kExtent) break;  // the bulk, and the last tag: looked up when needed
    const auto number = [&](size_t at) { return NumberInKey(key, at); };
    const auto field = [&](size_t at) { return Unpack(value, at); };
    if (key[0] == kPosition) content.position = {field(0), field(1), field(2)};
    if (key[0] == kLog) content.logs.push_back({LogId(number(0)), {Epoch(field(0)), Lsn(field(1))}});
    if (key[0] == kEpoch) {
      EpochRecord record;
      record.attempt = {field(0), field(1)};
      record.epoch_first_lsn = Lsn(field(2));
      record.tail = Lsn(field(3));
      record.last = {Lsn(field(4)), Lsn(field(5)), static_cast<uint32_t>(field(6))};
      content.epochs.push_back({{LogId(number(0)), Epoch(number(1))}, record});
    }
    if (key[0] == kUse) {
      content.uses.emplace_back(number(0), LogEpoch{LogId(number(1)), Epoch(number(2))},
                                SegmentUse{Lsn(field(0)), Lsn(field(1)), field(2)});
    }
  }
  UNDERSTUDY_RETURN_IF_ERROR(FromLevelDb(it->status(), dir_));
  return content;
}

Status Index::Write(IndexBatch* batch) {
  const std::shared_lock lock(mutex_);
  UNDERSTUDY_CHECK(writable());
  leveldb::WriteOptions synced;
  synced.sync = true;
  return FromLevelDb(db_->Write(synced, batch->batch()), "writing the index " + dir_);
}

Status Index::Reopen() {
  const std::unique_lock lock(mutex_);
  return OpenDb();
}

Status Index::Visit(const LogEpoch& of, Lsn from, const std::function<bool(const Extent&)>& visit) {
  const std::shared_lock lock(mutex_);
  if (db_ == nullptr) return {StatusCode::kUnavailable, dir_ + ": the index is closed"};
  const std::string prefix = Key(kExtent).Add(of).bytes();
  const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator({}));
  const std::string wanted = Key(kExtent).Add(of).Add(from.value()).bytes();
  it->Seek(wanted);
  if (!it->Valid()) {
    it->SeekToLast();
  } else if (it->key() != wanted) {
    it->Prev();
  }
  if (it->Valid() && !it->key().starts_with(prefix)) it->Next();  // nothing before `from`
  if (!it->Valid()) it->Seek(wanted);                             // it stood before the very first key
  for (; it->Valid() && it->key().starts_with(prefix); it->Next()) {
    if (!RightSize(it->key(), it->value())) return {StatusCode::kCorruption, dir_ + ": malformed extent"};
    Extent extent;
    extent.first = Lsn(NumberInKey(it->key(), 2));
    extent.last = Lsn(Unpack(it->value(), 0));
    extent.segment = Unpack(it->value(), 1);
    extent.offset = Unpack(it->value(), 2);
    extent.end = Unpack(it->value(), 3);
    extent.batch_bytes = Unpack(it->value(), 4);
    if (!visit(extent)) break;
  }
  return FromLevelDb(it->status(), dir_);
}

}  // namespace understudy
