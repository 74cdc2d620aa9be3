// A store that crashes at every operation on its files, checked against a model: whatever was reported durable is there
// afterwards, seals and trims too; whatever is there afterwards is readable and what was appended.
#include <gtest/gtest.h>

#include <map>

#include "log/store/store_testing.h"

namespace understudy {
namespace {

constexpr uint64_t kLogs = 3;

class CrashModel {
 public:
  CrashModel(uint64_t seed, bool background_noise) : t(seed), random_(seed * 7919), noise_(background_noise) {
    t.options.segment_bytes = 64u << 10;
    t.options.group_bytes_max = 16u << 10;
  }

  // Some random work; ends early when the store dies under it.
  void Work(int steps) {
    for (int i = 0; i < steps && !t.files.crashed(); ++i) {
      const uint64_t log = 1 + random_.Below(kLogs);
      Log& model = logs_[log];
      const uint64_t what = random_.Below(20);
      if (what < 12) {
        if (model.epoch <= model.seal_asked) model.epoch = model.seal_asked + 1;
        JournalEntry probe;
        probe.log = LogId(log);
        probe.epoch = Epoch(model.epoch);
        probe.batch = MakeBatch(probe.log, probe.epoch, Lsn(1), 1, 3000);
        if (!t.store->Admit(probe).ok()) continue;
        const uint64_t seq = t.Append(log, model.epoch, 1 + static_cast<uint32_t>(random_.Below(4)),
                                      20 + random_.Below(random_.Below(8) == 0 ? 5000 : 300));
        asked_[seq] = {log, model.epoch, t.tails[{log, model.epoch}], 0, Lsn(0)};
      } else if (what == 12) {
        asked_[t.Seal(log, model.epoch)] = {log, model.epoch, Lsn(0), model.epoch, Lsn(0)};
        model.seal_asked = model.epoch;
      } else if (what == 13) {
        const uint64_t tail = t.tails[{log, model.epoch}].value();
        if (tail < 5) continue;
        // As a takeover would: an epoch begins above the end of the one before it, so one trim fits all.
        const uint64_t trim = random_.Below(tail);
        asked_[t.Trim(log, trim)] = {log, model.epoch, Lsn(0), 0, Lsn(trim)};
        model.trim_asked = std::max(model.trim_asked, Lsn(trim));
      } else if (what < 19) {
        Settle(t.CommitOne());
      } else if (noise_) {
        t.clock.now = t.clock.now + kNsPerSecond / 4;
        t.store->Maintain();
      }
    }
    while (!t.files.crashed() && t.store->HasPending()) Settle(t.CommitOne());
  }

  void Settle(const GroupOutcome& outcome) {
    if (!outcome.fatal.ok()) return;
    ASSERT_TRUE(outcome.failed.empty());
    while (!asked_.empty() && asked_.begin()->first <= outcome.durable_through) {
      const Asked& done = asked_.begin()->second;
      Log& model = logs_[done.log];
      Lsn& tail = model.durable[done.epoch];
      tail = std::max(tail, done.tail);
      if (done.tail.value() != 0) model.sealed = std::max(model.sealed, done.epoch - 1);
      model.sealed = std::max(model.sealed, done.seal);
      model.trim = std::max(model.trim, done.trim);
      asked_.erase(asked_.begin());
    }
  }

  // After a restart: compares, then takes what was recovered as the truth to go on from.
  void CheckRecovered() {
    ASSERT_FALSE(t.recovered.retired) << t.recovered.retired_reason;
    asked_.clear();
    for (auto& [log, model] : logs_) {
      const RecoveredLog* found = t.RecoveredOf(log);
      const bool anything = model.sealed > 0 || model.trim > Lsn(0) || !model.durable.empty();
      if (found == nullptr) {
        for (const auto& [epoch, tail] : model.durable) ASSERT_EQ(tail, Lsn(0)) << "log " << log << " is forgotten";
        ASSERT_FALSE(model.sealed > 0 || model.trim > Lsn(0)) << "log " << log << " is forgotten";
        (void)anything;
      } else {
        ASSERT_GE(found->sealed.value(), model.sealed) << "a seal of log " << log << " is lost";
        ASSERT_GE(found->trim, model.trim) << "a trim of log " << log << " is lost";
        ASSERT_LE(found->trim, model.trim_asked) << "a trim of log " << log << " nobody asked for";
      }
      const Lsn trim = found == nullptr ? Lsn(0) : found->trim;
      for (auto& [epoch, durable] : model.durable) {
        const RecoveredEpoch* state = t.Recovered(log, epoch);
        const Lsn tail = state == nullptr ? Lsn(0) : state->tail;
        if (state == nullptr && durable <= trim) continue;  // wholly trimmed, of a lower epoch
        ASSERT_GE(tail, durable) << "log " << log << " epoch " << epoch << " lost acknowledged records";
        const Lsn asked = t.tails[{log, epoch}];
        ASSERT_LE(tail, asked) << "records nobody appended";
        if (tail > trim) {
          ASSERT_EQ(t.Check(log, epoch, trim.value() + 1, tail.value()), "") << "log " << log << " epoch " << epoch;
        }
      }
      // What was appended and lost may be appended anew.
      for (auto& [key, tail] : t.tails) {
        if (key.first != log) continue;
        const RecoveredEpoch* state = t.Recovered(log, key.second);
        if (state != nullptr) tail = state->tail;
        if (state == nullptr && tail > trim) tail = Lsn(0);
        model.durable[key.second] = tail;
      }
      model.sealed = found == nullptr ? 0 : found->sealed.value();
      model.trim = model.trim_asked = trim;
      model.seal_asked = model.sealed;
      model.epoch = std::max<uint64_t>(model.epoch, model.sealed + 1);
    }
  }

