#include "client/replay/applier.h"

#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <atomic>

#include "log/format/batch.h"
#include "understudy/check.h"

namespace understudy {
namespace {

// Records gathered before the lanes run: enough to hide the fork and join (some microseconds), few enough that their
// views stay in the second-level cache.
constexpr size_t kGatherMax = 16 * 1024;
// Below this a fork costs more than it gains.
constexpr size_t kForkMin = 256;

std::atomic<uint64_t> forks{0};

}  // namespace

struct Applier::Lanes {
  explicit Lanes(int count)
      : arena(std::min(count, tbb::info::default_concurrency())), records(static_cast<size_t>(count)) {
    for (std::vector<Record>& lane : records) lane.reserve(kGatherMax);
  }
  tbb::task_arena arena;
  std::vector<std::vector<Record>> records;
  size_t gathered = 0;
  std::atomic<size_t> joined{0};
};

Applier::Applier(StateMachine* state_machine, int lanes) : state_machine_(state_machine) {
  UNDERSTUDY_CHECK(lanes >= 1 && lanes <= 64);
  if (lanes > 1) lanes_ = std::make_unique<Lanes>(lanes);
}

Applier::~Applier() = default;

void Applier::Flush() {
  auto run_lane = [this](std::vector<Record>& lane) {
    for (const Record& record : lane) state_machine_->Apply(record);
    lane.clear();
  };
  std::vector<std::vector<Record>>& all = lanes_->records;
  if (lanes_->gathered < kForkMin) {
    for (std::vector<Record>& lane : all) run_lane(lane);
  } else {
    // oneTBB orders fork, lanes and join by itself; said once more in words that race detectors understand, too.
    const auto body = [&](size_t i) {
      (void)forks.load(std::memory_order_acquire);
      run_lane(all[i]);
      lanes_->joined.fetch_add(1, std::memory_order_acq_rel);
    };
    lanes_->joined.store(0, std::memory_order_relaxed);
    forks.fetch_add(1, std::memory_order_acq_rel);
    lanes_->arena.execute([&] { tbb::parallel_for(size_t{0}, all.size(), body, tbb::simple_partitioner()); });
    UNDERSTUDY_CHECK(lanes_->joined.load(std::memory_order_acquire) == all.size());
  }
  lanes_->gathered = 0;
}

uint64_t Applier::Apply(std::span<const ApplyRange> ranges) {
  uint64_t applied = 0;
  Record record;
  for (const ApplyRange& range : ranges) {
    BatchIterator records(range.batch);
    while (records.Next(&record)) {
      if (record.lsn < range.from) continue;
      if (record.lsn > range.to) break;
      ++applied;
      if (!lanes_) {
        state_machine_->Apply(record);
      } else if (record.key == 0) {
        Flush();
        state_machine_->Apply(record);
      } else {
        lanes_->records[ReplayLane(record.key, static_cast<uint32_t>(lanes_->records.size()))].push_back(record);
        if (++lanes_->gathered == kGatherMax) Flush();
      }
    }
  }
  if (lanes_) Flush();
  return applied;
}

}  // namespace understudy
