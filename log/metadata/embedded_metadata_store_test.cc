#include "log/metadata/embedded_metadata_store.h"

#include <filesystem>
#include <future>

#include "log/env/faulty_file_system.h"
#include "log/env/logging.h"
#include "log/metadata/metadata_store_contract.h"

namespace understudy {
namespace {

class EmbeddedHarness : public MetadataStoreHarness {
 public:
  EmbeddedHarness() : dir_(testing::TempDir() + "metadata_" + std::to_string(SystemRandom()->Next64())) { Restart(); }
  ~EmbeddedHarness() override {
    store_.reset();
    std::filesystem::remove_all(dir_);
  }
  MetadataStore* store() override { return store_.get(); }
  void Restart() override {
    store_.reset();
    auto opened = OpenEmbeddedMetadataStore(dir_, {}, SystemFileSystem());
    UNDERSTUDY_CHECK(opened.ok());
    store_ = std::move(opened).value();
  }

 private:
  const std::string dir_;
  std::unique_ptr<MetadataStore> store_;
};

std::unique_ptr<MetadataStoreHarness> MakeEmbedded() { return std::make_unique<EmbeddedHarness>(); }
INSTANTIATE_TEST_SUITE_P(Embedded, MetadataStoreContract, testing::Values(&MakeEmbedded));

// Over the file system in memory.
class EmbeddedFaultTest : public testing::Test {
 protected:
  Status Open() {
    store_.reset();
    auto opened = OpenEmbeddedMetadataStore("/m", options_, &files_);
    if (!opened.ok()) return opened.status();
    store_ = std::move(opened).value();
    return Status::Ok();
  }
  Result<uint64_t> Swap(const std::string& key, uint64_t expected, const std::string& value) {
    std::promise<Result<uint64_t>> promise;
    store_->CompareAndSwap(key, expected, value,
                           [&](Result<uint64_t> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
  Result<std::optional<MetadataEntry>> Get(const std::string& key) {
    std::promise<Result<std::optional<MetadataEntry>>> promise;
    store_->Get(key, [&](Result<std::optional<MetadataEntry>> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  FaultyFileSystem files_{11};
  EmbeddedMetadataOptions options_;
  std::unique_ptr<MetadataStore> store_;
};

TEST_F(EmbeddedFaultTest, IsOpenedOnce) {
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(OpenEmbeddedMetadataStore("/m", {}, &files_).status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(EmbeddedFaultTest, AfterAFailedSyncNothingIsAnsweredAnyMore) {
  SetLogSink([](LogLevel, std::string_view, std::string_view) {});
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Swap("/a", 0, "1").ok());
  files_.FailSyncs(true);
  EXPECT_EQ(Swap("/b", 0, "1").status().code(), StatusCode::kOutcomeUnknown);
  files_.FailSyncs(false);
  EXPECT_EQ(Swap("/c", 0, "1").status().code(), StatusCode::kIoError);
  EXPECT_EQ(Get("/a").status().code(), StatusCode::kIoError);
  SetLogSink(nullptr);
}

TEST_F(EmbeddedFaultTest, OnAFullDiskItLivesOnItsReserveAndGoesOnWhenSpaceReturns) {
  SetLogSink([](LogLevel, std::string_view, std::string_view) {});
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Swap("/a", 0, "1").ok());
  const uint64_t with_reserve = files_.BytesUsed();
  files_.SetCapacity(with_reserve);
  ASSERT_TRUE(Open().ok()) << "what LevelDB must write to open is in the reserve";
  EXPECT_TRUE(Swap("/b", 0, std::string(1000, 'x')).ok());
  files_.SetCapacity(files_.BytesUsed());  // somebody else takes the rest of it
  EXPECT_EQ(Swap("/c", 0, std::string(1000, 'x')).status().code(), StatusCode::kOutcomeUnknown);
  EXPECT_EQ(Swap("/d", 0, "1").status().code(), StatusCode::kResourceExhausted);
  files_.SetCapacity(UINT64_MAX);
  EXPECT_TRUE(Swap("/d", 0, "1").ok());
  EXPECT_EQ((*Get("/a"))->value, "1");
  EXPECT_EQ((*Get("/b"))->value, std::string(1000, 'x'));
  store_.reset();  // its thread has made the reserve again by then
  EXPECT_GE(files_.BytesUsed(), with_reserve);
  SetLogSink(nullptr);
}

TEST_F(EmbeddedFaultTest, HoldsNoMoreKeysThanItsBound) {
  options_.keys_max = 2;
  ASSERT_TRUE(Open().ok());
  const uint64_t a = *Swap("/a", 0, "1");
  ASSERT_TRUE(Swap("/b", 0, "1").ok());
  EXPECT_EQ(Swap("/c", 0, "1").status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Swap("/a", a, "2").ok());
  ASSERT_TRUE(Open().ok()) << "the count survives a restart";
  EXPECT_EQ(Swap("/c", 0, "1").status().code(), StatusCode::kResourceExhausted);
}

TEST_F(EmbeddedFaultTest, EveryAnsweredChangeSurvivesACrashAtEveryOperation) {
  SetLogSink([](LogLevel, std::string_view, std::string_view) {});
  for (uint64_t crash_at = 1; crash_at <= 60; ++crash_at) {
    SCOPED_TRACE("crash at operation " + std::to_string(crash_at));
    ASSERT_TRUE(Open().ok());
    const std::string key = "/k" + std::to_string(crash_at);
    files_.CrashAt(crash_at);
    uint64_t answered = 0;
    std::string value;
    for (int i = 0; i < 10; ++i) {
      const std::string next = "value " + std::to_string(i);
      const Result<uint64_t> swapped = Swap(key, answered, next);
      if (!swapped.ok()) break;
      answered = *swapped;
      value = next;
    }
    store_.reset();
    files_.PowerLoss();
    ASSERT_TRUE(Open().ok());
    const auto found = Get(key);
    ASSERT_TRUE(found.ok());
    if (answered == 0) continue;
    ASSERT_TRUE(found->has_value()) << "lost an answered change";
    EXPECT_GE((*found)->version, answered);
    if ((*found)->version == answered) {
      EXPECT_EQ((*found)->value, value);
    }
  }
  SetLogSink(nullptr);
}

TEST(MetadataKeys, SortAsTheirNumbers) {
  EXPECT_EQ(LogKey("c", 12), "/understudy/c/logs/12");
  EXPECT_EQ(ServiceKey("c", "kv"), "/understudy/c/services/kv");
  EXPECT_EQ(NodeKey("c", "n1"), "/understudy/c/nodes/n1");
  EXPECT_EQ(DiskKey("c", "ab"), "/understudy/c/disks/ab");
  EXPECT_EQ(PlanKey("c", "kv"), "/understudy/c/plans/kv");
  EXPECT_EQ(PredictorKey("c", "t"), "/understudy/c/predictors/t");
  EXPECT_LT(EventKey("c", 9), EventKey("c", 10));
  EXPECT_LT(EventKey("c", 10), EventKey("c", UINT64_MAX));
}

}  // namespace
}  // namespace understudy
