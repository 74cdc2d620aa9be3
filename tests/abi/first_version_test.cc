// Plugins compiled against version 1.0 of understudy/predictor.h work with today's hosts: same layout, same meaning.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "predictors/host/plugin_library.h"
#include "tests/abi/first_version_layout.h"
#include "understudy/predictor.h"

namespace understudy {
namespace {

using testing::ElementsAre;

TEST(FirstVersionTest, LayoutAndConstantsAreThoseOfTheFrozenHeader) {
  const layout_entry today[] = {LAYOUT_OF_VERSION_1_0, {nullptr, 0}};
  const layout_entry* frozen = first_version_layout();
  size_t i = 0;
  for (; frozen[i].what != nullptr && today[i].what != nullptr; ++i) {
    EXPECT_STREQ(frozen[i].what, today[i].what);
    EXPECT_EQ(frozen[i].number, today[i].number) << frozen[i].what;
  }
  EXPECT_EQ(frozen[i].what, today[i].what);
  EXPECT_GT(i, 50u);
  EXPECT_STREQ(UNDERSTUDY_PREDICTOR_ENTRY_SYMBOL, "understudy_predictor_entry");
}

TEST(FirstVersionTest, APluginOfThatDayLivesItsWholeLifeToday) {
  Result<std::unique_ptr<PluginLibrary>> library = PluginLibrary::Load(std::string(TEST_PLUGINS) + "/first_version.so");
  ASSERT_TRUE(library.ok()) << library.status().ToString();
  EXPECT_EQ((*library)->api().abi, 0x10000u);
  PluginAnswer answer;
  EXPECT_FALSE(PluginInstance::Create(library->get(), "{\"refuse\":1}", 9, &answer));
  EXPECT_EQ(answer.code, UNDERSTUDY_BAD_CONFIG);
  EXPECT_EQ(answer.text, "refuse: as asked");
  const auto instance = PluginInstance::Create(library->get(), "{}", 9, &answer);
  ASSERT_TRUE(instance) << answer.text;
  EXPECT_THAT(instance->metrics(), ElementsAre("a", "b"));
  EXPECT_THAT(instance->TakeLog(), ElementsAre("of the first version"));
  std::vector<Forecast> forecasts;
  answer = instance->Predict(5, {1000}, &forecasts);
  EXPECT_EQ(answer.code, UNDERSTUDY_WARMING);
  EXPECT_EQ(answer.text, "nothing yet");
  const double missing = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(instance->Observe({{10, {1, 2}}, {20, {missing, 4}}}).ok());
  EXPECT_TRUE(instance->Reset(UNDERSTUDY_RESET_GAP).ok());
  EXPECT_TRUE(instance->Feedback(25, UNDERSTUDY_OUTCOME_QUIET, 7).ok());
  ASSERT_TRUE(instance->Predict(30, {1000, 60'000}, &forecasts).ok());
  ASSERT_EQ(forecasts.size(), 2u);
  EXPECT_DOUBLE_EQ(forecasts[0].probability, 0.125);
  EXPECT_DOUBLE_EQ(forecasts[1].probability, 0.25);
  EXPECT_DOUBLE_EQ(forecasts[1].confidence, 0.5);
  EXPECT_DOUBLE_EQ(forecasts[1].ttf_p10_s, 10);
  EXPECT_DOUBLE_EQ(forecasts[1].ttf_p50_s, 20);
  EXPECT_DOUBLE_EQ(forecasts[1].ttf_p90_s, 60);
  EXPECT_EQ(forecasts[1].reason, "seed 9 now 30 observed 2 missing 1 sum 7 resets 3 outcomes 407");
  std::string state;
  ASSERT_TRUE(instance->Save(&state).ok());
  EXPECT_EQ(instance->Restore("short").code, UNDERSTUDY_BAD_STATE);
  EXPECT_TRUE(instance->Restore(state).ok());
}

}  // namespace
}  // namespace understudy
