// The C ABI as the host sees it: which tables are taken, which refused and how, and that calls mean what they say.
#include "predictors/host/plugin_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace understudy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<PluginLibrary> LoadOrDie(const std::string& name) {
  Result<std::unique_ptr<PluginLibrary>> library = PluginLibrary::Load(std::string(TEST_PLUGINS) + "/" + name + ".so");
  EXPECT_TRUE(library.ok()) << library.status().ToString();
  return std::move(library).value();
}

Status LoadFails(const std::string& name) {
  return PluginLibrary::Load(std::string(TEST_PLUGINS) + "/" + name + ".so").status();
}

const double kMissing = std::numeric_limits<double>::quiet_NaN();

TEST(PluginLibraryTest, RefusesWhatIsNotAPluginByName) {
  EXPECT_EQ(LoadFails("nowhere").code(), StatusCode::kNotFound);
  EXPECT_EQ(LoadFails("plain_no_entry").code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(LoadFails("plain_no_entry").message(), HasSubstr("understudy_predictor_entry"));
  EXPECT_EQ(LoadFails("plain_wrong_size").code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(LoadFails("plain_wrong_size").message(), HasSubstr("struct_size 40"));
  EXPECT_EQ(LoadFails("plain_wrong_abi").code(), StatusCode::kUnsupported);
  EXPECT_THAT(LoadFails("plain_wrong_abi").message(), HasSubstr("version 7"));
  EXPECT_EQ(LoadFails("plain_refuses").code(), StatusCode::kUnsupported);
}

TEST(PluginLibraryTest, RefusesMalformedTables) {
  const std::unique_ptr<PluginLibrary> library = LoadOrDie("plain");
  for (uint32_t size : {0u, 8u, 71u, 73u, 100000u, 0xFFFFFFF8u}) {
    understudy_predictor_api api = library->api();
    api.struct_size = size;
    EXPECT_EQ(PluginLibrary::FromTable(&api).status().code(), StatusCode::kInvalidArgument) << size;
  }
  understudy_predictor_api api = library->api();
  api.observe = nullptr;
  EXPECT_THAT(PluginLibrary::FromTable(&api).status().message(), HasSubstr("observe is NULL"));
}

TEST(PluginLibraryTest, AnOlderTableHasNoLaterSlots) {
  const std::unique_ptr<PluginLibrary> library = LoadOrDie("plain_older");
  EXPECT_EQ(library->api().reset, nullptr);
  EXPECT_EQ(library->api().restore, nullptr);
  PluginAnswer answer;
  const auto instance = PluginInstance::Create(library.get(), "{}", 1, &answer);
  ASSERT_TRUE(instance) << answer.text;
  std::string state;
  EXPECT_EQ(instance->Save(&state).code, UNDERSTUDY_FAILED);
  EXPECT_EQ(instance->Restore("x").code, UNDERSTUDY_BAD_STATE);
  EXPECT_TRUE(instance->Feedback(0, UNDERSTUDY_OUTCOME_FAILED, 1).ok());
  // Without a reset slot the instance is made anew.
  EXPECT_TRUE(instance->Observe({{1, {50, kMissing}}}).ok());
  EXPECT_TRUE(instance->Reset(UNDERSTUDY_RESET_MOVED).ok());
  std::vector<Forecast> forecasts;
  EXPECT_EQ(instance->Predict(2, {1000}, &forecasts).code, UNDERSTUDY_WARMING);
}

TEST(PluginLibraryTest, ANewerTableIsTakenAsFarAsItIsKnown) {
  const std::unique_ptr<PluginLibrary> library = LoadOrDie("plain");
  struct {
    understudy_predictor_api api;
    void* later[3];
  } newer = {library->api(), {}};
  newer.api.struct_size = sizeof newer;
  newer.api.abi = UNDERSTUDY_PREDICTOR_ABI + 5;  // a later minor version
  EXPECT_TRUE(PluginLibrary::FromTable(&newer.api).ok());
}

TEST(PluginLibraryTest, AWholeLifeInC) {
  const std::unique_ptr<PluginLibrary> library = LoadOrDie("plain");
  EXPECT_EQ(library->name(), "plain");
  EXPECT_EQ(library->version(), "2.1");
  PluginAnswer answer;
  EXPECT_FALSE(PluginInstance::Create(library.get(), "[]", 1, &answer));
  EXPECT_EQ(answer.code, UNDERSTUDY_BAD_CONFIG);
  EXPECT_EQ(answer.text, "config: has no fields");

  const auto instance = PluginInstance::Create(library.get(), "{}", 1, &answer);
  ASSERT_TRUE(instance);
  EXPECT_THAT(instance->metrics(), ElementsAre("load", "app.queue"));
  EXPECT_THAT(instance->TakeLog(), ElementsAre("made"));
  std::vector<Forecast> forecasts;
  answer = instance->Predict(5, {1000}, &forecasts);
  EXPECT_EQ(answer.code, UNDERSTUDY_WARMING);
  EXPECT_EQ(answer.text, "no load yet");
  // A missing value is not a zero: it changes nothing.
  EXPECT_TRUE(instance->Observe({{10, {80, 1}}, {20, {kMissing, 2}}}).ok());
  ASSERT_TRUE(instance->Predict(30, {1000, 60000}, &forecasts).ok());
  ASSERT_EQ(forecasts.size(), 2u);
  EXPECT_EQ(forecasts[1].horizon_ms, 60000);
  EXPECT_DOUBLE_EQ(forecasts[0].probability, 0.8);
  EXPECT_EQ(forecasts[0].reason, "load 80, observed 2, resets 0, outcomes 0");
  EXPECT_EQ(CheckForecast(forecasts[0]), "");

  std::string state;
  ASSERT_TRUE(instance->Save(&state).ok());
  const auto heir = PluginInstance::Create(library.get(), "{}", 1, &answer);
  EXPECT_EQ(heir->Restore("rubbish").code, UNDERSTUDY_BAD_STATE);
  EXPECT_TRUE(heir->Restore(state).ok());
  ASSERT_TRUE(heir->Predict(30, {1000}, &forecasts).ok());
  EXPECT_DOUBLE_EQ(forecasts[0].probability, 0.8);
}

TEST(PluginLibraryTest, AWholeLifeInCpp) {
  const std::unique_ptr<PluginLibrary> library = LoadOrDie("wrapped");
  EXPECT_EQ(library->api().reset, nullptr);  // what the class does not have, the table does not offer
  EXPECT_EQ(library->api().save, nullptr);
  PluginAnswer answer;
  EXPECT_FALSE(PluginInstance::Create(library.get(), "{\"x\":1}", 1, &answer));
  EXPECT_EQ(answer.code, UNDERSTUDY_BAD_CONFIG);
  const auto instance = PluginInstance::Create(library.get(), "{}", 1, &answer);
  ASSERT_TRUE(instance);
  EXPECT_TRUE(instance->Observe({{10, {40}}, {20, {kMissing}}, {30, {60}}}).ok());
  std::vector<Forecast> forecasts;
  ASSERT_TRUE(instance->Predict(30, {1000}, &forecasts).ok());
  EXPECT_DOUBLE_EQ(forecasts[0].probability, 0.5);
  EXPECT_EQ(forecasts[0].reason, "mean of 2");
}

TEST(PluginLibraryTest, AnExceptionBecomesAFailure) {
  const std::unique_ptr<PluginLibrary> library = LoadOrDie("misbehaving");
  PluginAnswer answer;
  const auto instance = PluginInstance::Create(library.get(), "{\"throw\"}", 1, &answer);
  ASSERT_TRUE(instance);
  EXPECT_TRUE(instance->Observe({{10, {1}}}).ok());
  std::vector<Forecast> forecasts;
  answer = instance->Predict(30, {1000}, &forecasts);
  EXPECT_EQ(answer.code, UNDERSTUDY_FAILED);
  EXPECT_EQ(answer.text, "thrown by the plugin?? ?");  // safe to show and to store
}

TEST(PluginLibraryTest, ForecastsAreJudged) {
  Forecast forecast;
  EXPECT_EQ(CheckForecast(forecast), "");
  for (double bad : {-0.001, 1.001, kMissing, std::numeric_limits<double>::infinity()}) {
    forecast = {};
    forecast.probability = bad;
    EXPECT_NE(CheckForecast(forecast), "") << bad;
    forecast = {};
    forecast.confidence = bad;
    EXPECT_NE(CheckForecast(forecast), "") << bad;
  }
  forecast = {};
  forecast.has_ttf = true;
  forecast.ttf_p10_s = 2;
  forecast.ttf_p50_s = 1;
  forecast.ttf_p90_s = 3;
  EXPECT_NE(CheckForecast(forecast), "");
  forecast.ttf_p50_s = kMissing;
  EXPECT_NE(CheckForecast(forecast), "");
  forecast.ttf_p50_s = 2.5;
  EXPECT_EQ(CheckForecast(forecast), "");
}

TEST(PluginLibraryTest, SafeTextIsValidUtf8) {
  EXPECT_EQ(SafeText("a\tb\x7F", 10), "a?b?");
  EXPECT_EQ(SafeText("\xC3\xA4\xC3", 10), "\xC3\xA4?");
  EXPECT_EQ(SafeText("\xED\xA0\x80", 10), "???");  // a surrogate
  EXPECT_EQ(SafeText("\xE0\x80\x80", 10), "???");  // overlong
  EXPECT_EQ(SafeText("abc\xC3\xA4", 4), "abc");    // never half a character
  EXPECT_EQ(SafeText("\xF0\x9F\x98\x80", 10), "\xF0\x9F\x98\x80");
}

}  // namespace
}  // namespace understudy
