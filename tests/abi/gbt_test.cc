// The gbt plugin with a model trained here: through the ABI like anybody's, and in a child process with its limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>

#include "log/env/clock.h"
#include "log/env/file.h"
#include "predictors/host/model_file.h"
#include "predictors/host/plugin_library.h"
#include "predictors/train/generated_traces_testing.h"
#include "predictors/train/split.h"
#include "predictors/train/trainer.h"

namespace understudy {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

const double kMissing = std::numeric_limits<double>::quiet_NaN();

const std::string& ModelText() {
  static const std::string text = [] {
    train::TrainOptions options;
    options.windows = {5, 20};
    options.horizons_s = {20, 60};
    options.cap_remaining_s = 150;
    options.rounds_max = 12;
    options.learning_rate = 0.4;
    options.depth = 3;
    options.time_scale = train::TrainOptions::Scale::kLinear;
    auto data = train::MakeDataset(train::SmallFleet(10, 4), options);
    UNDERSTUDY_CHECK(data.ok() && train::SplitRows(&data.value()).ok());
    auto trained = train::TrainModel(*data, options);
    UNDERSTUDY_CHECK(trained.ok());
    return gbt::WriteModel(&trained.value().model);
  }();
  return text;
}

// A file of this test's own, gone at its end.
class File {
 public:
  File(const std::string& name, const std::string& text)
      : path_(testing::TempDir() + name + "." + std::to_string(getpid())) {
    UNDERSTUDY_CHECK(ReplaceFile(SystemFileSystem(), path_, text).ok());
  }
  ~File() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }
  std::string config() const { return Json({{"model_file", path_}}).dump(); }

 private:
  std::string path_;
};

class GbtTest : public testing::Test {
 protected:
  GbtTest() : library_(PluginLibrary::Load(std::string(PLUGINS) + "/gbt.so").value()) {}

