#include "predictors/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xgboost/c_api.h>

#include "log/env/random.h"
#include "predictors/train/boost.h"
#include "predictors/train/generated_traces_testing.h"
#include "predictors/train/split.h"

namespace understudy::train {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

TrainOptions Options() {
  TrainOptions options;
  options.windows = {5, 20};
  options.horizons_s = {20, 60};
  options.cap_remaining_s = 150;
  options.rounds_max = 12;
  options.learning_rate = 0.4;
  options.depth = 3;
  options.time_scale = TrainOptions::Scale::kLinear;
  return options;
}

struct Made {
  Dataset data;
  Trained trained;
};

Made Train(const TrainOptions& options = Options(), size_t leaks = 10, size_t quiet = 4) {
  auto data = MakeDataset(SmallFleet(leaks, quiet), options);
  EXPECT_TRUE(data.ok()) << data.status().message();
  EXPECT_TRUE(SplitRows(&data.value()).ok());
  auto trained = TrainModel(*data, options);
  EXPECT_TRUE(trained.ok()) << trained.status().message();
  return {std::move(data).value(), std::move(trained).value()};
}

// One for all tests that only read it. Never destroyed: a booster that outlives main outlives XGBoost's thread-local
// store.
const Made& Small() {
  static const Made* const made = new Made(Train());
  return *made;
}

std::string Written(const Made& made) {
  gbt::Model model = made.trained.model;
  model.training = {{"note", "a test"}};
  return gbt::WriteModel(&model);
}

TEST(Trainer, LearnsALeak) {
  const Evaluation test = Evaluate(Small().data, {PredictRows(Small().trained.model, Small().data, Part::kTest)});
  for (const FailureScores& scores : test.failure) {
    EXPECT_GT(scores.positives, 0u);
    EXPECT_GT(scores.roc_auc, 0.95);
    EXPECT_LT(scores.brier, 0.5 * scores.brier_of_base_rate);
    EXPECT_LT(scores.calibration_error, 0.1);
  }
  ASSERT_TRUE(test.time.has_value());
  EXPECT_LT(test.time->rmse_s, 30);
  EXPECT_GT(test.time->rmse_s, 0);
  EXPECT_THAT(Small().trained.importance.front().first, HasSubstr("memory"));
}

TEST(Trainer, ALongerHorizonIsNeverLessLikely) {
  const Predicted predicted = PredictRows(Small().trained.model, Small().data, Part::kTest);
  for (size_t i = 0; i < predicted.rows.size(); ++i) {
    EXPECT_LE(predicted.probabilities[0][i], predicted.probabilities[1][i]);
    EXPECT_LE(predicted.times[i].seconds[0], predicted.times[i].seconds[1]);
    EXPECT_LE(predicted.times[i].seconds[1], predicted.times[i].seconds[2]);
  }
  std::vector<float> row(Small().data.width() + 1);
  std::copy_n(Small().data.RowFeatures(predicted.rows.back()), Small().data.width(), row.begin() + 1);
  double before = 0;
  for (double horizon_s = 1; horizon_s < 200; horizon_s *= 1.3) {
    const double p = gbt::FailureProbability(Small().trained.model, horizon_s, row);
    EXPECT_GE(p, before) << horizon_s;
    EXPECT_LT(p, 1);
    before = p;
  }
}

TEST(Trainer, SameSeedSameModelBitByBit) {
  const std::string a = Written(Small());
  EXPECT_EQ(a, Written(Train()));
  TrainOptions options = Options();
  options.seed = 2;
  EXPECT_NE(a, Written(Train(options)));
}

TEST(Trainer, LogarithmicTimesWorkToo) {
  TrainOptions options = Options();
  options.time_scale = TrainOptions::Scale::kLog;
  const Made made = Train(options);
  EXPECT_TRUE(made.trained.model.time_scale.logarithmic);
  const Evaluation test = Evaluate(made.data, {PredictRows(made.trained.model, made.data, Part::kTest)});
  EXPECT_LT(test.time->rmse_s, 40);
}

TEST(Trainer, CrossValidationJudgesEveryTraceOnce) {
  TrainOptions options = Options();
  auto data = MakeDataset(SmallFleet(12, 0), options);
  ASSERT_TRUE(data.ok());
  const auto validation = CrossValidate(&data.value(), 2, options);
  ASSERT_TRUE(validation.ok()) << validation.status().message();
  EXPECT_EQ(validation->all.time->rows, data->rows.size());
  EXPECT_EQ(validation->one_cut_traces, 12u);
  EXPECT_EQ(validation->fold_rmse_s.size(), 2u);
  EXPECT_LT(validation->all.time->rmse_s, 40);
  EXPECT_FALSE(CrossValidate(&data.value(), 13, options).ok());
  EXPECT_THAT(CrossValidate(&data.value(), 1, options).status().message(), HasSubstr("1 folds"));
}

TEST(Trainer, TakesBoostersFromElsewhere) {
  TrainOptions options = Options();
  options.failure_booster = Small().trained.model.failure_bytes;
  options.time_booster = Small().trained.model.time_bytes;
  options.time_scale = TrainOptions::Scale::kLinear;
  auto imported = TrainModel(Small().data, options);
  ASSERT_TRUE(imported.ok()) << imported.status().message();
  EXPECT_EQ(imported->model.failure_bytes, Small().trained.model.failure_bytes);
  EXPECT_EQ(imported->model.calibration.kind(), Small().trained.model.calibration.kind());
  options.failure_booster = Small().trained.model.time_bytes;
  EXPECT_THAT(TrainModel(Small().data, options).status().message(), HasSubstr("the failure booster"));
  options.failure_booster = "not a booster";
  EXPECT_FALSE(TrainModel(Small().data, options).ok());
}

TEST(Model, ReadsBackAndAnswersTheSame) {
  const std::string text = Written(Small());
  const gbt::Model read = gbt::ParseModel(text);
  gbt::Model again = read;
  EXPECT_EQ(gbt::WriteModel(&again), text);
  const Predicted a = PredictRows(Small().trained.model, Small().data, Part::kTest);
  const Predicted b = PredictRows(read, Small().data, Part::kTest);
  EXPECT_EQ(a.probabilities, b.probabilities);
  for (size_t i = 0; i < a.times.size(); ++i) EXPECT_EQ(a.times[i].seconds, b.times[i].seconds);
}

std::string WhyRefused(const Json& json) {
  try {
    gbt::ReadModel(json);
    return "taken";
  } catch (const gbt::ModelError& error) {
    return error.what();
  }
}

// With a right checksum, so that what is behind it is reached.
std::string WhyRefusedSigned(Json json) {
  json["checksum"] = gbt::ModelChecksum(json);
  return WhyRefused(json);
}

TEST(Model, RefusesWhatItIsNot) {
  const Json good = Json::parse(Written(Small()));
  EXPECT_EQ(WhyRefusedSigned(good), "taken");
  Json bad = good;
  bad["metrics"][0] = "swap";
  EXPECT_THAT(WhyRefused(bad), HasSubstr("model.checksum"));
  EXPECT_THAT(WhyRefusedSigned(bad), HasSubstr("model.features"));
  bad = good;
  bad["schema"] = 2;
  EXPECT_THAT(WhyRefused(bad), HasSubstr("model.schema: this is version 2, known is 1"));
  bad = good;
  bad["format"] = "something else";
  EXPECT_THAT(WhyRefused(bad), HasSubstr("model.format"));
  for (const char* field : {"schema", "checksum", "metrics", "windows", "interval_s", "features", "horizons_s",
                            "ranges", "failure", "time", "age", "window_unit"}) {
    bad = good;
    bad.erase(field);
    if (std::string(field) == "checksum") {
      EXPECT_THAT(WhyRefused(bad), HasSubstr("model.checksum: missing"));
      continue;
    }
    EXPECT_THAT(WhyRefusedSigned(bad), HasSubstr("model.")) << field;
    for (const Json& other : {Json("text"), Json(-1), Json::object()}) {
      bad[field] = other;
      EXPECT_NE(WhyRefusedSigned(bad), "taken") << field << " " << other;
    }
  }
  bad = good;
  std::swap(bad["failure"]["booster"], bad["time"]["booster"]);
  EXPECT_THAT(WhyRefusedSigned(bad), HasSubstr("survival:aft"));
  bad = good;
  bad["failure"]["booster"] = "????";
  EXPECT_THAT(WhyRefusedSigned(bad), HasSubstr("not base64"));
  bad["failure"]["booster"] = "";
  EXPECT_THAT(WhyRefusedSigned(bad), HasSubstr("model.failure.booster"));
  bad = good;
  bad["failure"]["calibration"] = {{"kind", "isotonic"}, {"margin", {1, 0}}, {"probability", {0.1, 0.2}}};
  EXPECT_THAT(WhyRefusedSigned(bad), HasSubstr("must ascend"));
  bad["failure"]["calibration"] = {{"kind", "isotonic"}, {"margin", {0, 1}}, {"probability", {0.1, 1.2}}};
  EXPECT_THAT(WhyRefusedSigned(bad), HasSubstr("must be 0 to 1"));
  bad = good;
  bad["horizons_s"] = {60, 20};
  EXPECT_THAT(WhyRefusedSigned(bad), HasSubstr("model.horizons_s"));
}

TEST(Model, CutOffAndDamagedFilesAreRefused) {
  const std::string good = Written(Small());
  for (size_t size = 0; size < good.size(); size += good.size() / 12 + 1) {
    EXPECT_THROW(gbt::ParseModel(std::string_view(good).substr(0, size)), gbt::ModelError);
  }
  for (size_t at = 0; at < good.size() - 1; at += good.size() / 25 + 1) {
    std::string bad = good;
    bad[at] = bad[at] == '1' ? '2' : '1';
    EXPECT_THROW(gbt::ParseModel(bad), gbt::ModelError) << at;
  }
  EXPECT_THROW(gbt::ParseModel(std::string(gbt::kModelBytesMax + 1, ' ')), gbt::ModelError);
}

// XGBoost's own answers, of models trained here: also for values that are missing, equal to a threshold, or huge.
TEST(Booster, AnswersBitByBitAsXGBoostDoes) {
  SeededRandom random(7);
  for (const auto& [bytes, name] : {std::pair{Small().trained.model.failure_bytes, "binary:logistic"},
                                    std::pair{Small().trained.model.time_bytes, "survival:aft"}}) {
    const auto booster = gbt::Booster::Load(bytes);
    EXPECT_EQ(booster->objective(), name);
    const size_t width = booster->features(), rows = 2000;
    std::vector<float> values, ours(rows);
    for (size_t row = 0; row < rows; ++row) {
      // A row of the data, some of whose values are another row's, missing or huge.
      for (size_t i = 0; i < width; ++i) {
        const float* from = Small().data.RowFeatures(random.Below(8) == 0 ? random.Below(Small().data.rows.size())
                                                                          : row % Small().data.rows.size());
        const bool horizon = width > Small().data.width() && i == 0;
        float value = horizon ? static_cast<float>(random.Below(100)) : from[i - (width - Small().data.width())];
        if (random.Below(10) == 0) value = NAN;
        if (random.Below(50) == 0) value = 1e30F;
        values.push_back(value);
      }
    }
    booster->Margins(values, rows, ours);
    DMatrixHandle matrix = nullptr;
    BoosterHandle theirs = nullptr;
    ASSERT_EQ(XGDMatrixCreateFromMat(values.data(), rows, width, NAN, &matrix), 0);
    ASSERT_EQ(XGBoosterCreate(nullptr, 0, &theirs), 0);
    ASSERT_EQ(XGBoosterLoadModelFromBuffer(theirs, bytes.data(), bytes.size()), 0) << XGBGetLastError();
    bst_ulong count = 0;
    const float* answers = nullptr;
    ASSERT_EQ(XGBoosterPredict(theirs, matrix, /*option_mask: margins=*/1, 0, 0, &count, &answers), 0);
    ASSERT_EQ(count, rows);
    for (size_t row = 0; row < rows; ++row) ASSERT_EQ(ours[row], answers[row]) << name << ", row " << row;
    XGBoosterFree(theirs);
    XGDMatrixFree(matrix);
  }
}

TEST(Booster, RefusesWhatIsNoForestOfItsFeatures) {
  const Json good = Json::from_ubjson(Small().trained.model.failure_bytes);
  const auto refusal = [&](const std::string& at, const Json& value) -> std::string {
    Json changed = good;
    changed[Json::json_pointer(at)] = value;
    const std::vector<uint8_t> bytes = Json::to_ubjson(changed, /*use_size=*/true, /*use_type=*/false);
    try {
      gbt::Booster::Load(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    } catch (const gbt::BoosterError& error) {
      return error.what();
    }
    return "";
  };
  const std::string learner = "/learner/learner_model_param/", tree = "/learner/gradient_booster/model/trees/0/";
  EXPECT_EQ(refusal(learner + "num_class", "0"), "");
  EXPECT_THAT(refusal(learner + "num_class", "3"), HasSubstr("several classes"));
  EXPECT_THAT(refusal(learner + "num_feature", "100000"), HasSubstr("more features than are possible"));
  EXPECT_THAT(refusal(learner + "num_feature", "many"), HasSubstr("is no number"));
  EXPECT_THAT(refusal(learner + "base_score", "1E0"), HasSubstr("base_score is impossible"));
  EXPECT_THAT(refusal("/learner/gradient_booster/name", "dart"), HasSubstr("only gbtree"));
  EXPECT_THAT(refusal("/learner/objective/name", 7), HasSubstr("does not say its objective"));
  EXPECT_THAT(refusal(tree + "left_children", Json::array()), HasSubstr("wrong size"));
  EXPECT_THAT(refusal(tree + "left_children/0", 0), HasSubstr("no tree"));  // would be walked for ever
  EXPECT_THAT(refusal(tree + "left_children/0", 1'000'000), HasSubstr("no tree"));
  EXPECT_THAT(refusal(tree + "right_children/0", -7), HasSubstr("no tree"));
  EXPECT_THAT(refusal(tree + "right_children/0", int64_t{1} << 40), HasSubstr("32 bits"));
  EXPECT_THAT(refusal(tree + "split_indices/0", 5000), HasSubstr("a feature that there is not"));
  EXPECT_THAT(refusal(tree + "split_conditions/0", "x"), HasSubstr("no number"));
  EXPECT_THAT(refusal(tree + "split_type/0", 1), HasSubstr("categorical"));
  // A few bytes that claim to be a trillion values, and nesting without end.
  EXPECT_THROW(gbt::Booster::Load(std::string_view("[$Z#L\0\0\1\0\0\0\0\0", 13)), gbt::BoosterError);
  EXPECT_THROW(gbt::Booster::Load(std::string(100'000, '[')), gbt::BoosterError);
  EXPECT_THROW(gbt::Booster::Load(""), gbt::BoosterError);
}

TEST(Base64, OfRfc4648) {
  const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : examples) {
    std::string back;
    EXPECT_EQ(gbt::Base64Encode(plain), text);
    EXPECT_TRUE(gbt::Base64Decode(text, &back));
    EXPECT_EQ(back, plain);
  }
  std::string out;
  for (const char* bad : {"Z", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9!", " Zm9v", "Zm9v\n\n\n\n", "Z=9v", "Zm9v-AAA"})
    EXPECT_FALSE(gbt::Base64Decode(bad, &out)) << bad;
}

}  // namespace
}  // namespace understudy::train
