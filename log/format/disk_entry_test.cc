#include "log/format/disk_entry.h"

#include <gtest/gtest.h>

namespace understudy {
namespace {

TEST(DiskEntry, SurvivesEncoding) {
  for (const DiskState state : {DiskState::kActive, DiskState::kDraining, DiskState::kRetired}) {
    const DiskEntry entry{{0x12, 0x34}, "n1", "10.0.0.1:7401", 7, "rack 4", state};
    const Result<DiskEntry> decoded = DecodeDiskEntry(EncodeDiskEntry(entry));
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    EXPECT_EQ(*decoded, entry);
  }
}

TEST(DiskEntry, WithoutZoneAndStateIsAnActiveDisk) {
  const Result<DiskEntry> decoded =
      DecodeDiskEntry(R"({"disk":"00000000000000120000000000000034","node":"n1","address":"a:1","boot_count":3})");
  ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
  EXPECT_EQ(decoded->zone, "");
  EXPECT_EQ(decoded->state, DiskState::kActive);
}

TEST(DiskEntry, NamesWhatIsNoEntry) {
  for (const char* text :
       {"", "[]", "{}", R"({"disk":"12","node":"n","address":"a","boot_count":1})",
        R"({"disk":"00000000000000120000000000000034","node":"n1","address":"a:1","boot_count":-3})",
        R"({"disk":"00000000000000120000000000000034","node":"n1","address":"a:1","boot_count":3,"zone":7})",
        R"({"disk":"00000000000000120000000000000034","node":"n1","address":"a:1","boot_count":3,"state":"gone"})"}) {
    EXPECT_EQ(DecodeDiskEntry(text).status().code(), StatusCode::kCorruption) << text;
  }
}

}  // namespace
}  // namespace understudy