  std::unique_ptr<PluginInstance> Make(const std::string& config = R"({"model": )" + ModelText() + "}") {
    PluginAnswer answer;
    auto instance = PluginInstance::Create(library_.get(), config, 1, &answer);
    EXPECT_TRUE(instance) << answer.text;
    return instance;
  }
  std::string ConfigError(const std::string& config) {
    PluginAnswer answer;
    EXPECT_FALSE(PluginInstance::Create(library_.get(), config, 1, &answer));
    EXPECT_EQ(answer.code, UNDERSTUDY_BAD_CONFIG);
    return answer.text;
  }
  static void Observe(PluginInstance* instance, int second, std::vector<double> values) {
    ASSERT_TRUE(instance->Observe({{second * int64_t{1'000'000'000}, std::move(values)}}).ok());
  }
  PluginAnswer Predict(PluginInstance* instance, int second, std::vector<int64_t> horizons_ms = {20'000, 60'000}) {
    const PluginAnswer answer = instance->Predict(second * int64_t{1'000'000'000}, horizons_ms, &forecasts_);
    if (!answer.ok()) forecasts_.clear();
    for (const Forecast& forecast : forecasts_) EXPECT_EQ(CheckForecast(forecast), "");
    return answer;
  }

  std::unique_ptr<PluginLibrary> library_;
  std::vector<Forecast> forecasts_;
};

TEST_F(GbtTest, ForeseesALeakAndNotAQuietNode) {
  const trace::Trace leak = train::LeakTrace("unseen", 4242), quiet = train::QuietTrace("unseen", 4243);
  auto instance = Make();
  EXPECT_EQ(instance->metrics(), (std::vector<std::string>{"memory", "load"}));
  EXPECT_EQ(Predict(instance.get(), 0).code, UNDERSTUDY_WARMING);
  const int end = static_cast<int>(leak.rows());
  double early = 1, late = 0, late_left_s = 0;
  for (int i = 0; i < end; ++i) {
    Observe(instance.get(), i, {leak.columns[0][i], leak.columns[1][i]});
    const PluginAnswer answer = Predict(instance.get(), i);
    if (i < 4) continue;
    ASSERT_TRUE(answer.ok()) << answer.text;
    EXPECT_LE(forecasts_[0].probability, forecasts_[1].probability);
    EXPECT_LT(forecasts_[1].probability, 1);
    if (i == 25) early = forecasts_[1].probability;
    if (i == end - 20) late = forecasts_[1].probability, late_left_s = forecasts_[1].ttf_p50_s;
  }
  EXPECT_LT(early, 0.2);
  EXPECT_GT(late, 0.6);
  EXPECT_NEAR(late_left_s, 20, 15);
  EXPECT_THAT(forecasts_[1].reason, HasSubstr("failure within 60 s at"));

  instance = Make();
  for (int i = 0; i < 150; ++i) Observe(instance.get(), i, {quiet.columns[0][i], quiet.columns[1][i]});
  ASSERT_TRUE(Predict(instance.get(), 150).ok());
  EXPECT_LT(forecasts_[1].probability, 0.2);
}

TEST_F(GbtTest, HorizonsOutsideTheTrainingKeepTheOrder) {
  const trace::Trace leak = train::LeakTrace("unseen", 4242);
  auto instance = Make();
  const int at = static_cast<int>(leak.rows()) - 40;
  for (int i = 0; i < at; ++i) Observe(instance.get(), i, {leak.columns[0][i], leak.columns[1][i]});
  ASSERT_TRUE(Predict(instance.get(), at, {1'000, 5'000, 20'000, 40'000, 60'000, 3'600'000}).ok());
  for (size_t i = 1; i < forecasts_.size(); ++i) EXPECT_GE(forecasts_[i].probability, forecasts_[i - 1].probability);
  EXPECT_EQ(forecasts_[5].probability, forecasts_[4].probability);
  EXPECT_THAT(forecasts_[5].reason, HasSubstr("at least (trained up to 60 s)"));
}

TEST_F(GbtTest, RestoredInstancesForecastBitByBitTheSame) {
  const trace::Trace leak = train::LeakTrace("unseen", 4244);
  auto a = Make(), b = Make();
  for (int i = 0; i < 60; ++i) Observe(a.get(), i, {leak.columns[0][i], leak.columns[1][i]});
  std::string state;
  ASSERT_TRUE(a->Save(&state).ok());
  ASSERT_TRUE(b->Restore(state).ok());
  for (int i = 60; i < static_cast<int>(leak.rows()); ++i) {
    Observe(a.get(), i, {leak.columns[0][i], leak.columns[1][i]});
    Observe(b.get(), i, {leak.columns[0][i], leak.columns[1][i]});
    ASSERT_TRUE(Predict(a.get(), i).ok());
    const std::vector<Forecast> of_a = forecasts_;
    ASSERT_TRUE(Predict(b.get(), i).ok());
    for (size_t h = 0; h < 2; ++h) {
      EXPECT_EQ(of_a[h].probability, forecasts_[h].probability);
      EXPECT_EQ(of_a[h].ttf_p50_s, forecasts_[h].ttf_p50_s);
      EXPECT_EQ(of_a[h].reason, forecasts_[h].reason);
    }
  }
  EXPECT_EQ(b->Restore("garbage").code, UNDERSTUDY_BAD_STATE);
  EXPECT_EQ(b->Restore(state.substr(0, state.size() - 1)).code, UNDERSTUDY_BAD_STATE);
}

TEST_F(GbtTest, AbstainsWithoutItsMetrics) {
  auto instance = Make();
  for (int i = 0; i < 30; ++i) Observe(instance.get(), i, {kMissing, kMissing});
  const PluginAnswer none = Predict(instance.get(), 30);
  EXPECT_EQ(none.code, UNDERSTUDY_ABSTAIN);
  EXPECT_THAT(none.text, HasSubstr("lack 2 of the 2 metrics that the model was trained on: memory, load"));
  for (int i = 30; i < 60; ++i) Observe(instance.get(), i, {200, kMissing});
  ASSERT_TRUE(Predict(instance.get(), 60).ok());
  EXPECT_EQ(forecasts_[0].confidence, 0.5);
  EXPECT_EQ(Predict(instance.get(), 90).code, UNDERSTUDY_ABSTAIN) << "the last sample is half a minute old";
}

TEST_F(GbtTest, GarbageIsNoForecast) {
  auto instance = Make();
  for (int i = 0; i < 30; ++i) Observe(instance.get(), i, {1e18, -1e18});
  const PluginAnswer answer = Predict(instance.get(), 30);
  EXPECT_EQ(answer.code, UNDERSTUDY_ABSTAIN);
  EXPECT_THAT(answer.text, HasSubstr("far outside what the model was trained on"));
  instance = Make();
  for (int i = 0; i < 30; ++i) Observe(instance.get(), i, {i % 2 == 0 ? 1e300 : 200.0, i % 3 == 0 ? -1e250 : 0.5});
  if (Predict(instance.get(), 30).ok()) {
    EXPECT_LT(forecasts_[1].probability, 1);
  }
}

TEST_F(GbtTest, ResetForgets) {
  const trace::Trace leak = train::LeakTrace("unseen", 4242);
  auto instance = Make();
  for (size_t i = 0; i < leak.rows(); ++i)
    Observe(instance.get(), static_cast<int>(i), {leak.columns[0][i], leak.columns[1][i]});
  ASSERT_TRUE(instance->Reset(UNDERSTUDY_RESET_RESTARTED).ok());
  EXPECT_EQ(Predict(instance.get(), static_cast<int>(leak.rows())).code, UNDERSTUDY_WARMING);
}

TEST_F(GbtTest, ConfigurationErrorsNameTheField) {
  EXPECT_EQ(ConfigError("{"), "config: not valid JSON");
  EXPECT_THAT(ConfigError("{}"), HasSubstr("model_file: required"));
  EXPECT_THAT(ConfigError(R"({"modle": {}})"), HasSubstr("modle: unknown field"));
  EXPECT_THAT(ConfigError(R"({"model": 7})"), HasSubstr("model: an object is needed"));
  EXPECT_THAT(ConfigError(R"({"model": {}})"), HasSubstr("model.format: missing"));
  Json other = Json::parse(ModelText());
  other["metrics"][0] = "disk";
  EXPECT_THAT(ConfigError(Json({{"model", other}}).dump()), HasSubstr("model.checksum"));
  other["checksum"] = gbt::ModelChecksum(other);
  EXPECT_THAT(ConfigError(Json({{"model", other}}).dump()), HasSubstr("model.features"));
  EXPECT_THAT(ConfigError(R"({"metrics": {"disk": "d"}, "model": )" + ModelText() + "}"), HasSubstr("metrics.disk"));
  auto renamed = Make(R"({"metrics": {"memory": "proc.rss_bytes"}, "model": )" + ModelText() + "}");
  EXPECT_EQ(renamed->metrics()[0], "proc.rss_bytes");
}

TEST(ModelFile, TakesTheFileIntoTheConfiguration) {
  const File file("model", R"({"a": 1})");
  EXPECT_EQ(ResolveModelFile(R"({"bounds": []})").value(), R"({"bounds": []})");
  EXPECT_EQ(ResolveModelFile("model_file, but no JSON").value(), "model_file, but no JSON");
  EXPECT_EQ(Json::parse(ResolveModelFile(file.config()).value()), Json({{"model", {{"a", 1}}}}));
  const auto error = [](const Json& config) { return ResolveModelFile(config.dump()).status().message(); };
  EXPECT_THAT(error({{"model_file", 7}}), HasSubstr("the path of a file is needed"));
  EXPECT_THAT(error({{"model_file", "/no/such"}}), HasSubstr("model_file: /no/such: no such file"));
  EXPECT_THAT(error({{"model_file", "/dev/zero"}}), HasSubstr("no such file"));
  EXPECT_THAT(error({{"model_file", file.path()}, {"model", 1}}), HasSubstr("not both"));
  const File cut("cut", R"({"a": )"), deep("deep", std::string(100'000, '[')),
      large("large", std::string((4u << 20) + 1, ' '));
  EXPECT_THAT(error({{"model_file", cut.path()}}), HasSubstr("cut off, damaged or no model"));
  EXPECT_THAT(error({{"model_file", deep.path()}}), HasSubstr("cut off, damaged or no model"));
  EXPECT_THAT(error({{"model_file", large.path()}}), HasSubstr("larger than 4 MiB"));
}

// As the coordinator runs it: a child with 512 MiB of address space, the model from a file. Twice the same primary is
// two instances and one model.
TEST(GbtInAChild, ReadsItsModelAndForecasts) {
  const File file("model", ModelText()), bad("bad", "{}");
  PredictorHostOptions options;
  options.clock = SystemClock();
  options.plugin_folders = {PLUGINS};
  options.helper = HELPER;
  options.call_deadline_ms = 10'000;
  options.start_deadline_ms = 30'000;
  const auto host = NewChildProcessPredictorHost(options);
  const auto check = [&](const std::string& config) {
    std::promise<Status> done;
    host->Check({"gbt", config}, [&](Status status) { done.set_value(status); });
    return done.get_future().get();
  };
  EXPECT_TRUE(check(file.config()).ok());
  EXPECT_THAT(check(bad.config()).message(), HasSubstr("model.format: missing"));
  EXPECT_EQ(check(R"({"model_file": "/no/such"})").code(), StatusCode::kInvalidArgument);

  for (const char* primary : {"kv1", "kv2"}) host->Configure(primary, {{"gbt", file.config()}});
  const trace::Trace leak = train::LeakTrace("unseen", 4242);
  const Instant begin = SystemClock()->Now();
  Forecast last;
  // Until the child is up its forecasts are WARMING; the samples wait for it.
  for (int asked = 0; asked < 3000 && last.status != ForecastStatus::kOk; ++asked) {
    if (asked == 0) {
      for (size_t i = 0; i < leak.rows() - 10; ++i) {
        const Instant at(begin.ns() - static_cast<int64_t>(leak.rows() - 11 - i) * kNsPerSecond);
        NodeSample sample{0, at.ns() / kNsPerMs, {{"load", leak.columns[1][i]}}};
        if (!std::isnan(leak.columns[0][i])) sample.metrics.push_back({"memory", leak.columns[0][i]});
        for (const char* primary : {"kv1", "kv2"}) host->Observe(primary, {sample}, at);
      }
    }
    std::promise<PredictorHost::Forecasts> done;
    host->Predict(begin, {60'000}, [&](PredictorHost::Forecasts forecasts) { done.set_value(std::move(forecasts)); });
    PredictorHost::Forecasts forecasts = done.get_future().get();
    last = forecasts.at("kv2").at(0);
  }
  ASSERT_EQ(last.status, ForecastStatus::kOk) << last.reason;
  EXPECT_GT(last.probability, 0.5) << last.reason;
}

// A coordinator whose machine does not have the model yet, or gets a better one.
TEST(GbtInAChild, TakesAModelFileThatComesLaterOrChanges) {
  const std::string path = testing::TempDir() + "late_model." + std::to_string(getpid());
  const auto write = [&](const std::string& text) { ASSERT_TRUE(ReplaceFile(SystemFileSystem(), path, text).ok()); };
  PredictorHostOptions options;
  options.clock = SystemClock();
  options.plugin_folders = {PLUGINS};
  options.helper = HELPER;
  options.call_deadline_ms = 10'000;
  options.start_deadline_ms = 30'000;
  std::mutex mutex;
  std::vector<std::string> alerts, resolved;
  const auto host = NewChildProcessPredictorHost(options);
  host->SetOnAlert([&](const PredictorAlert& alert) {
    std::lock_guard lock(mutex);
    (alert.resolved ? resolved : alerts).push_back(alert.primary + ": " + alert.text);
  });
  host->Configure("kv", {{"gbt", Json({{"model_file", path}}).dump()}});
  Instant now = SystemClock()->Now();
  // Each round is 10 s later than the one before: files are looked at in each.
  const auto predict = [&] {
    now = now + 10 * kNsPerSecond;
    std::promise<PredictorHost::Forecasts> done;
    host->Predict(now, {60'000}, [&](PredictorHost::Forecasts forecasts) { done.set_value(std::move(forecasts)); });
    return done.get_future().get().at("kv").at(0);
  };
  const auto until = [&](const std::string& reason) {
    Forecast last;
    for (int asked = 0; asked < 3000; ++asked) {
      last = predict();
      if (last.reason.find(reason) != std::string::npos) return last.status;
    }
    ADD_FAILURE() << "not \"" << reason << "\" but " << last.reason;
    return last.status;
  };
  EXPECT_EQ(until("no such file"), ForecastStatus::kAbstain);
  write("{\"format\": ");
  EXPECT_EQ(until("cut off, damaged or no model"), ForecastStatus::kAbstain);
  write(ModelText());
  EXPECT_EQ(until("no sample yet"), ForecastStatus::kWarming);
  // One that works is kept while the file is no JSON, or gone.
  write("{\"format\": ");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(predict().reason, "no sample yet");
  std::filesystem::remove(path);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(predict().reason, "no sample yet");
  Json other = Json::parse(ModelText());
  other["cap_s"] = 1;
  write(other.dump());
  EXPECT_EQ(until("model.checksum"), ForecastStatus::kAbstain);
  write(ModelText());
  EXPECT_EQ(until("no sample yet"), ForecastStatus::kWarming);
  std::filesystem::remove(path);
  std::lock_guard lock(mutex);
  EXPECT_EQ(alerts.size(), 3U);  // no file, half of one, a changed one
  EXPECT_EQ(resolved, (std::vector<std::string>(2, "kv: its model file is good")));
}

}  // namespace
}  // namespace understudy
