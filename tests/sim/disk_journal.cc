// The journal of a simulated disk: groups, syncs, crashes at every step between, and what a restart finds.
#include <algorithm>
#include <utility>

#include "tests/sim/disk.h"
#include "understudy/check.h"

namespace understudy::sim {

// ---- writing ----

void Disk::StartGroup() {
  if (busy_ || hung_ || queue_.empty() || !up()) return;
  busy_ = true;
  written_ = false;
  group_ = queue_.size();
  Reach(CrashPoint::kBeforeWrite);
  Later(speed_.write_us * 1000, [this] {
    written_ = true;
    Reach(CrashPoint::kAfterWrite);
    Sync();
  });
}

void Disk::Sync() {
  const int64_t sync_ns = stream_.Between(speed_.sync_us_min, speed_.sync_us_max) * 1000 * slow_;
  if (armed_.has_value() && armed_->point == CrashPoint::kPartlySynced) {
    Later(sync_ns / 2, [this] { Reach(CrashPoint::kPartlySynced); });
  }
  Later(sync_ns, [this] { FinishSync(); });
}

void Disk::FinishSync() {
  if (hung_) return Later(kNsPerMs, [this] { FinishSync(); });
  if (const int64_t down_ns = std::exchange(fail_sync_down_ns_, 0); down_ns > 0) {
    // The journal stops. The kernel has marked the pages clean: a second sync would succeed and save nothing. Were the
    // core to hand out more entries, they would be served: it must not.
    coverage_->Hit(Fault::fsync_error);
    world_->Note(node_, [] { return "fsync fails"; });
    queue_.clear();
    group_ = 0;
    written_ = busy_ = false;
    Step(DiskFailed{Status(StatusCode::kIoError, "fsync: Input/output error")});
    Later(down_ns, [this, down_ns] { Die(false, 0, down_ns); });
    return;
  }
  ++group_number_;
  for (size_t i = 0; i < group_; ++i) {
    media_.journal.push_back({queue_[i], group_number_, false});
    Index(queue_[i], false);
  }
  const uint64_t seq = queue_[group_ - 1].seq;
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(group_));
  group_ = 0;
  written_ = false;
  Reach(CrashPoint::kAfterSync);
  Later(speed_.answer_us * 1000, [this, seq] {
    busy_ = false;
    Step(Persisted{seq});
    StartGroup();
  });
}

void Disk::Index(const PersistEntry& entry, bool corrupt) {
  ReplicaLogState& log = logs_[entry.log];
  log.log = entry.log;
  log.sealed = std::max(log.sealed, entry.sealed_epoch);
  if (entry.trim_lsn > log.trim) {
    log.trim = entry.trim_lsn;
    for (auto& [key, stored] : batches_) {
      if (key.first != entry.log) continue;
      std::erase_if(stored, [&](const Stored& batch) { return batch.last <= entry.trim_lsn; });
    }
  }
  if (entry.batch == nullptr) return;
  auto at = std::find_if(log.epochs.begin(), log.epochs.end(), [&](const auto& e) { return e.epoch >= entry.epoch; });
  if (at == log.epochs.end() || at->epoch != entry.epoch) {
    at = log.epochs.insert(at, {entry.epoch, entry.attempt, entry.epoch_first_lsn, entry.epoch_first_lsn - 1});
  }
  at->tail = std::max(at->tail, entry.last_lsn);
  if (!corrupt && entry.last_lsn > log.trim) {
    batches_[{entry.log, entry.epoch}].push_back({entry.first_lsn, entry.last_lsn, entry.batch});
  }
}

// ---- crashes ----

void Disk::Reach(CrashPoint point) {
  if (!armed_.has_value() || armed_->point != point) return;
  // In its own event: what runs now still belongs to the process.
  Later(0, [this, armed = *armed_, point] {
    static constexpr Fault kFaults[] = {Fault::crash_idle, Fault::crash_before_write, Fault::crash_after_write,
                                        Fault::crash_partly_synced, Fault::crash_after_sync};
    coverage_->Hit(kFaults[static_cast<int>(point)]);
    Die(armed.power, armed.kept, armed.down_ns);
  });
  armed_.reset();
}

void Disk::Crash(CrashPoint point, bool power, size_t kept, int64_t down_ns) {
  if (!up()) return;
  armed_ = Armed{point, power, kept, down_ns};
  if (point == CrashPoint::kNow) return Reach(point);
  Later(20 * kNsPerMs, [this, point] {
    if (!armed_.has_value() || armed_->point != point) return;
    armed_->point = CrashPoint::kNow;
    Reach(CrashPoint::kNow);
  });
}

void Disk::Die(bool power, size_t kept, int64_t down_ns) {
  world_->Note(node_, [&] { return std::string(power ? "loses power" : "is killed"); });
  // What was written is in the page cache: it outlives the process, but not the machine, of which only a first part of
  // the group had reached the disk.
  size_t survive = written_ ? group_ : 0;
  if (power) {
    coverage_->Hit(Fault::power_loss);
    if (kept < survive) coverage_->Hit(Fault::torn_group);
    survive = std::min(kept, survive);
  } else if (survive > 0) {
    coverage_->Hit(Reached::disk_recovered_synced);  // by the restart, before it answers
  }
  const bool torn = power && written_ && survive < group_;
  if (survive > 0 || torn) ++group_number_;
  for (size_t i = 0; i < survive; ++i) media_.journal.push_back({queue_[i], group_number_, false});
  if (torn) media_.journal.push_back({queue_[survive], group_number_, true});  // half of a frame
  ++life_;
  queue_.clear();
  group_ = 0;
  written_ = busy_ = false;
  replica_.reset();
  effects_ = ReplicaEffects();
  armed_.reset();
  Break(&appends_);
  Break(&seals_);
  Break(&barriers_);
  Break(&reads_);
  Break(&fetches_);
  Break(&trims_);
  Break(&statuses_);
  repairer_.reset();
  own_fetches_.clear();
  Recover();  // the checkers look at what is on the disk, whoever is up
  world_->After(down_ns, [this, life = life_] {
    if (life == life_) Restart();
  });
}

