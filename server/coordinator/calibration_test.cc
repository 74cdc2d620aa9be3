// What is learnt of predictors in the metadata: written, found by the next leader, never lost or counted twice when
// another writes or a reply is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "log/rpc/event_loop.h"
#include "server/coordinator/calibration_store.h"

namespace understudy::coordinator {
namespace {

constexpr int64_t kMinute = 60'000;

class FakeClock : public Clock {
 public:
  Instant Now() override { return now_; }
  int64_t WallUnixMs() override { return 0; }
  void Advance(int64_t ms) { now_ = now_ + ms * kNsPerMs; }

 private:
  Instant now_ = Instant(kNsPerSecond);
};

// Answers at once; replies of writes can be lost before or after they take effect.
class MapStore : public MetadataStore {
 public:
  enum class Lose { kNothing, kBefore, kAfter } lose = Lose::kNothing;
  int writes = 0;
  std::map<std::string, MetadataEntry> values;

  void Get(const std::string& key, GetCallback done) override {
    const auto found = values.find(key);
    done(found == values.end() ? std::optional<MetadataEntry>() : std::optional<MetadataEntry>(found->second));
  }
  void List(const std::string&, size_t, ListCallback done) override { done(std::vector<MetadataEntry>()); }
  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) override {
    ++writes;
    const Lose how = std::exchange(lose, Lose::kNothing);
    if (how == Lose::kBefore) return done(Status(StatusCode::kOutcomeUnknown, "lost"));
    const auto found = values.find(key);
    if ((found == values.end() ? 0 : found->second.version) != expected) {
      return done(Status(StatusCode::kConflict, "conflict"));
    }
    values[key] = {key, std::move(value), ++version_};
    if (how == Lose::kAfter) return done(Status(StatusCode::kOutcomeUnknown, "lost"));
    done(version_);
  }
  void CompareAndDelete(const std::string&, uint64_t, CasCallback done) override {
    done(Status(StatusCode::kUnsupported, ""));
  }
  uint64_t Watch(const std::string&, WatchCallback) override { return 1; }
  void Unwatch(uint64_t) override {}

  void Set(const std::string& key, std::string value) { values[key] = {key, std::move(value), ++version_}; }

 private:
  uint64_t version_ = 0;
};

class CalibrationStoreTest : public testing::Test {
 protected:
  CalibrationStoreTest() { store_ = Make(); }

  std::shared_ptr<CalibrationStore> Make() {
    auto store = std::make_shared<CalibrationStore>(&loop_, &metadata_, "c");
    With([&] { store->Begin(); });
    return store;
  }
  template <class Fn>
  void With(Fn fn) {
    const EventLoop::Section section(&loop_);
    fn();
  }
  // Lets so much time pass that everything due is done.
  void Pass(int64_t ms) {
    for (int i = 0; i < 4; ++i) loop_.RunOnce(0);
    for (int64_t at = 0; at < ms; at += 1000) {
      clock_.Advance(1000);
      for (int i = 0; i < 4; ++i) loop_.RunOnce(0);
    }
  }
  void Record(int times, bool failed, const std::string& predictor = "trend") {
    With([&] {
      for (int i = 0; i < times; ++i) store_->Record(predictor, kMinute, 0.9, failed);
    });
  }
  double Outcomes(CalibrationStore* store, const std::string& predictor = "trend") {
    double outcomes = -1;
    With([&] {
      if (const ensemble::Calibration* known = store->Find(predictor)) outcomes = known->CountsOf(kMinute).outcomes;
    });
    return outcomes;
  }
  double Stored(const std::string& predictor = "trend") {
    const Result<ensemble::Calibration> decoded = ensemble::Calibration::Decode(metadata_.values[Key(predictor)].value);
    return decoded.ok() ? decoded->CountsOf(kMinute).outcomes : -1;
  }
  static std::string Key(const std::string& predictor) { return PredictorKey("c", predictor); }

  FakeClock clock_;
  MapStore metadata_;
  EventLoop loop_{&clock_};
  std::shared_ptr<CalibrationStore> store_;
};

TEST_F(CalibrationStoreTest, ManyOutcomesAreOneWriteAndTheNextLeaderGoesOn) {
  Record(7, true);
  EXPECT_EQ(Outcomes(store_.get()), 7);  // at once
  EXPECT_EQ(metadata_.writes, 0);
  Pass(60'000);
  EXPECT_EQ(metadata_.writes, 1);
  EXPECT_EQ(Stored(), 7);
  Pass(600'000);
  EXPECT_EQ(metadata_.writes, 1);  // nothing new, nothing written
  With([&] { store_->Rest(); });

  const auto next = Make();
  Outcomes(next.get());  // asked for: it is read
  Pass(0);
  EXPECT_EQ(Outcomes(next.get()), 7);
  store_ = next;
  Record(3, false);
  With([&] { store_->Rest(); });  // written at the end of its time, too
  Pass(0);
  EXPECT_EQ(Stored(), 10);
}

TEST_F(CalibrationStoreTest, WhatAnotherWroteMeanwhileIsKept) {
  Record(5, true);
  Pass(0);
  ensemble::Calibration theirs;
  for (int i = 0; i < 11; ++i) theirs.Record(kMinute, 0.5, false);
  metadata_.Set(Key("trend"), theirs.Encode());
  Pass(120'000);
  EXPECT_EQ(Stored(), 16);
  EXPECT_EQ(Outcomes(store_.get()), 16);
}

TEST_F(CalibrationStoreTest, ALostReplyCountsNothingTwiceAndLosesNothing) {
  for (MapStore::Lose how : {MapStore::Lose::kBefore, MapStore::Lose::kAfter}) {
    const double before = Outcomes(store_.get());
    metadata_.lose = how;
    Record(4, true);
    Pass(120'000);
    EXPECT_EQ(Stored(), std::max(before, 0.0) + 4);
    EXPECT_EQ(Outcomes(store_.get()), std::max(before, 0.0) + 4);
  }
}

TEST_F(CalibrationStoreTest, RubbishInTheMetadataIsWrittenOver) {
  metadata_.Set(Key("trend"), "rubbish");
  Record(2, false);
  Pass(120'000);
  EXPECT_EQ(Stored(), 2);
}

TEST_F(CalibrationStoreTest, NamesAreBoundedAndAPathMakesNoFolders) {
  Record(1, true, "/opt/plugins/mine.so");
  Pass(120'000);
  EXPECT_EQ(metadata_.values.count(PredictorKey("c", "_opt_plugins_mine.so")), 1u);
  for (size_t i = 0; i < 2 * CalibrationStore::kPredictorsMax; ++i) Record(1, true, "p" + std::to_string(i));
  Pass(120'000);
  EXPECT_LE(metadata_.values.size(), CalibrationStore::kPredictorsMax);
}

TEST_F(CalibrationStoreTest, OneThatDoesNotLeadLearnsNothing) {
  With([&] { store_->Rest(); });
  Record(5, true);
  Pass(120'000);
  EXPECT_EQ(metadata_.writes, 0);
  EXPECT_EQ(Outcomes(store_.get()), -1);
}

}  // namespace
}  // namespace understudy::coordinator
