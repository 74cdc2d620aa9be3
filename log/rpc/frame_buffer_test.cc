#include "log/rpc/frame_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "log/env/random.h"

namespace understudy {
namespace {

constexpr size_t kMax = 1u << 20;

std::string Frame(const std::string& payload) {
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) {
    frame += static_cast<char>(payload.size() >> shift);
  }
  return frame + payload;
}

TEST(FrameBuffer, CutsTheStreamIntoFramesHoweverItArrives) {
  SeededRandom random(7);
  for (int round = 0; round < 30; ++round) {
    std::vector<std::string> sent;
    std::string stream;
    for (int i = 0; i < 50; ++i) {
      const size_t size = random.Below(5) == 0 ? random.Below(200'000) : random.Below(300);
      sent.emplace_back(size, static_cast<char>('a' + i % 26));
      stream += Frame(sent.back());
    }
    FrameBuffer buffer;
    std::vector<std::string> got;
    for (size_t at = 0; at < stream.size();) {
      size_t room = 0;
      char* space = buffer.Space(&room);
      ASSERT_GT(room, 0U);
      const size_t n =
          std::min({room, stream.size() - at, size_t{1} + random.Below(round % 2 == 0 ? 40'000 : 1'000'000)});
      std::memcpy(space, stream.data() + at, n);
      buffer.Received(n);
      at += n;
      for (;;) {
        const auto frame = buffer.Next(kMax);
        ASSERT_TRUE(frame.ok());
        if (!frame->has_value()) {
          break;
        }
        got.emplace_back(**frame);
      }
    }
    EXPECT_EQ(got, sent);
    EXPECT_EQ(buffer.bytes(), 0U);
  }
}

TEST(FrameBuffer, AnnouncedBytesTakeNoMemoryBeforeTheyCome) {
  FrameBuffer buffer;
  size_t room = 0;
  char* space = buffer.Space(&room);
  std::memcpy(space, "\x00\x0f\xff\xff", 4);  // just below 1 MiB
  buffer.Received(4);
  const auto frame = buffer.Next(kMax);
  ASSERT_TRUE(frame.ok());
  EXPECT_FALSE(frame->has_value());
  buffer.Space(&room);
  EXPECT_LE(buffer.capacity(), FrameBuffer::kStartBytes);
}

TEST(FrameBuffer, RefusesALongFrameAtItsHeader) {
  FrameBuffer buffer;
  size_t room = 0;
  std::memcpy(buffer.Space(&room), "\xff\xff\xff\xff", 4);
  buffer.Received(4);
  EXPECT_EQ(buffer.Next(kMax).status().code(), StatusCode::kInvalidArgument);
}

TEST(FrameBuffer, GivesMemoryBackWhenFramesBecomeSmall) {
  FrameBuffer buffer;
  const auto pass = [&buffer](const std::string& payload) {
    const std::string frame = Frame(payload);
    for (size_t at = 0; at < frame.size();) {
      size_t room = 0;
      char* space = buffer.Space(&room);
      const size_t n = std::min(room, frame.size() - at);
      std::memcpy(space, frame.data() + at, n);
      buffer.Received(n);
      at += n;
      ASSERT_TRUE(buffer.Next(kMax).ok());
    }
  };
  pass(std::string(kMax, 'x'));
  const size_t large = buffer.capacity();
  EXPECT_GE(large, kMax);
  for (int i = 0; i < 2000; ++i) {
    pass("small");
  }
  EXPECT_LT(buffer.capacity(), large / 8);
}

}  // namespace
}  // namespace understudy
