// Removed services: their processes are stopped, also those that were out of sight when the service went.
#include <gtest/gtest.h>

#include <string>

#include "server/coordinator/core/scenario_testing.h"

namespace understudy::coordinator {
namespace {

class RemovalTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* line : {"none n1 n2", R"(apply {"name":"kv1","program":"/bin/kv"})", "run n1 kv1",
                             "chain kv1 1 n1", "role n1 PRIMARY kv1 epoch=1 applied=10", "run n2 kv1"}) {
      Run(line);
    }
  }
  std::string Run(const std::string& line) {
    std::string said;
    for (const std::string& effect : scenario_.Run(line)) said += effect + "\n";
    EXPECT_TRUE(scenario_.errors().empty()) << scenario_.errors().front();
    return said;
  }

  Scenario scenario_;
};

TEST_F(RemovalTest, EndsWhenItsProcessesHaveEnded) {
  EXPECT_NE(Run("remove kv1").find("n1 STOP_APP kv1"), std::string::npos);
  EXPECT_EQ(scenario_.core().services().count("kv1"), 1u);
  Run("exit n1 exit status 0");
  EXPECT_EQ(scenario_.core().services().count("kv1"), 0u);
}

TEST_F(RemovalTest, APrimaryThatWasOutOfSightIsStoppedWhenItReturns) {
  Run("silence n1");
  Run("at 3000");
  Run("remove kv1");
  ASSERT_EQ(scenario_.core().services().count("kv1"), 0u);
  EXPECT_NE(Run("heard n1").find("n1 STOP_APP kv1"), std::string::npos);
  Run("elect c2");
  EXPECT_NE(Run("heard n1").find("n1 STOP_APP kv1"), std::string::npos) << "by the next leader as well";
}

TEST_F(RemovalTest, AServiceThatIsNotUnderstoodIsNotTakenForRemoved) {
  Run("corrupt kv1");
  Run("elect c2");
  ASSERT_EQ(scenario_.core().services().count("kv1"), 0u);
  EXPECT_EQ(Run("heard n1").find("STOP_APP"), std::string::npos);
}

}  // namespace
}  // namespace understudy::coordinator
