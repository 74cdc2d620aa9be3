#include "log/format/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "log/env/random.h"

namespace understudy {
namespace {

// Test vectors of RFC 3720, appendix B.4.
TEST(Crc32cTest, AgreesWithTheStandard) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  std::string up;
  std::string down;
  for (int i = 0; i < 32; ++i) {
    up.push_back(static_cast<char>(i));
    down.push_back(static_cast<char>(31 - i));
  }
  EXPECT_EQ(Crc32c(up), 0x46DD794Eu);
  EXPECT_EQ(Crc32c(down), 0x113FDB5Cu);
}

TEST(Crc32cTest, HardwareAndTableAgreeWhereverItIsCut) {
  SeededRandom random(1);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random.Below(300), '\0');
    for (char& c : bytes) c = static_cast<char>(random.Next64());
    const size_t cut = random.Below(bytes.size() + 1);
    const uint32_t whole = Crc32c(bytes);
    EXPECT_EQ(whole, internal::ExtendCrc32cPortable(0, bytes));
    EXPECT_EQ(whole, ExtendCrc32c(Crc32c(bytes.substr(0, cut)), std::string_view(bytes).substr(cut)));
  }
}

}  // namespace
}  // namespace understudy
