// Metadata through whichever coordinator answers: a dead or stopped one costs a reader little, and a change is never
// sent twice.
#include "client/rpc/cluster.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "log/env/clock.h"
#include "log/rpc/await.h"
#include "log/rpc/rpc_server.h"

namespace understudy {
namespace {

constexpr int64_t kLongNs = 20 * kNsPerSecond;

// The metadata as one coordinator serves them.
class FakeCoordinator : public MetadataStore {
 public:
  explicit FakeCoordinator(EventLoop* loop, std::string value) : value_(std::move(value)) {
    RpcServerOptions options;
    options.cluster = "test";
    server = std::make_unique<RpcServer>(loop, options);
    server->Serve(this);
    EXPECT_TRUE(server->Listen("127.0.0.1:0").ok());
    address = server->address();
  }
  void Get(const std::string& key, GetCallback done) override {
    ++gets;
    if (hangs) return gets_held.push_back(std::move(done));
    done(std::optional(MetadataEntry{key, value_, 7}));
  }
  void List(const std::string&, size_t, ListCallback done) override { done(std::vector<MetadataEntry>()); }
  void CompareAndSwap(const std::string&, uint64_t, std::string, CasCallback done) override {
    ++swaps;
    if (hangs) return swaps_held.push_back(std::move(done));
    done(uint64_t{8});
  }
  void CompareAndDelete(const std::string&, uint64_t, CasCallback done) override { done(uint64_t{9}); }
  uint64_t Watch(const std::string&, WatchCallback) override { return 0; }
  void Unwatch(uint64_t) override {}

  std::string address;
  std::unique_ptr<RpcServer> server;
  bool hangs = false;
  int gets = 0, swaps = 0;
  std::vector<GetCallback> gets_held;
  std::vector<CasCallback> swaps_held;

 private:
  const std::string value_;
};

class ClusterTest : public ::testing::Test {
 protected:
  ClusterTest() : section_(new EventLoop::Section(&loop_)), a_(&loop_, "a"), b_(&loop_, "b") {
    ClusterOptions options;
    options.cluster = "test";
    options.coordinators = {a_.address, b_.address};
    options.name = "app";
    options.rpc_timeout_ms = 1000;
    cluster_ = std::make_unique<Cluster>(&loop_, options);
  }
  ~ClusterTest() override {
    cluster_->Close();
    cluster_.reset();
    for (FakeCoordinator* one : {&a_, &b_}) {
      one->gets_held.clear();
      one->swaps_held.clear();
      one->server.reset();
    }
    section_.reset();
  }
  // The value, and how long it took.
  std::string Get(int64_t* took_ms) {
    Result<std::optional<MetadataEntry>> answer = Status(StatusCode::kInternal, "none");
    bool done = false;
    const Instant began = SystemClock()->Now();
    cluster_->Get("k", [&](Result<std::optional<MetadataEntry>> result) {
      answer = std::move(result);
      done = true;
    });
    EXPECT_TRUE(Until(&done));
    *took_ms = (SystemClock()->Now() - began) / kNsPerMs;
    return answer.ok() ? (*answer)->value : answer.status().ToString();
  }
  Result<uint64_t> Swap() {
    Result<uint64_t> answer = Status(StatusCode::kInternal, "none");
    bool done = false;
    cluster_->CompareAndSwap("k", 1, "v", [&](Result<uint64_t> result) {
      answer = std::move(result);
      done = true;
    });
    EXPECT_TRUE(Until(&done));
    return answer;
  }
  bool Until(const bool* condition) {
    section_.reset();
    const bool done = DriveUntil(&loop_, kLongNs, [&] { return *condition; });
    section_ = std::make_unique<EventLoop::Section>(&loop_);
    return done;
  }

  EventLoop loop_{SystemClock()};
  std::unique_ptr<EventLoop::Section> section_;
  FakeCoordinator a_, b_;
  std::unique_ptr<Cluster> cluster_;
};

TEST_F(ClusterTest, AReadGoesPastACoordinatorThatHangs) {
  int64_t took_ms = 0;
  EXPECT_EQ(Get(&took_ms), "a");
  a_.hangs = true;
  EXPECT_EQ(Get(&took_ms), "b");
  EXPECT_LT(took_ms, 600);
  EXPECT_EQ(a_.gets, 2);
  EXPECT_EQ(Get(&took_ms), "b");
  EXPECT_EQ(a_.gets, 2) << "what answered last comes first";
}

TEST_F(ClusterTest, AReadGoesPastACoordinatorThatIsGone) {
  a_.server.reset();
  int64_t took_ms = 0;
  EXPECT_EQ(Get(&took_ms), "b");
  EXPECT_LT(took_ms, 600);
}

TEST_F(ClusterTest, AChangeIsSentOnOnlyWhenItWasNotSentBefore) {
  a_.server.reset();
  EXPECT_EQ(*Swap(), 8u) << "nobody listened at the first";
  EXPECT_EQ(b_.swaps, 1);
}

TEST_F(ClusterTest, AChangeThatAHangingCoordinatorTookIsInDoubt) {
  int64_t took_ms = 0;
  EXPECT_EQ(Get(&took_ms), "a");
  a_.hangs = true;
  EXPECT_EQ(Swap().status().code(), StatusCode::kOutcomeUnknown);
  EXPECT_EQ(b_.swaps, 0);
  EXPECT_EQ(*Swap(), 8u) << "the next goes elsewhere";
  EXPECT_EQ(a_.swaps, 1);
}

}  // namespace
}  // namespace understudy
