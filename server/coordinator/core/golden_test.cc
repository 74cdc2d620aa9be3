// The coordinator's decisions as conversations: tests/golden/coordinator_*.txt. UNDERSTUDY_UPDATE_GOLDEN=1 writes the
// files anew from what the core does now; read the difference before committing it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "server/coordinator/core/scenario_testing.h"

namespace understudy::coordinator {
namespace {

std::string Trim(const std::string& line) {
  const size_t begin = line.find_first_not_of(' ');
  return begin == std::string::npos ? "" : line.substr(begin);
}

std::vector<std::string> GoldenFiles() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/golden")) {
    const std::string name = entry.path().filename();
    if (name.rfind("coordinator_", 0) == 0 && entry.path().extension() == ".txt") files.push_back(name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, TheCoreDoesWhatTheFileSays) {
  const std::string path = "tests/golden/" + GetParam();
  std::ifstream in(path);
  std::stringstream expected;
  expected << in.rdbuf();
  Scenario scenario;
  std::string actual;
  std::istringstream lines(expected.str());
  for (std::string line; std::getline(lines, line);) {
    if (Trim(line).rfind("> ", 0) == 0) continue;
    actual += line + "\n";
    for (const std::string& effect : scenario.Run(line)) actual += "  > " + effect + "\n";
  }
  EXPECT_TRUE(scenario.errors().empty()) << scenario.errors().front();
  if (std::getenv("UNDERSTUDY_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << actual;
    return;
  }
  EXPECT_EQ(actual, expected.str());
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenTest, testing::ValuesIn(GoldenFiles()), [](const auto& info) {
  std::string name = info.param.substr(0, info.param.size() - 4);
  return name;
});

TEST(GoldenFilesTest, ThereAreSome) { EXPECT_GE(GoldenFiles().size(), 8u); }

}  // namespace
}  // namespace understudy::coordinator
