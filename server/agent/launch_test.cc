#include "server/agent/launch.h"

#include <gtest/gtest.h>

#include "server/agent/run_record.h"

namespace understudy {
namespace {

Command StartCommand() {
  Command command;
  command.kind = CommandKind::kStartApp;
  command.service = "kv";
  command.program = "/bin/kv";
  return command;
}

TEST(LaunchTest, FillsInTheNodesOwnValues) {
  Command command = StartCommand();
  command.arguments = {"--port=${port}", "${endpoint}${node}", "$port ${HOME} ${", "--agent", "${agent}"};
  command.environment = {{"WHERE", "${node}"}, {"UNDERSTUDY_NODE", "somebody else"}};
  const auto launch = MakeLaunch(command, {"prod", "n1", "10.0.0.1", 7001, "unix:/run/n1.sock", "/run/n1.log"});
  ASSERT_TRUE(launch.ok()) << launch.status().ToString();
  EXPECT_EQ(launch->program, "/bin/kv");
  EXPECT_EQ(launch->output_path, "/run/n1.log");
  EXPECT_EQ(launch->arguments, (std::vector<std::string>{"--port=7001", "10.0.0.1:7001n1", "$port ${HOME} ${",
                                                         "--agent", "unix:/run/n1.sock"}));
  EXPECT_EQ(launch->environment, (std::map<std::string, std::string>{{"UNDERSTUDY_AGENT", "unix:/run/n1.sock"},
                                                                     {"UNDERSTUDY_CLUSTER", "prod"},
                                                                     {"UNDERSTUDY_NODE", "n1"},
                                                                     {"UNDERSTUDY_PORT", "7001"},
                                                                     {"UNDERSTUDY_SERVICE", "kv"},
                                                                     {"WHERE", "n1"}}));
}

TEST(LaunchTest, WhatTheNodeDoesNotHaveIsAnError) {
  Command command = StartCommand();
  command.arguments = {"--port", "${port}"};
  const auto launch = MakeLaunch(command, {"prod", "n1", "127.0.0.1", 0, "unix:/a", "/b"});
  EXPECT_EQ(launch.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(launch.status().message().find("node n1 has none"), std::string::npos) << launch.status().message();
  command = StartCommand();
  command.program.clear();
  EXPECT_EQ(MakeLaunch(command, {"prod", "n1", "h", 1, "a", "b"}).status().code(), StatusCode::kInvalidArgument);
}

TEST(RunRecordTest, RoundTripAndGarbage) {
  const RunRecord record{"boot", 42, 4711, "kv", 1 << 20};
  EXPECT_EQ(DecodeRunRecord(EncodeRunRecord(record)), record);
  for (const char* garbage : {"", "{", "[]", "{\"pid\":1}",
                              R"({"boot_id":1,"pid":1,"start_ticks":1,"service":"",)"
                              R"("memory_limit_bytes":0})"}) {
    EXPECT_FALSE(DecodeRunRecord(garbage).has_value()) << garbage;
  }
  EXPECT_FALSE(BootId().empty());
}

}  // namespace
}  // namespace understudy
