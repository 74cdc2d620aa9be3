#include "client/replay/replay_queue.h"

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "log/format/batch.h"

namespace understudy {
namespace {

// Writes down what happens to it, in order.
class Diary : public StateMachine {
 public:
  void Apply(const Record& record) override { pages.push_back("apply " + std::to_string(record.lsn.value())); }
  std::unique_ptr<Snapshot> TakeSnapshot() override { return nullptr; }
  Status Load(CheckpointReader&) override { return Status::Ok(); }
  void Reset() override { pages.push_back("reset"); }
  std::vector<std::string> pages;  // touched by the queue's thread, read after Flush
};

ReleasedBatch Batch(uint64_t first, uint64_t count) {
  BatchBuilder builder;
  for (uint64_t i = 0; i < count; ++i) builder.Add("x", i + 1);
  auto bytes = std::make_shared<const std::string>(builder.Finish(LogId(1), Epoch(1), Lsn(first)));
  const size_t length = bytes->size();
  return {std::move(bytes), 0, length, Epoch(1), Lsn(first), Lsn(first + count - 1)};
}

void Flush(ReplayQueue* queue) {
  std::promise<void> done;
  queue->Run([&] { done.set_value(); });
  done.get_future().wait();
}

TEST(ReplayQueue, KeepsRecordsAndFunctionsInTheOrderTheyCame) {
  Diary diary;
  ReplayQueue queue(&diary, 1, [&](Lsn lsn) { diary.pages.push_back("applied " + std::to_string(lsn.value())); });
  std::promise<void> gate;
  queue.Run([&] { gate.get_future().wait(); });  // everything below is queued when it opens
  queue.Push(Batch(1, 2));
  queue.Push(Batch(3, 1));
  queue.Run([&] { diary.Reset(); });
  queue.Push(Batch(4, 1));
  gate.set_value();
  Flush(&queue);
  EXPECT_EQ(diary.pages,
            (std::vector<std::string>{"apply 1", "apply 2", "apply 3", "applied 3", "reset", "apply 4", "applied 4"}));
  EXPECT_EQ(queue.applied(), Lsn(4));
  EXPECT_EQ(queue.records_applied(), 4u);
}

TEST(ReplayQueue, DroppingRecordsKeepsFunctions) {
  Diary diary;
  ReplayQueue queue(&diary, 1, [](Lsn) {});
  std::promise<void> gate;
  queue.Run([&] { gate.get_future().wait(); });
  queue.Push(Batch(1, 10));
  queue.Run([&] { diary.Reset(); });
  queue.DropRecords();
  queue.Push(Batch(20, 1));
  gate.set_value();
  Flush(&queue);
  EXPECT_EQ(diary.pages, (std::vector<std::string>{"reset", "apply 20"}));
}

TEST(ReplayQueue, ALossMovesTheAppliedLsnOn) {
  Diary diary;
  ReplayQueue queue(&diary, 1, [](Lsn) {});
  std::vector<Released> released;
  released.push_back({LossGap{Lsn(1), Lsn(100)}, {}});
  released.push_back({std::nullopt, Batch(101, 1)});
  released.push_back({LossGap{Lsn(102), Lsn(200)}, {}});
  queue.Push(std::move(released));
  Flush(&queue);
  EXPECT_EQ(diary.pages, std::vector<std::string>{"apply 101"});
  EXPECT_EQ(queue.applied(), Lsn(200));
}

TEST(ReplayQueue, StopsWithThingsLeft) {
  Diary diary;
  std::promise<void> started;
  std::promise<void> gate;
  ReplayQueue queue(&diary, 1, [](Lsn) {});
  queue.Run([&] {
    started.set_value();
    gate.get_future().wait();
  });
  queue.Push(Batch(1, 1));
  started.get_future().wait();
  std::future<void> stopped = std::async(std::launch::async, [&] { queue.Stop(); });
  gate.set_value();
  stopped.get();
  queue.Run([&] { diary.Reset(); });  // too late, without effect
  EXPECT_LE(diary.pages.size(), 1u);
}

}  // namespace
}  // namespace understudy
