// Every conversation in tests/golden/log/*.txt is played again by the real cores and must come out as it is written
// there. UPDATE_GOLDEN=1 writes what came out instead: read the difference before it is committed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "log/epoch/testing/script.h"

namespace understudy::testing {
namespace {

std::vector<std::string> Conversations() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("tests/golden/log")) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, Conversation) {
  const std::string path = "tests/golden/log/" + GetParam() + ".txt";
  std::ifstream in(path);
  std::stringstream written;
  written << in.rdbuf();
  ASSERT_FALSE(written.str().empty()) << path;
  const std::string played = Script().Play(written.str());
  EXPECT_EQ(played.find("VIOLATED"), std::string::npos) << played;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << played;
    return;
  }
  EXPECT_EQ(written.str(), played) << path << ": what was said differs from what is written there";
}

INSTANTIATE_TEST_SUITE_P(Conversations, Golden, ::testing::ValuesIn(Conversations()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace understudy::testing