// ---- restarts ----

void Disk::Restart() {
  if (up() || booting_) return;
  booting_ = true;
  Boot();
}

void Disk::Boot() {
  if (!metadata_->available()) {
    return world_->AfterOn(node_, 5 * kNsPerMs, [this] {
      if (booting_) Boot();
    });
  }
  booting_ = false;
  if (!metadata_->RaiseBootCount(media_.id, media_.boot_count)) {
    media_.retired = true;
    coverage_->Hit(Reached::disk_retired_rolled_back);
    world_->Note(node_, [] { return "finds that its directory is an old copy: retired"; });
  } else {
    ++media_.boot_count;
  }
  Recover();
  metadata_->Register(media_.id, name(), zone_);
  if (media_.retired) metadata_->SetState(media_.id, DiskState::kRetired);
  silent_ = media_.retired;
  ReplicaOptions options;
  options.disk = media_.id;
  options.retired = media_.retired;
  replica_ = std::make_unique<Replica>(options);
  for (const auto& [id, log] : logs_) replica_->Restore(log);
  world_->Note(node_, [&] { return "is up" + std::string(media_.retired ? ", retired" : ""); });
  StartRepairer();
}

void Disk::Retire(const char* why) {
  media_.retired = true;
  coverage_->Hit(Reached::disk_retired_corrupt);
  world_->Note(node_, [&] { return std::string(why) + ": retired"; });
  Later(0, [this] {
    silent_ = true;
    if (repairer_ != nullptr) Repair(RepairStop{});
    if (metadata_->available()) metadata_->SetState(media_.id, DiskState::kRetired);
    Step(RetireDisk{Status(StatusCode::kDataUnknown, "a read met damage")});
  });
}

// Scans the journal: damage in the last group is a torn write, damage before it retires the disk.
void Disk::Recover() {
  std::vector<JournalEntry>& journal = media_.journal;
  const uint64_t last_group = journal.empty() ? 0 : journal.back().group;
  for (size_t i = 0; i < journal.size(); ++i) {
    if (!journal[i].corrupt) continue;
    if (journal[i].group == last_group) {
      journal.resize(i);
      coverage_->Hit(Reached::disk_recovered_torn);
    } else if (!media_.retired) {
      media_.retired = true;
      coverage_->Hit(Reached::disk_retired_corrupt);
    }
  }
  logs_.clear();
  batches_.clear();
  for (const JournalEntry& entry : journal) Index(entry.entry, entry.corrupt);
}

void Disk::Wipe(int64_t down_ns) {
  coverage_->Hit(Fault::disk_wiped);
  if (up()) Die(true, 0, down_ns);
  Media fresh;
  fresh.id = media_.id;
  fresh.id.lo = ++generation_;
  media_ = std::move(fresh);
  damaged_ = false;
  copy_.reset();
  group_number_ = 0;
  Recover();
  world_->Note(node_, [&] { return "is wiped; its directory has id number " + std::to_string(generation_) + " now"; });
}

void Disk::KeepCopy() {
  if (media_.retired || !metadata_->available() || !up()) return;
  copy_ = media_;
  // The count is raised every minute; a copy from before the last time is told by it. One from after it is not, and is
  // outside of what we promise.
  if (metadata_->RaiseBootCount(media_.id, media_.boot_count)) ++media_.boot_count;
}

void Disk::RollBack(int64_t down_ns) {
  coverage_->Hit(Fault::disk_rolled_back);
  if (up()) Die(true, 0, down_ns);
  media_ = *copy_;
  damaged_ = true;
  Recover();
  world_->Note(node_, [] { return "gets an old copy of its directory back"; });
}

void Disk::FlipBit(uint64_t where) {
  std::vector<JournalEntry>& journal = media_.journal;
  const uint64_t last_group = journal.empty() ? 0 : journal.back().group;
  std::vector<size_t> batches;
  for (size_t i = 0; i < journal.size(); ++i) {
    if (journal[i].group != last_group && journal[i].entry.batch != nullptr) batches.push_back(i);
  }
  if (batches.empty() || media_.retired || damaged_) return;
  JournalEntry& entry = journal[batches[where % batches.size()]];
  entry.corrupt = true;
  damaged_ = true;
  coverage_->Hit(Fault::bit_flip);
  world_->Note(node_,
               [&] { return "a bit flips in the batch at LSN " + std::to_string(entry.entry.first_lsn.value()); });
  auto& stored = batches_[{entry.entry.log, entry.entry.epoch}];
  std::erase_if(stored, [&](const Stored& batch) { return batch.first == entry.entry.first_lsn; });
}

}  // namespace understudy::sim
