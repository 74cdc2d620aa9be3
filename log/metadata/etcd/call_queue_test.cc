#include "log/metadata/etcd/call_queue.h"

#include <gtest/gtest.h>

#include <future>

namespace understudy::etcd {
namespace {

using Kind = Call::Kind;

class CallQueueTest : public testing::Test {
 protected:
  void Push(Kind kind, const std::string& key) { ASSERT_TRUE(queue_.Push({.kind = kind, .key = key}).ok()); }
  // The next call, which must not have to be waited for.
  Call* Next() { return queue_.Next(); }

  CallQueue queue_{8};
};

TEST_F(CallQueueTest, ACallWaitsForEarlierOnesThatConcernIt) {
  Push(Kind::kSwap, "/a");
  Push(Kind::kGet, "/a");   // waits for the swap
  Push(Kind::kGet, "/b");   // does not
  Push(Kind::kList, "/");   // waits for the swap
  Push(Kind::kSwap, "/c");  // waits for the List
  Push(Kind::kList, "/d");
  Call* const swap = Next();
  EXPECT_EQ(swap->kind, Kind::kSwap);
  EXPECT_EQ(Next()->key, "/b");
  EXPECT_EQ(Next()->key, "/d");
  queue_.Done(swap);
  Call* const get = Next();
  EXPECT_EQ(get->key, "/a");
  EXPECT_EQ(get->kind, Kind::kGet);
  Call* const list = Next();
  EXPECT_EQ(list->kind, Kind::kList) << "reads do not wait for reads";
  std::future<Call*> last = std::async(std::launch::async, [&] { return Next(); });
  EXPECT_EQ(last.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  queue_.Done(list);
  EXPECT_EQ(last.get()->key, "/c");
}

TEST_F(CallQueueTest, IsBounded) {
  for (int i = 0; i < 8; ++i) Push(Kind::kGet, "/a");
  EXPECT_EQ(queue_.Push({.kind = Kind::kGet, .key = "/a"}).code(), StatusCode::kResourceExhausted);
  (void)Next();
  Push(Kind::kGet, "/a");
}

TEST_F(CallQueueTest, CloseGivesBackWhatNobodyWorksOn) {
  Push(Kind::kGet, "/a");
  Push(Kind::kGet, "/b");
  (void)Next();
  const std::vector<Call> left = queue_.Close();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].key, "/b");
  EXPECT_EQ(Next(), nullptr);
  EXPECT_EQ(queue_.Push({.kind = Kind::kGet, .key = "/a"}).code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace understudy::etcd
