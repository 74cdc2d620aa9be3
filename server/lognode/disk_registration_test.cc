#include "server/lognode/disk_registration.h"

#include <gtest/gtest.h>

#include <deque>

#include "log/rpc/await.h"

namespace understudy {
namespace {

// One entry, and errors that the test asked for.
class ScriptedStore : public MetadataStore {
 public:
  void Get(const std::string& key, GetCallback done) override {
    ++gets;
    if (!get_errors.empty()) {
      const Status error = get_errors.front();
      get_errors.pop_front();
      return done(error);
    }
    if (version == 0) return done(std::optional<MetadataEntry>());
    done(std::optional<MetadataEntry>(MetadataEntry{key, value, version}));
  }
  void CompareAndSwap(const std::string&, uint64_t expected, std::string changed, CasCallback done) override {
    if (expected != version) return done(Status(StatusCode::kConflict, "version"));
    if (!cas_lost.empty()) {
      const bool lands = cas_lost.front();
      cas_lost.pop_front();
      if (lands) value = changed, ++version;
      return done(Status(StatusCode::kOutcomeUnknown, "the answer is lost"));
    }
    value = std::move(changed);
    done(++version);
  }
  void List(const std::string&, size_t, ListCallback) override {}
  void CompareAndDelete(const std::string&, uint64_t, CasCallback) override {}
  uint64_t Watch(const std::string&, WatchCallback) override { return 0; }
  void Unwatch(uint64_t) override {}

  std::string value;
  uint64_t version = 0;
  int gets = 0;
  std::deque<Status> get_errors;
  std::deque<bool> cas_lost;  // answers that are lost; whether the change lands all the same
};

class DiskRegistrationTest : public ::testing::Test {
 protected:
  Status Register(uint64_t boot_count, const std::string& address) {
    std::optional<Status> outcome;
    {
      const EventLoop::Section section(&loop_);
      registration_.Register(boot_count, address, [&](Status status) { outcome = std::move(status); });
    }
    EXPECT_TRUE(DriveUntil(&loop_, 20 * kNsPerSecond, [&] { return outcome.has_value(); }));
    return outcome.value_or(Status(StatusCode::kInternal, "no outcome"));
  }
  DiskEntry Entry() { return *DecodeDiskEntry(store_.value); }
  void Put(uint64_t boot_count, DiskState state = DiskState::kActive) {
    store_.value = EncodeDiskEntry({disk_, "here", "old:1", boot_count, "", state});
    ++store_.version;
  }

  const DiskId disk_{1, 2};
  ScriptedStore store_;
  EventLoop loop_{SystemClock()};
  DiskRegistration registration_{&loop_, &store_, "test", disk_, "here", "z1"};
};

TEST_F(DiskRegistrationTest, CountsFirstAddressLater) {
  ASSERT_TRUE(Register(1, "").ok());
  EXPECT_EQ(Entry().boot_count, 1u);
  ASSERT_TRUE(Register(1, "a:1").ok());
  EXPECT_EQ(Entry().address, "a:1");
  ASSERT_TRUE(Register(2, "").ok());
  EXPECT_EQ(Entry().boot_count, 2u);
  EXPECT_EQ(Entry().address, "a:1");
}

TEST_F(DiskRegistrationTest, ACountThatIsNotAboveIsAnOldCopy) {
  for (const uint64_t known : {5, 6, 7}) {
    Put(known);
    EXPECT_EQ(Register(5, "").code(), StatusCode::kDataUnknown) << known;
    EXPECT_EQ(Entry().boot_count, known) << "nothing is changed";
  }
  Put(4);
  EXPECT_TRUE(Register(5, "").ok());
}

TEST_F(DiskRegistrationTest, ATwinThatCountsOnIsNoticed) {
  ASSERT_TRUE(Register(5, "a:1").ok());
  Put(6);
  EXPECT_EQ(Register(6, "").code(), StatusCode::kDataUnknown);
}

TEST_F(DiskRegistrationTest, TriesAgainUntilTheMetadataAnswer) {
  store_.get_errors = {{StatusCode::kUnavailable, ""}, {StatusCode::kDeadlineExceeded, ""}};
  EXPECT_TRUE(Register(5, "a:1").ok());
  EXPECT_EQ(store_.gets, 3);
}

TEST_F(DiskRegistrationTest, ALostAnswerIsSettledByLooking) {
  store_.cas_lost = {true};
  EXPECT_TRUE(Register(5, "a:1").ok()) << "it landed: an equal count is our own";
  store_.cas_lost = {false, true};
  EXPECT_TRUE(Register(6, "").ok());
  EXPECT_EQ(Entry().boot_count, 6u);
}

TEST_F(DiskRegistrationTest, ARetiredDiskKeepsItsCount) {
  Put(7);
  ASSERT_TRUE(Register(kCountUnchanged, "new:1").ok());
  EXPECT_EQ(Entry().boot_count, 7u);
  EXPECT_EQ(Entry().address, "new:1");
}

TEST_F(DiskRegistrationTest, SaysTheZoneAndKeepsTheState) {
  Put(4, DiskState::kDraining);
  ASSERT_TRUE(Register(5, "a:1").ok());
  EXPECT_EQ(Entry().zone, "z1");
  EXPECT_EQ(Entry().state, DiskState::kDraining);
}

TEST_F(DiskRegistrationTest, AnEntryThatIsNoneIsAnError) {
  store_.value = "{}";
  ++store_.version;
  EXPECT_EQ(Register(5, "a:1").code(), StatusCode::kCorruption);
}

}  // namespace
}  // namespace understudy
