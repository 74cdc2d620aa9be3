#include "server/understudyd/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "log/env/file.h"

namespace understudy {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::vector<std::string>& arguments) {
  const Result<DaemonOptions> options = ParseDaemonOptions(arguments);
  EXPECT_FALSE(options.ok());
  return options.ok() ? "" : options.status().message();
}

TEST(DaemonOptionsTest, DefaultsRunEverythingOnTheLoopback) {
  const Result<DaemonOptions> options = ParseDaemonOptions({});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(options->role, DaemonRole::kEmbedded);
  EXPECT_EQ(options->listen, "127.0.0.1:7400");
  EXPECT_EQ(options->log_listen, "127.0.0.1:7401");
  EXPECT_EQ(options->sample_interval_ms, 1000);
  EXPECT_TRUE(options->nodes.empty());
  EXPECT_FALSE(options->unsafe_no_fsync);
}

TEST(DaemonOptionsTest, ReadsRolesNodesAndLists) {
  const Result<DaemonOptions> options =
      ParseDaemonOptions({"agent", "--nodes", "n1:7001,n2", "--coordinators=a:1,b:2", "--labels", "rack=4"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(options->role, DaemonRole::kAgent);
  EXPECT_EQ(options->nodes, (std::vector<NodeSpec>{{"n1", 7001}, {"n2", 0}}));
  EXPECT_EQ(options->coordinators, (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_EQ(options->labels, (std::vector<std::string>{"rack=4"}));
}

TEST(DaemonOptionsTest, EveryErrorNamesItsFlag) {
  EXPECT_THAT(ErrorOf({"--no-such-flag"}), HasSubstr("--no-such-flag"));
  EXPECT_THAT(ErrorOf({"--heartbeat-ms"}), HasSubstr("--heartbeat-ms"));
  EXPECT_THAT(ErrorOf({"--heartbeat-ms", "soon"}), HasSubstr("--heartbeat-ms"));
  EXPECT_THAT(ErrorOf({"--heartbeat-ms", "5"}), HasSubstr("--heartbeat-ms: 5 is out of bounds"));
  EXPECT_THAT(ErrorOf({"--sample-interval-ms", "60001"}), HasSubstr("100 to 60000 ms"));
  EXPECT_THAT(ErrorOf({"--node-timeout-ms", "400"}), HasSubstr("--node-timeout-ms"));
  EXPECT_THAT(ErrorOf({"--listen", "7400"}), HasSubstr("--listen"));
  EXPECT_THAT(ErrorOf({"--log-listen", "127.0.0.1:99999"}), HasSubstr("--log-listen"));
  EXPECT_THAT(ErrorOf({"--coordinators", "a:0"}), HasSubstr("--coordinators"));
  EXPECT_THAT(ErrorOf({"--nodes", "n1:x"}), HasSubstr("--nodes"));
  EXPECT_THAT(ErrorOf({"--nodes", "../n1"}), HasSubstr("--nodes"));
  EXPECT_THAT(ErrorOf({"--nodes", "n1,n1"}), HasSubstr("named twice"));
  EXPECT_THAT(ErrorOf({"--nodes", "n1:7001,n2:7001"}), HasSubstr("given twice"));
  EXPECT_THAT(ErrorOf({"--labels", "rack"}), HasSubstr("--labels"));
  EXPECT_THAT(ErrorOf({"--cluster", "a/b"}), HasSubstr("--cluster"));
  EXPECT_THAT(
      ErrorOf({"--segment-bytes", "8388608"}),
      HasSubstr("--segment-bytes: 8388608 is out of bounds: of one journal file, 16777216 to 1073741824 bytes"));
  EXPECT_THAT(ErrorOf({"--log-quota-bytes", "-2"}), HasSubstr("--log-quota-bytes"));
  EXPECT_THAT(ErrorOf({"--repair-after-ms", "1"}), HasSubstr("--repair-after-ms"));
  EXPECT_THAT(ErrorOf({"--repair-bytes-per-second", "1000"}), HasSubstr("--repair-bytes-per-second"));
  EXPECT_THAT(ErrorOf({"--log-level", "loud"}), HasSubstr("--log-level"));
  EXPECT_THAT(ErrorOf({"--config", "/no/such/file"}), HasSubstr("--config: /no/such/file"));
  EXPECT_THAT(ErrorOf({"agent"}), HasSubstr("--nodes"));
  EXPECT_THAT(ErrorOf({"conductor"}), HasSubstr("'conductor' is no role"));
}

TEST(DaemonOptionsTest, OtherThanLoopbackNeedsInsecure) {
  EXPECT_THAT(ErrorOf({"--listen", "10.0.0.1:7400"}), HasSubstr("--insecure"));
  EXPECT_THAT(ErrorOf({"--log-listen", "10.0.0.1:7401"}), HasSubstr("--insecure"));
  EXPECT_THAT(ErrorOf({"--listen", "0.0.0.0:7400", "--insecure"}), HasSubstr("--advertise"));
  EXPECT_TRUE(ParseDaemonOptions({"--listen", "0.0.0.0:7400", "--advertise", "10.0.0.1:7400", "--insecure"}).ok());
  EXPECT_TRUE(ParseDaemonOptions({"--listen", "localhost:7400", "--log-listen", "[::1]:7401"}).ok());
}

TEST(DaemonOptionsTest, MetadataAreEmbeddedOrInEtcd) {
  EXPECT_EQ(ParseDaemonOptions({})->metadata, MetadataEngine::kEmbedded);
  const auto etcd = [](const std::string& endpoints) {
    return std::vector<std::string>{"coordinator", "--metadata", "etcd", "--etcd-endpoints", endpoints};
  };
  const Result<DaemonOptions> options = ParseDaemonOptions(etcd("http://127.0.0.1:1,http://localhost:2"));
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(options->metadata, MetadataEngine::kEtcd);
  EXPECT_EQ(options->etcd_endpoints, (std::vector<std::string>{"http://127.0.0.1:1", "http://localhost:2"}));
  EXPECT_THAT(ErrorOf({"--metadata", "zookeeper"}), HasSubstr("--metadata: 'zookeeper'"));
  EXPECT_THAT(ErrorOf({"--metadata", "etcd"}), HasSubstr("--etcd-endpoints"));
  EXPECT_THAT(ErrorOf({"--etcd-endpoints", "http://127.0.0.1:1"}), HasSubstr("--metadata etcd"));
  EXPECT_THAT(ErrorOf(etcd("127.0.0.1:1")), HasSubstr("is not http://host:port"));
  EXPECT_THAT(ErrorOf(etcd("http://127.0.0.1")), HasSubstr("is not http://host:port"));
  EXPECT_THAT(ErrorOf(etcd("http://127.0.0.1:1/v3")), HasSubstr("is not http://host:port"));
  EXPECT_THAT(ErrorOf(etcd("https://127.0.0.1:1")), HasSubstr("TLS"));
  EXPECT_THAT(ErrorOf(etcd("http://10.0.0.1:1")), HasSubstr("--insecure"));
  auto insecure = etcd("http://10.0.0.1:1");
  insecure.emplace_back("--insecure");
  EXPECT_TRUE(ParseDaemonOptions(insecure).ok());
  EXPECT_TRUE(ParseDaemonOptions({"log", "--etcd-endpoints", "http://10.0.0.1:1"}).ok()) << "one file for all roles";
}

TEST(DaemonOptionsTest, ConfigurationFileYieldsToTheCommandLine) {
  char path[] = "/tmp/understudyd_options_XXXXXX";
  ASSERT_GE(mkstemp(path), 0);
  ASSERT_TRUE(ReplaceFile(SystemFileSystem(), path, "heartbeat-ms = 100\n# a comment\nnodes = n1:7001,n2:7002\n").ok());
  const Result<DaemonOptions> options = ParseDaemonOptions({"--config", path, "--heartbeat-ms", "200"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(options->heartbeat_ms, 200);
  EXPECT_EQ(options->nodes.size(), 2u);
  ASSERT_TRUE(ReplaceFile(SystemFileSystem(), path, "heartbeats = 100\n").ok());
  EXPECT_THAT(ErrorOf({"--config", path}), HasSubstr("heartbeats"));
  EXPECT_TRUE(SystemFileSystem()->Remove(path).ok());
}

TEST(DaemonOptionsTest, HelpTellsUnitsDefaultsAndBounds) {
  const Result<DaemonOptions> options = ParseDaemonOptions({"--help"});
  ASSERT_TRUE(options.ok());
  EXPECT_THAT(options->answer, HasSubstr("--sample-interval-ms"));
  EXPECT_THAT(options->answer, HasSubstr("100 to 60000 ms"));
  EXPECT_THAT(options->answer, HasSubstr("=1000"));
  EXPECT_THAT(ParseDaemonOptions({"--version"})->answer, HasSubstr("understudyd 0."));
}

}  // namespace
}  // namespace understudy
