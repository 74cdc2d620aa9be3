#include "client/writer/replica_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy {
namespace {

using ::testing::ElementsAre;

PlacementDisk Disk(uint64_t id, const std::string& zone = "", bool draining = false) {
  return {{{id, 1}, "n" + std::to_string(id)}, zone, draining};
}
std::vector<uint64_t> Better(const std::vector<CurrentReplica>& current, const std::vector<PlacementDisk>& others,
                             size_t target = 3, size_t ack_quorum = 2) {
  std::vector<uint64_t> ids;
  for (const ReplicaRef& disk : BetterDisks(current, others, target, ack_quorum).value_or(std::vector<ReplicaRef>())) {
    ids.push_back(disk.disk.hi);
  }
  return ids;
}

TEST(BetterDisks, StaysWhereItIsAsGoodAsAnywhere) {
  EXPECT_THAT(Better({{Disk(1)}, {Disk(2)}, {Disk(3)}}, {Disk(4), Disk(5)}), ElementsAre());
  EXPECT_THAT(Better({{Disk(1, "x")}, {Disk(2, "x")}, {Disk(3, "y")}}, {Disk(4, "y")}), ElementsAre());
}

TEST(BetterDisks, WidensWhenDisksReturn) {
  EXPECT_THAT(Better({{Disk(1)}, {Disk(2)}}, {Disk(3)}), ElementsAre(1, 2, 3));
  EXPECT_THAT(Better({{Disk(1)}, {Disk(2)}}, {}), ElementsAre());
}

TEST(BetterDisks, ReplacesTheLostAndOnlyWhenSomebodyIsThere) {
  EXPECT_THAT(Better({{Disk(1)}, {Disk(2), true}, {Disk(3)}}, {Disk(4)}), ElementsAre(1, 3, 4));
  EXPECT_THAT(Better({{Disk(1)}, {Disk(2), true}, {Disk(3)}}, {}), ElementsAre());
  EXPECT_THAT(Better({{Disk(1), true}, {Disk(2), true}, {Disk(3)}}, {Disk(4)}), ElementsAre(3, 4));
  EXPECT_THAT(Better({{Disk(1), true}, {Disk(2), true}, {Disk(3), true}}, {Disk(4)}), ElementsAre()) << "fewer than A";
}

TEST(BetterDisks, LeavesDrainingDisksWhenOthersAreThere) {
  EXPECT_THAT(Better({{Disk(1, "", true)}, {Disk(2)}, {Disk(3)}}, {Disk(4)}), ElementsAre(2, 3, 4));
  EXPECT_THAT(Better({{Disk(1, "", true)}, {Disk(2)}, {Disk(3)}}, {Disk(4, "", true)}), ElementsAre());
  EXPECT_THAT(Better({{Disk(1, "", true)}}, {Disk(2)}, 1, 1), ElementsAre(2));
}

TEST(BetterDisks, TakesABetterZone) {
  EXPECT_THAT(Better({{Disk(1, "x")}, {Disk(2, "x")}, {Disk(3, "y")}}, {Disk(4, "z")}), ElementsAre(1, 3, 4));
}

TEST(BetterDisks, FollowsALowerTarget) {
  EXPECT_THAT(Better({{Disk(1)}, {Disk(2)}, {Disk(3)}}, {}, 2, 2), ElementsAre(1, 2));
}

}  // namespace
}  // namespace understudy
