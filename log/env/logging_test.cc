#include "log/env/logging.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace understudy {
namespace {

TEST(LoggingTest, LinesReachTheSinkFromTheirLevelOn) {
  std::vector<std::string> lines;
  SetLogSink([&](LogLevel level, std::string_view component, std::string_view message) {
    lines.push_back(std::to_string(static_cast<int>(level)) + " " + std::string(component) + " " +
                    std::string(message));
  });
  LogDebug("store", "dropped");
  LogInfo("store", "opened {}");
  SetLogLevel(LogLevel::kError);
  LogWarning("store", "dropped");
  LogError("store", "broken");
  SetLogLevel(LogLevel::kInfo);
  SetLogSink(nullptr);
  EXPECT_EQ(lines, (std::vector<std::string>{"1 store opened {}", "3 store broken"}));
  testing::internal::CaptureStderr();
  LogInfo("store", "braces {} are text");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("store: braces {} are text"), std::string::npos);
}

}  // namespace
}  // namespace understudy
