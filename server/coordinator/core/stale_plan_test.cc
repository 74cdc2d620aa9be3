// What an earlier leader decided last may never have been written: its successor finds plans that name a node which has
// come to serve another service since. They are put right, and that service is left alone.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/coordinator/core/scenario_testing.h"

namespace understudy::coordinator {
namespace {

class StalePlanTest : public testing::Test {
 protected:
  // kv1 on n1 and kv2 on n2, n3 and n4 free.
  void Place(const std::string& kv1, const std::string& kv2) {
    for (const std::string& line :
         {std::string("none n1 n2"), "apply " + kv1, "apply " + kv2, std::string("run n1 kv1"),
          std::string("chain kv1 1 n1"), std::string("role n1 PRIMARY kv1 epoch=1 applied=10"),
          std::string("run n2 kv2"), std::string("chain kv2 1 n2"),
          std::string("role n2 PRIMARY kv2 epoch=1 applied=10"), std::string("run n3 kv1")}) {
      Run(line);
    }
  }
  void Run(const std::string& line) {
    said_ += "-- " + line + "\n";
    for (const std::string& effect : scenario_.Run(line)) said_ += effect + "\n";
    EXPECT_TRUE(scenario_.errors().empty()) << scenario_.errors().front();
  }
  // What n3 became by decisions that were not written: the primary of kv2.
  void AnotherLeadsAndN3ServesKv2(const std::string& runs) {
    Run("run n3 " + runs);
    Run("elect c2");
    since_ = said_.size();
    Run("role n3 PROMOTING kv2");
    Run("chain kv2 2 n3");
    Run("role n3 PRIMARY kv2 epoch=2 applied=10");
  }
  bool Said(const std::string& what) const { return said_.find(what, since_) != std::string::npos; }
  const ServiceState& service(const std::string& name) { return scenario_.core().services().at(name); }

