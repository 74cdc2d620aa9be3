#include "log/epoch/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

PlacementDisk Disk(uint64_t id, const std::string& node, const std::string& zone = "", bool draining = false) {
  return {{{id, 1}, node}, zone, draining};
}

std::vector<uint64_t> Place(const std::vector<PlacementDisk>& candidates, size_t count) {
  std::vector<uint64_t> ids;
  for (const ReplicaRef& ref : PlaceReplicas(candidates, count)) ids.push_back(ref.disk.hi);
  return ids;
}

TEST(Placement, TakesTheFirstWhenNothingSpeaksAgainst) {
  EXPECT_THAT(Place({Disk(1, "a"), Disk(2, "b"), Disk(3, "c"), Disk(4, "d")}, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(Place({Disk(1, "a")}, 3), ElementsAre(1));
  EXPECT_THAT(Place({}, 3), IsEmpty());
  EXPECT_THAT(Place({Disk(1, "a"), Disk(1, "a"), Disk(2, "b")}, 3), ElementsAre(1, 2));
}

TEST(Placement, NoTwoInOneZoneWhileThereAreEnough) {
  EXPECT_THAT(Place({Disk(1, "a", "x"), Disk(2, "b", "x"), Disk(3, "c", "y"), Disk(4, "d", "z")}, 3),
              ElementsAre(1, 3, 4));
  EXPECT_THAT(Place({Disk(1, "a", "x"), Disk(2, "b", "x"), Disk(3, "c", "x"), Disk(4, "d", "y")}, 3),
              ElementsAre(1, 4, 2));
}

TEST(Placement, NoTwoOnOneNodeWhileThereAreEnough) {
  EXPECT_THAT(Place({Disk(1, "a"), Disk(2, "a"), Disk(3, "b")}, 2), ElementsAre(1, 3));
  EXPECT_THAT(Place({Disk(1, "a", "x"), Disk(2, "a", "x"), Disk(3, "b", "x")}, 2), ElementsAre(1, 3));
}

TEST(Placement, DrainingOnlyWhenNothingElseIsThere) {
  EXPECT_THAT(Place({Disk(1, "a", "x", true), Disk(2, "b", "y"), Disk(3, "c", "y"), Disk(4, "d", "y")}, 3),
              ElementsAre(2, 3, 4));
  EXPECT_THAT(Place({Disk(1, "a", "x", true), Disk(2, "b", "y")}, 3), ElementsAre(2, 1));
}

TEST(Placement, FaultsAreCounted) {
  const auto faults = [](const std::vector<PlacementDisk>& disks) { return PlacementFaults(disks); };
  EXPECT_EQ(faults({Disk(1, "a"), Disk(2, "b"), Disk(3, "c")}), (std::array{0, 0, 0}));
  EXPECT_EQ(faults({Disk(1, "a"), Disk(2, "a"), Disk(3, "c")}), (std::array{0, 1, 1}));
  EXPECT_EQ(faults({Disk(1, "a", "x", true), Disk(2, "b", "x"), Disk(3, "c", "y")}), (std::array{1, 1, 0}));
}

}  // namespace
}  // namespace understudy
