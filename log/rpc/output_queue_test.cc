#include "log/rpc/output_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace understudy {
namespace {

std::string Drain(OutputQueue* queue, size_t step) {
  std::string out;
  while (!queue->empty()) {
    iovec parts[3];
    const int count = queue->Fill(parts, 3);
    size_t taken = 0;
    for (int i = 0; i < count && taken < step; ++i) {
      const size_t n = std::min(step - taken, parts[i].iov_len);
      out.append(static_cast<const char*>(parts[i].iov_base), n);
      taken += n;
    }
    queue->Consume(taken);
  }
  return out;
}

TEST(OutputQueue, KeepsTheOrderOfCopiedAndSharedParts) {
  for (const size_t step : {1, 3, 7, 1000, 1'000'000}) {
    OutputQueue queue;
    std::string expected;
    auto shared = std::make_shared<const std::string>(20'000, 's');
    for (int i = 0; i < 20; ++i) {
      const std::string small(static_cast<size_t>(i) * 50, static_cast<char>('a' + i));
      queue.Append(small.data(), small.size());
      queue.AppendShared(shared, shared->data() + i, shared->size() - static_cast<size_t>(i));
      expected += small + shared->substr(static_cast<size_t>(i));
    }
    EXPECT_EQ(queue.bytes(), expected.size());
    EXPECT_EQ(Drain(&queue, step), expected);
    EXPECT_EQ(shared.use_count(), 1);
    EXPECT_EQ(queue.end_offset(), expected.size());
  }
}

TEST(OutputQueue, PatchesALengthAndTakesBackAFrame) {
  OutputQueue queue;
  queue.Append("before", 6);
  const uint64_t start = queue.end_offset();
  queue.Append("\0\0\0\0", 4);
  auto shared = std::make_shared<const std::string>(9000, 's');
  queue.AppendShared(shared, shared->data(), shared->size());
  queue.Append("tail", 4);
  queue.Patch32(start, 0x01020304);
  const uint64_t next = queue.end_offset();
  queue.Append("gone", 4);
  queue.AppendShared(shared, shared->data(), shared->size());
  queue.TruncateTo(next);
  EXPECT_EQ(Drain(&queue, 100), std::string("before\x01\x02\x03\x04") + *shared + "tail");
}

TEST(OutputQueue, TruncatesInsideAPartAndAfterSomeWasSent) {
  OutputQueue queue;
  queue.Append("abcdef", 6);
  queue.Consume(2);
  queue.TruncateTo(4);
  queue.Append("X", 1);
  EXPECT_EQ(Drain(&queue, 100), "cdX");
}

TEST(OutputQueue, TakesOverAnother) {
  OutputQueue first;
  OutputQueue second;
  first.Append("one", 3);
  auto shared = std::make_shared<const std::string>(9000, 's');
  second.Append("two", 3);
  second.AppendShared(shared, shared->data(), shared->size());
  first.AppendAll(std::move(second));
  first.Append("three", 5);
  EXPECT_EQ(Drain(&first, 1000), "onetwo" + *shared + "three");
}

}  // namespace
}  // namespace understudy