  TestStore t;

 private:
  struct Asked {
    uint64_t log;
    uint64_t epoch;
    Lsn tail;
    uint64_t seal;
    Lsn trim;
  };
  struct Log {
    uint64_t epoch = 1;
    uint64_t seal_asked = 0;
    uint64_t sealed = 0;
    Lsn trim;
    Lsn trim_asked;
    std::map<uint64_t, Lsn> durable;  // by epoch
  };
  SeededRandom random_;
  const bool noise_;
  std::map<uint64_t, Asked> asked_;  // by seq
  std::map<uint64_t, Log> logs_;
};

// Crashes at operation `at` of the work that seed `seed` makes, recovers (with a second crash on the way), works on,
// crashes again, recovers.
void CrashAndRecover(uint64_t seed, uint64_t at, bool power_loss) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", crash at operation " + std::to_string(at) +
               (power_loss ? ", power loss" : ", kill"));
  CrashModel model(seed, true);
  TestStore& t = model.t;
  t.files.CrashAt(at);
  const auto restart = [&] {
    t.store.reset();
    power_loss ? t.files.PowerLoss() : t.files.Kill();
  };
  if (t.Open().ok()) model.Work(120);
  restart();
  t.files.CrashAt(1 + at % 17);  // on the way up
  if (!t.Open().ok()) restart();
  t.files.CrashAt(0);
  const Status opened = t.Open();
  ASSERT_TRUE(opened.ok()) << opened.ToString();
  model.CheckRecovered();
  if (testing::Test::HasFatalFailure()) return;
  model.Work(40);
  restart();
  ASSERT_TRUE(t.Open().ok());
  model.CheckRecovered();
}

uint64_t OperationsOf(uint64_t seed) {
  CrashModel model(seed, true);
  UNDERSTUDY_CHECK(model.t.Open().ok());
  model.Work(120);
  return model.t.files.operations();
}

TEST(LogStoreCrashTest, EverythingDurableSurvivesAPowerLossAtEveryOperation) {
  QuietLog quiet;
  const uint64_t operations = OperationsOf(1);
  ASSERT_GT(operations, 100u);
  for (uint64_t at = 1; at <= operations && !HasFatalFailure(); ++at) CrashAndRecover(1, at, true);
}

TEST(LogStoreCrashTest, EverythingDurableSurvivesAKillAtEveryOperation) {
  QuietLog quiet;
  const uint64_t operations = OperationsOf(2);
  for (uint64_t at = 1; at <= operations && !HasFatalFailure(); ++at) CrashAndRecover(2, at, false);
}

TEST(LogStoreCrashTest, RandomWorkRandomCrashes) {
  QuietLog quiet;
  for (uint64_t seed = 100; seed < 160 && !HasFatalFailure(); ++seed) {
    CrashAndRecover(seed, 40 + seed * 37 % 250, seed % 2 == 0);
  }
}

// A killed process leaves whole groups in the page cache that no sync covered. What a start reports may be promised to
// others at once, so it must be on the disk by then.
TEST(LogStoreCrashTest, WhatAStartReportsSurvivesThePowerLossAfterIt) {
  QuietLog quiet;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TestStore t(seed);
    ASSERT_TRUE(t.Open().ok());
    for (int i = 0; i < 5; ++i) t.Append(1, 1, 1, 700);
    t.files.CrashAt(2);  // written, not synced
    EXPECT_FALSE(t.Commit().fatal.ok());
    t.store.reset();
    t.files.Kill();
    ASSERT_TRUE(t.Open().ok());
    ASSERT_EQ(t.Recovered(1, 1)->tail, Lsn(5)) << "a kill loses nothing that was written";
    t.store.reset();
    t.files.PowerLoss();
    ASSERT_TRUE(t.Open().ok());
    ASSERT_NE(t.Recovered(1, 1), nullptr);
    EXPECT_EQ(t.Recovered(1, 1)->tail, Lsn(5));
    EXPECT_EQ(t.Check(1, 1, 1, 5), "");
  }
}

// Long enough for segments to be recycled many times: old bytes must never pass for new ones.
TEST(LogStoreCrashTest, RecycledSegmentsAndManyRestarts) {
  QuietLog quiet;
  for (uint64_t seed = 1; seed <= 4 && !HasFatalFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CrashModel model(seed, true);
    ASSERT_TRUE(model.t.Open().ok());
    for (int round = 0; round < 12 && !HasFatalFailure(); ++round) {
      model.Work(150);
      model.t.store.reset();
      round % 3 == 0 ? model.t.files.Kill() : model.t.files.PowerLoss();
      ASSERT_TRUE(model.t.Open().ok());
      model.CheckRecovered();
    }
  }
}

}  // namespace
}  // namespace understudy