  Scenario scenario_;
  std::string said_;
  size_t since_ = 0;
};

constexpr char kKv1[] = R"({"name":"kv1","program":"/bin/kv"})";
constexpr char kKv2[] = R"({"name":"kv2","program":"/bin/kv"})";

TEST_F(StalePlanTest, ATakeoverLeavesATargetThatServesAnother) {
  Place(kKv1, kKv2);
  Run("exit n1 killed by signal 9");
  ASSERT_TRUE(Said("n3 TAKE_OVER kv1 epoch=1")) << said_;
  AnotherLeadsAndN3ServesKv2("kv1");
  Run("heard n1");
  EXPECT_TRUE(Said("n1 START_APP kv1")) << said_;
  Run("run n1 kv1");
  EXPECT_TRUE(Said("n1 TAKE_OVER kv1 epoch=1")) << said_;
  Run("chain kv1 2 n1");
  Run("role n1 PRIMARY kv1 epoch=2");
  EXPECT_EQ(service("kv1").plan.move.kind, MoveKind::kNone) << said_;
  EXPECT_EQ(service("kv1").recoveries_failed, 0) << "the target had not failed";
  EXPECT_FALSE(Said("n3 RELEASE")) << said_;
  EXPECT_FALSE(Said("n3 STOP_APP")) << said_;
}

TEST_F(StalePlanTest, AStartDoesNotStopThePrimaryOfAnother) {
  Place(kKv1, R"({"name":"kv2","program":"/bin/other"})");
  Run("none n3");
  Run("exit n1 killed by signal 9");
  ASSERT_TRUE(Said("unplanned/start from=n1 to=n3")) << said_;
  AnotherLeadsAndN3ServesKv2("kv2");
  Run("heard n1");
  EXPECT_TRUE(Said("n1 START_APP kv1")) << said_;
  EXPECT_FALSE(Said("n3 STOP_APP")) << said_;
}

TEST_F(StalePlanTest, ASpareThatServesAnotherIsGivenUp) {
  for (const std::string other : {"/bin/kv", "/bin/other"}) {
    scenario_ = Scenario();
    said_.clear();
    since_ = 0;
    Place(R"({"name":"kv1","program":"/bin/kv","standby":true})", R"({"name":"kv2","program":")" + other + "\"}");
    ASSERT_EQ(service("kv1").plan.spare, "n3") << said_;
    AnotherLeadsAndN3ServesKv2(other == "/bin/kv" ? "kv1" : "kv2");
    Run("role n1 PRIMARY kv1 epoch=1 applied=10");
    EXPECT_EQ(service("kv1").plan.spare, "") << said_;
    Run("run n4 kv1");
    EXPECT_EQ(service("kv1").plan.spare, "n4") << said_;
    EXPECT_TRUE(Said("n4 FOLLOW kv1")) << said_;
    EXPECT_FALSE(Said("n3 RELEASE")) << said_;
    EXPECT_FALSE(Said("n3 STOP_APP")) << said_;
  }
}

TEST_F(StalePlanTest, OfTwoPlansThatNameOneSpareOneGivesItUp) {
  Place(R"({"name":"kv1","program":"/bin/kv","standby":true})",
        R"({"name":"kv2","program":"/bin/kv","standby":true})");
  ASSERT_EQ(service("kv1").plan.spare, "n3") << said_;
  // n3 went to kv2, which was written; that it left kv1 was not.
  Run(R"(plan kv2 {"coordinator":"c1","moves":1,"predicted_moves":0,"restarts":[],"service":"kv2",)"
      R"("spare":"n3","spare_reason":"standby","term":1})");
  Run("elect c2");
  since_ = said_.size();
  Run("role n2 PRIMARY kv2 epoch=1 applied=10");
  Run("role n1 PRIMARY kv1 epoch=1 applied=10");
  Run("role n3 REPLAYING kv2 caught_up");
  EXPECT_EQ(service("kv1").plan.spare, "") << said_;
  EXPECT_EQ(service("kv2").plan.spare, "n3") << "which it follows already\n" << said_;
  EXPECT_FALSE(Said("n3 RELEASE")) << said_;
}

TEST_F(StalePlanTest, ANewOwnerThatServesAnotherIsReplaced) {
  Place(kKv1, kKv2);
  for (const char* line : {"switchover kv1 n3", "role n3 REPLAYING kv1 caught_up", "role n3 MIRRORING kv1 caught_up",
                           "role n3 MIRRORING kv1 caught_up attempt=7"}) {
    Run(line);
  }
  ASSERT_TRUE(Said("n1 HANDOVER kv1")) << said_;
  Run("elect c2");
  Run("chain kv1 2 n3 7");  // and n3 died before it served
  since_ = said_.size();
  Run("run n3 kv1");
  Run("role n3 PROMOTING kv2");
  Run("chain kv2 2 n3");
  Run("role n3 PRIMARY kv2 epoch=2 applied=10");
  Run("run n4 kv1");
  EXPECT_TRUE(Said("n4 TAKE_OVER kv1 epoch=2")) << said_;
  EXPECT_FALSE(Said("n3 TAKE_OVER kv1")) << said_;
  EXPECT_FALSE(Said("n3 RELEASE")) << said_;
}

TEST_F(StalePlanTest, AnOldPrimaryThatServesAnotherIsNotRestarted) {
  Place(kKv1, kKv2);
  // n3 was kv1's primary, and was to be restarted: its process is the fourth that ran.
  Run(R"(plan kv1 {"coordinator":"c1","moves":1,"predicted_moves":0,"service":"kv1","spare":"","spare_reason":"",)"
      R"("restarts":[{"node":"n3","pid":103,"start_ticks":1}],"term":1})");
  AnotherLeadsAndN3ServesKv2("kv1");
  Run("role n1 PRIMARY kv1 epoch=1 applied=10");
  EXPECT_TRUE(service("kv1").plan.restarts.empty()) << said_;
  EXPECT_FALSE(Said("n3 STOP_APP")) << said_;
}

}  // namespace
}  // namespace understudy::coordinator
