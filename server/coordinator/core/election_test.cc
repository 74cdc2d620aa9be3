// The lease among several coordinators: by example, and at random with several cores, one key, lost replies, writes
// that land late, watches that lag and processes that are stopped.
#include "server/coordinator/core/election.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "log/env/random.h"

namespace understudy::coordinator {
namespace {

constexpr int64_t kLeaseMs = 1000;

Instant At(int64_t ms) { return Instant(ms * kNsPerMs); }

ElectionOptions Named(const std::string& name, uint64_t incarnation) {
  ElectionOptions options;
  options.name = name;
  options.address = name + ":1";
  options.incarnation = incarnation;
  options.lease_ms = kLeaseMs;
  return options;
}

std::string LeaseOf(const std::string& name, uint64_t term, uint64_t beat, bool released = false) {
  return EncodeLease({term, name, name + ":1", 99, beat, kLeaseMs, released});
}

// Brings a core to where it has read `value` at time 0.
ElectionEffects Begin(Election* election, const std::string& value, uint64_t version) {
  ElectionEffects first;
  election->Tick(At(0), &first);
  EXPECT_NE(first.read, 0u);
  ElectionEffects out;
  election->ReadDone(first.read, Status::Ok(), value, version, At(0), &out);
  return out;
}

// Claims the absent key at time 0 and wins.
void Win(Election* election) {
  ElectionEffects out = Begin(election, "", 0);
  ASSERT_TRUE(out.cas);
  ElectionEffects won;
  election->CasDone(out.cas->id, StatusCode::kOk, 5, At(0), &won);
  ASSERT_TRUE(won.changed);
  ASSERT_TRUE(election->Leads(At(0)));
}

TEST(ElectionTest, AnAbsentLeaseIsTakenAtOnce) {
  Election election(Named("c1", 1));
  const ElectionEffects out = Begin(&election, "", 0);
  ASSERT_TRUE(out.cas);
  EXPECT_EQ(out.cas->expected, 0u);
  const Lease lease = *DecodeLease(out.cas->value);
  EXPECT_EQ(lease.term, 1u);
  EXPECT_EQ(lease.address, "c1:1");
  EXPECT_FALSE(election.Leads(At(0))) << "not before the answer";
}

TEST(ElectionTest, AStandbyWaitsForAWholeLeaseWithoutARenewal) {
  Election election(Named("c2", 2));
  EXPECT_FALSE(Begin(&election, LeaseOf("c1", 7, 1), 10).cas);
  EXPECT_EQ(election.Leader(At(0)), "c1:1");
  ElectionEffects renewed;
  election.Changed(LeaseOf("c1", 7, 2), 11, At(600), &renewed);
  ElectionEffects early;
  election.Tick(At(600 + kLeaseMs - 1), &early);
  EXPECT_FALSE(early.cas);
  EXPECT_EQ(early.wake_at, At(600 + kLeaseMs));
  ElectionEffects due;
  election.Tick(At(600 + kLeaseMs), &due);
  ASSERT_TRUE(due.cas);
  EXPECT_EQ(due.cas->expected, 11u);
  EXPECT_EQ(DecodeLease(due.cas->value)->term, 8u);
  EXPECT_EQ(election.Leader(At(600 + kLeaseMs)), "");
}

TEST(ElectionTest, ALeaderRenewsWithTheSameTermAndStopsWhenNothingAnswers) {
  Election election(Named("c1", 1));
  Win(&election);
  if (HasFatalFailure()) return;
  ElectionEffects renew;
  election.Tick(At(400), &renew);
  ASSERT_TRUE(renew.cas);
  EXPECT_EQ(renew.cas->expected, 5u);
  EXPECT_EQ(DecodeLease(renew.cas->value)->term, 1u);
  ElectionEffects renewed;
  election.CasDone(renew.cas->id, StatusCode::kOk, 6, At(500), &renewed);
  EXPECT_TRUE(election.Leads(At(400 + kLeaseMs - 1))) << "counted from when the renewal was sent";
  EXPECT_FALSE(election.Leads(At(400 + kLeaseMs)));
  ElectionEffects out;
  election.Tick(At(400 + kLeaseMs), &out);
  EXPECT_TRUE(out.changed);
  EXPECT_NE(out.why.find("did not answer"), std::string::npos);
}

TEST(ElectionTest, ALostAnswerIsSettledByReading) {
  Election election(Named("c1", 1));
  Win(&election);
  if (HasFatalFailure()) return;
  ElectionEffects renew;
  election.Tick(At(400), &renew);
  ElectionEffects lost;
  election.CasDone(renew.cas->id, StatusCode::kOutcomeUnknown, 0, At(450), &lost);
  ElectionEffects look;
  election.Tick(lost.wake_at, &look);
  ASSERT_NE(look.read, 0u);
  ElectionEffects settled;
  election.ReadDone(look.read, Status::Ok(), renew.cas->value, 6, lost.wake_at, &settled);
  EXPECT_TRUE(election.Leads(At(400 + kLeaseMs - 1)));
}

TEST(ElectionTest, AClaimThatLandsTooLateDoesNotLead) {
  Election election(Named("c1", 1));
  const ElectionEffects claim = Begin(&election, "", 0);
  ElectionEffects lost;
  election.CasDone(claim.cas->id, StatusCode::kOutcomeUnknown, 0, At(100), &lost);
  ElectionEffects late;
  election.Changed(claim.cas->value, 3, At(kLeaseMs + 1), &late);
  EXPECT_FALSE(election.Leads(At(kLeaseMs + 1)));
  EXPECT_FALSE(late.changed);
}

TEST(ElectionTest, AnotherLeaderDeposes) {
  Election election(Named("c1", 1));
  Win(&election);
  if (HasFatalFailure()) return;
  ElectionEffects out;
  election.Changed(LeaseOf("c2", 2, 1), 9, At(100), &out);
  EXPECT_TRUE(out.changed);
  EXPECT_FALSE(election.Leads(At(100)));
  EXPECT_EQ(election.Leader(At(100)), "c2:1");
}

TEST(ElectionTest, OneThatResignsHandsOverAtOnce) {
  Election first(Named("c1", 1));
  Win(&first);
  if (HasFatalFailure()) return;
  Election second(Named("c2", 2));
  Begin(&second, LeaseOf("c1", 1, 1), 5);
  ElectionEffects resign;
  first.Resign(At(50), &resign);
  EXPECT_FALSE(first.Leads(At(50)));
  ASSERT_TRUE(resign.cas);
  EXPECT_FALSE(first.settled());
  ElectionEffects done;
  first.CasDone(resign.cas->id, StatusCode::kOk, 6, At(60), &done);
  EXPECT_TRUE(first.settled());
  EXPECT_FALSE(done.cas);
  ElectionEffects seen;
  second.Changed(resign.cas->value, 6, At(60), &seen);
  ASSERT_TRUE(seen.cas) << "it does not wait for the lease to run out";
  EXPECT_EQ(DecodeLease(seen.cas->value)->term, 2u);
}

TEST(ElectionTest, AnEarlierRunOfTheSameCoordinatorIsNotWaitedFor) {
  Election election(Named("c1", 2));
  EXPECT_TRUE(Begin(&election, LeaseOf("c1", 7, 1), 10).cas);
}

// docs/operations.md tells operators to write this after a restore.
TEST(ElectionTest, ATermRaisedByHandIsGoneOnFrom) {
  Election election(Named("c1", 1));
  const ElectionEffects claim = Begin(&election, R"({"term": 1000, "coordinator": "restored", "released": true})", 10);
  ASSERT_TRUE(claim.cas);
  EXPECT_EQ(DecodeLease(claim.cas->value)->term, 1001u);
}

TEST(ElectionTest, WithoutALeaseTimeItLeadsAtOnceAndForGood) {
  ElectionOptions options = Named("c1", 1);
  options.lease_ms = 0;
  Election election(options);
  const ElectionEffects claim = Begin(&election, R"({"term":3,"coordinator":"old","paused":true})", 10);
  ASSERT_TRUE(claim.cas);
  ElectionEffects won;
  election.CasDone(claim.cas->id, StatusCode::kOk, 11, At(9000), &won);
  EXPECT_EQ(election.term(), 4u);
  EXPECT_TRUE(election.Leads(At(1'000'000'000)));
  EXPECT_EQ(won.wake_at, Instant::Never());
}

// ------------------------------------------------------------------ at random

// Cores, one key, and everything that can happen in between. Clocks run at one pace.
class World {
 public:
  World(uint64_t seed, int cores) : random_(seed) {
    for (int i = 0; i < cores; ++i) {
      cores_.push_back(std::make_unique<Process>());
      StartCore(i);
    }
  }

  void Run(int64_t until_ms, bool faults) {
    faults_ = faults;
    while (!events_.empty() && events_.begin()->first <= At(until_ms)) {
      auto node = events_.extract(events_.begin());
      now_ = std::max(now_, node.key());
      node.mapped()();
      Check();
    }
    now_ = At(until_ms);
    Check();
  }
  int64_t now_ms() const { return now_.ns() / kNsPerMs; }
  int Leader() const {
    for (size_t i = 0; i < cores_.size(); ++i) {
      if (!cores_[i]->stopped && cores_[i]->core->Leads(now_)) return static_cast<int>(i);
    }
    return -1;
  }
  uint64_t terms() const { return term_last_; }
  void WakeAll() {
    for (size_t i = 0; i < cores_.size(); ++i) Continue(i);
  }
  void Resign(int i) {
    Do(i, [this](Election* core, ElectionEffects* out) { core->Resign(now_, out); });
  }

 private:
  struct Process {
    std::unique_ptr<Election> core;
    uint64_t run = 0;  // answers to an earlier run are nobody's
    bool stopped = false;
    std::vector<std::function<void()>> held;  // arrives when it goes on
    Instant watched_until;                    // a watch delivers in order
    bool ticking = false;
  };

  void Later(int64_t ms, std::function<void()> fn) { events_.emplace(now_ + ms * kNsPerMs, std::move(fn)); }
  int64_t Delay() {
    return static_cast<int64_t>(faults_ && random_.Below(10) == 0 ? random_.Below(3000) : random_.Below(20));
  }

  void StartCore(size_t i) {
    Process& process = *cores_[i];
    ++process.run;
    process.held.clear();
    process.stopped = false;
    process.core = std::make_unique<Election>(Named("c" + std::to_string(i), random_.Next64()));
    Do(i, [this](Election* core, ElectionEffects* out) { core->Tick(now_, out); });
  }

  // Hands something to a core, or keeps it while that is stopped.
  void Arrive(size_t i, uint64_t run, std::function<void(Election*, ElectionEffects*)> fn) {
    Process& process = *cores_[i];
    if (process.run != run) return;
    if (process.stopped) {
      process.held.push_back([this, i, run, fn] { Arrive(i, run, fn); });
    } else {
      Do(i, fn);
    }
  }

  void Do(size_t i, const std::function<void(Election*, ElectionEffects*)>& fn) {
    Process& process = *cores_[i];
    ElectionEffects out;
    fn(process.core.get(), &out);
    const uint64_t run = process.run;
    if (out.read != 0) {
      const bool lost = faults_ && random_.Below(8) == 0;
      Later(Delay(), [this, i, run, lost, id = out.read] {
        const std::string value = value_;
        const uint64_t version = value_.empty() ? 0 : version_;
        if (lost && random_.Below(2) == 0) return;  // never answered
        Later(Delay(), [this, i, run, lost, id, value, version] {
          Arrive(i, run, [=, this](Election* core, ElectionEffects* effects) {
            core->ReadDone(id, lost ? Status(StatusCode::kUnavailable, "lost") : Status::Ok(), value, version, now_,
                           effects);
          });
        });
      });
    }
    if (out.cas) {
      const uint64_t fate =
          faults_ ? random_.Below(10) : 9;  // 0: never sent, 1: sent and lost, 2: answer lost, 3: both
      const ElectionEffects::Cas cas = *out.cas;
      const auto answer = [this, i, run, id = cas.id](StatusCode code, uint64_t version) {
        Later(Delay(), [=, this] {
          Arrive(i, run, [=, this](Election* core, ElectionEffects* effects) {
            core->CasDone(id, code, version, now_, effects);
          });
        });
      };
      if (fate == 0) {
        answer(StatusCode::kUnavailable, 0);
      } else if (fate == 1) {
        answer(StatusCode::kOutcomeUnknown, 0);
      } else {
        Later(Delay(), [this, cas, fate, answer] {
          const uint64_t known = value_.empty() ? 0 : version_;
          const bool done = known == cas.expected;
          if (done) Store(cas.value);
          if (fate == 2) {
            answer(StatusCode::kOutcomeUnknown, 0);
          } else if (fate != 3) {
            answer(done ? StatusCode::kOk : StatusCode::kConflict, done ? version_ : 0);
          }
        });
      }
    }
    if (out.wake_at != Instant::Never()) {
      events_.emplace(std::max(out.wake_at, now_), [this, i, run] {
        Arrive(i, run, [this](Election* core, ElectionEffects* effects) { core->Tick(now_, effects); });
      });
    }
  }

  void Store(const std::string& value) {
    value_ = value;
    ++version_;
    for (size_t i = 0; i < cores_.size(); ++i) {
      Process& process = *cores_[i];
      process.watched_until = std::max(process.watched_until, now_ + Delay() * kNsPerMs);
      events_.emplace(process.watched_until, [this, i, value, version = version_] {
        Arrive(i, cores_[i]->run, [this, value, version](Election* core, ElectionEffects* effects) {
          core->Changed(value, version, now_, effects);
        });
      });
    }
  }

  void Continue(size_t i) {
    Process& process = *cores_[i];
    if (!process.stopped) return;
    process.stopped = false;
    const auto held = std::move(process.held);
    process.held.clear();
    for (const auto& fn : held) fn();
  }

  // After every event; and it may strike.
  void Check() {
    int leading = 0;
    for (size_t i = 0; i < cores_.size(); ++i) {
      // A stopped one acts on nothing; when it goes on it looks at its lease first, so it is judged then.
      if (!cores_[i]->core->Leads(now_)) continue;
      ++leading;
      const uint64_t term = cores_[i]->core->term();
      ASSERT_GE(term, term_last_) << "terms grow";
      if (term > term_last_) {
        term_last_ = term;
        term_owner_ = i;
      }
      ASSERT_EQ(term_owner_, i) << "one coordinator a term";
    }
    ASSERT_LE(leading, 1) << "at " << now_ms() << " ms";
    if (!faults_ || random_.Below(60) != 0) return;
    const size_t i = random_.Below(cores_.size());
    if (random_.Below(4) == 0) {
      StartCore(i);  // killed and started again
    } else if (!cores_[i]->stopped) {
      cores_[i]->stopped = true;
      Later(static_cast<int64_t>(random_.Below(4000)), [this, i, run = cores_[i]->run] {
        if (cores_[i]->run == run) Continue(i);
      });
    }
  }

  SeededRandom random_;
  std::multimap<Instant, std::function<void()>> events_;
  Instant now_;
  bool faults_ = false;
  std::vector<std::unique_ptr<Process>> cores_;
  std::string value_;
  uint64_t version_ = 0;
  uint64_t term_last_ = 0;
  size_t term_owner_ = 0;
};

void RunSeed(uint64_t seed, uint64_t* terms) {
  SCOPED_TRACE("seed " + std::to_string(seed) + " (UNDERSTUDY_SEED runs it alone)");
  World world(seed, 2 + static_cast<int>(seed % 3));
  world.Run(60'000, true);
  if (testing::Test::HasFatalFailure()) return;
  world.WakeAll();
  // What is still on its way takes up to 3 s; then one leads, and goes on leading.
  world.Run(60'000 + 3000 + 4 * kLeaseMs, false);
  if (testing::Test::HasFatalFailure()) return;
  const int leader = world.Leader();
  ASSERT_GE(leader, 0) << "nobody leads";
  const uint64_t term = world.terms();
  world.Run(world.now_ms() + 20 * kLeaseMs, false);
  if (testing::Test::HasFatalFailure()) return;
  ASSERT_EQ(world.terms(), term) << "a leader without faults keeps its lease";
  // Resigning takes no lease time.
  world.Resign(leader);
  world.Run(world.now_ms() + kLeaseMs / 5, false);
  if (testing::Test::HasFatalFailure()) return;
  ASSERT_GE(world.Leader(), 0) << "nobody took over what was handed over";
  ASSERT_NE(world.Leader(), leader);
  *terms += world.terms();
}

TEST(ElectionRandomTest, OneLeadsTermsGrowAndSomebodyLeadsInTheEnd) {
  const char* one = std::getenv("UNDERSTUDY_SEED");
  uint64_t terms = 0;
  const uint64_t seeds = 100;
  if (one != nullptr) return RunSeed(std::strtoull(one, nullptr, 10), &terms);
  for (uint64_t seed = 1; seed <= seeds && !HasFatalFailure(); ++seed) RunSeed(seed, &terms);
  if (HasFatalFailure()) return;
  EXPECT_GT(terms, 10 * seeds) << "leadership hardly ever changed: the faults do not bite";
}

}  // namespace
}  // namespace understudy::coordinator
