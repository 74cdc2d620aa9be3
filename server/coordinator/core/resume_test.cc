// A leading coordinator that is lost in the middle of anything: the next one, with what the metadata and the nodes say,
// brings every move to the same end, or rolls it back and does it again. Each scenario is cut before each of its lines;
// with all writes of the last step done, with all of them lost, and with all of them landing late, at each later line,
// when the next one leads already. The next one is another coordinator, or the same one started anew.
#include <gtest/gtest.h>

#include "server/coordinator/core/scenario_testing.h"

namespace understudy::coordinator {
namespace {

struct Conversation {
  std::string name;
  std::vector<std::string> setup;      // not cut
  std::vector<std::string> script;     // cut before each line
  std::string nodes;                   // heard again after a restart
  std::vector<std::string> must_send;  // a part of some effect, in the whole conversation
  std::string owner;
  uint64_t epoch = 0;
};

std::vector<Conversation> Conversations() {
  const std::vector<std::string> placed = {
      "none n1 n2",     R"(apply {"name":"kv1","program":"/bin/kv","standby":true})",
      "run n1 kv1",     "run n2 kv1",
      "chain kv1 1 n1", "role n1 PRIMARY kv1 epoch=1 applied=10"};
  std::vector<Conversation> all;
  all.push_back({"FirstStart",
                 {"none n1 n2", R"(apply {"name":"kv1","program":"/bin/kv"})"},
                 {"run n1 kv1", "run n2 kv1", "role n1 PROMOTING kv1", "chain kv1 1 n1", "role n1 PRIMARY kv1 epoch=1"},
                 "n1 n2",
                 {"n1 START_APP kv1", "n1 TAKE_OVER kv1 epoch=0"},
                 "n1",
                 1});
  all.push_back(
      {"Planned",
       {"none n1 n2", R"(apply {"name":"kv1","program":"/bin/kv"})", "run n1 kv1", "run n2 kv1", "chain kv1 1 n1",
        "role n1 PRIMARY kv1 epoch=1 applied=10"},
       {"forecast kv1 0.9 leak", "role n2 LOADING kv1", "role n2 REPLAYING kv1 caught_up",
        "role n2 MIRRORING kv1 caught_up", "forecast kv1 0.9 leak", "at 1500", "forecast kv1 0.9 leak", "at 2600",
        "role n2 MIRRORING kv1 caught_up attempt=7", "chain kv1 2 n2 7", "role n1 WARM", "role n2 PROMOTING kv1",
        "role n2 PRIMARY kv1 epoch=2", "at 4100", "exit n1 exit status 0", "run n1 kv1"},
       "n1 n2",
       {"n2 FOLLOW kv1", "n2 PREPARE kv1", "n1 HANDOVER kv1 epoch=1 attempt=7 to=n2", "n1 STOP_APP kv1",
        "n1 START_APP kv1"},
       "n2",
       2});
  Conversation killed{
      "Killed",
      placed,
      {"role n2 REPLAYING kv1 caught_up", "role n2 MIRRORING kv1 caught_up", "exit n1 killed by signal 9",
       "role n2 PROMOTING kv1", "chain kv1 2 n2", "role n2 PRIMARY kv1 epoch=2", "run n1 kv1",
       "role n1 REPLAYING kv1 caught_up", "role n1 MIRRORING kv1 caught_up"},
      "n1 n2",
      {"n2 TAKE_OVER kv1 epoch=1", "n1 START_APP kv1", "n1 FOLLOW kv1", "n2 MIRROR_TO kv1 n1:9000"},
      "n2",
      2};
  all.push_back(killed);
  all.push_back({"DiesWhileHandingOver",
                 placed,
                 {"role n2 REPLAYING kv1 caught_up", "role n2 MIRRORING kv1 caught_up", "switchover kv1",
                  "role n2 MIRRORING kv1 caught_up attempt=7", "exit n1 killed by signal 9", "chain kv1 2 n2",
                  "role n2 PRIMARY kv1 epoch=2"},
                 "n1 n2",
                 {"n2 TAKE_OVER kv1 epoch=1"},
                 "n2",
                 2});
  all.push_back({"InPlace",
                 {"none n1", R"(apply {"name":"kv1","program":"/bin/kv"})", "run n1 kv1", "chain kv1 1 n1",
                  "role n1 PRIMARY kv1 epoch=1"},
                 {"exit n1 killed by signal 9", "run n1 kv1", "role n1 PROMOTING kv1", "chain kv1 2 n1",
                  "role n1 PRIMARY kv1 epoch=2"},
                 "n1",
                 {"n1 START_APP kv1", "n1 TAKE_OVER kv1 epoch=1"},
                 "n1",
                 2});
  return all;
}

class ResumeTest : public testing::TestWithParam<Conversation> {};

// What becomes of what script[cut - 1] wanted to write.
enum class Writes { kDone, kLost, kLate };

struct Cut {
  size_t at = 0;  // before this line
  Writes writes = Writes::kDone;
  size_t landing = 0;  // kLate: before this line
  std::string next;    // who leads then
};

void RunCut(const Conversation& conversation, const Cut& cut) {
  SCOPED_TRACE("cut before line " + std::to_string(cut.at) + ", next is " + cut.next +
               (cut.writes == Writes::kLost   ? ", writes lost"
                : cut.writes == Writes::kLate ? ", writes land before line " + std::to_string(cut.landing)
                                              : ""));
  Scenario scenario;
  std::vector<std::string> effects;
  const auto run = [&](const std::string& line) {
    effects.push_back("-- " + line);
    for (const std::string& effect : scenario.Run(line)) effects.push_back(effect);
  };
  for (const std::string& line : conversation.setup) run(line);
  for (size_t i = 0; i < conversation.script.size(); ++i) {
    if (cut.writes != Writes::kDone && i + 1 == cut.at) run("writes hang");
    if (i == cut.at) {
      run("elect " + cut.next);
      run("heard " + conversation.nodes);
    }
    if (cut.writes == Writes::kLate && i == cut.landing) run("writes land");
    run(conversation.script[i]);
  }
  std::string all;
  for (const std::string& effect : effects) all += effect + "\n";
  ASSERT_TRUE(scenario.errors().empty()) << scenario.errors().front();
  const ServiceState& service = scenario.core().services().at("kv1");
  EXPECT_EQ(service.owner, conversation.owner) << all;
  EXPECT_EQ(service.epoch.value(), conversation.epoch) << all;
  EXPECT_EQ(service.plan.move.kind, MoveKind::kNone) << all;
  EXPECT_TRUE(service.plan.restarts.empty()) << all;
  for (const std::string& wanted : conversation.must_send) {
    EXPECT_NE(all.find(wanted), std::string::npos) << wanted << " was never sent in\n" << all;
  }
}

TEST_P(ResumeTest, EveryStepGoesOnUnderTheNextLeader) {
  for (const std::string next : {"c1", "c2"}) {
    for (size_t at = 0; at < GetParam().script.size(); ++at) {
      RunCut(GetParam(), {at, Writes::kDone, 0, next});
      if (at == 0) continue;
      RunCut(GetParam(), {at, Writes::kLost, 0, next});
      for (size_t landing = at; landing < GetParam().script.size(); ++landing) {
        RunCut(GetParam(), {at, Writes::kLate, landing, next});
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ResumeTest, testing::ValuesIn(Conversations()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace understudy::coordinator
