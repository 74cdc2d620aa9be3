#include "predictors/train/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "predictors/train/generated_traces_testing.h"
#include "predictors/train/residuals.h"
#include "predictors/train/split.h"

namespace understudy::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using trace::Event;
using trace::Trace;

TrainOptions Options() {
  TrainOptions options;
  options.windows = {5, 20};
  options.horizons_s = {20, 60};
  return options;
}

std::string Refused(const std::vector<Trace>& traces, const TrainOptions& options = Options()) {
  const auto data = MakeDataset(traces, options);
  return data.ok() ? "" : data.status().message();
}

TEST(Dataset, LabelsFollowFromEvents) {
  Trace trace = LeakTrace("leak", 1);
  trace.events = {{100, 110, Event::kFailure, ""}, {140, 140, Event::kRestart, ""}};
  trace.time_s.resize(200);
  for (auto& column : trace.columns) column.resize(200, 1);
  for (int i = 0; i < 200; ++i) trace.time_s[i] = i;
  const auto data = MakeDataset({trace}, Options());
  ASSERT_TRUE(data.ok()) << data.status().message();
  std::set<double> times;
  for (const Row& row : data->rows) {
    times.insert(row.time_s);
    if (row.time_s <= 100) {
      EXPECT_TRUE(row.failed);
      EXPECT_EQ(row.remaining_s, 100 - row.time_s);
      EXPECT_EQ(LabelOf(row, 20), row.time_s >= 80 ? Label::kYes : Label::kNo);
    } else {
      EXPECT_FALSE(row.failed);
      const double end = row.time_s <= 140 ? 140 : 199;
      EXPECT_EQ(row.remaining_s, end - row.time_s);
      EXPECT_EQ(LabelOf(row, 20), row.remaining_s > 20 ? Label::kNo : Label::kUnknown);
    }
  }
  EXPECT_EQ(times.count(105), 0u) << "it lay down then";
  EXPECT_EQ(data->failures, 1u);
  EXPECT_EQ(data->lives.size(), 3u);
}

TEST(Dataset, FeaturesStartAnewAfterARestart) {
  Trace trace = LeakTrace("leak", 1);
  trace.events.insert(trace.events.begin(), {60, 60, Event::kRestart, ""});
  const auto data = MakeDataset({trace}, Options());
  ASSERT_TRUE(data.ok());
  for (size_t i = 0; i < data->rows.size(); ++i) {
    if (data->lives[data->rows[i].life].begin_s < 60) continue;
    EXPECT_EQ(data->RowFeatures(i)[0], data->rows[i].time_s - 60) << "the age";
  }
}

TEST(Dataset, LeavesOutWhatSaysNothing) {
  std::vector<Trace> traces = SmallFleet(4, 0);
  traces[1].metrics.push_back("only here");
  traces[1].columns.push_back(traces[1].columns[0]);
  const auto data = MakeDataset(traces, Options());
  ASSERT_TRUE(data.ok());
  EXPECT_THAT(data->spec.metrics, ElementsAre("memory", "load"));
  EXPECT_THAT(data->constant_metrics, ElementsAre("constant"));
  EXPECT_THAT(data->partial_metrics, ElementsAre("only here"));
}

TEST(Dataset, HashChangesWithEveryNumber) {
  std::vector<Trace> traces = SmallFleet(4, 1);
  const std::string before = MakeDataset(traces, Options())->hash;
  EXPECT_EQ(before, MakeDataset(traces, Options())->hash);
  traces[2].columns[1][7] += 1e-12;
  EXPECT_NE(before, MakeDataset(traces, Options())->hash);
}

TEST(Dataset, BadInputIsNamed) {
  EXPECT_THAT(Refused({}), HasSubstr("no traces"));
  EXPECT_THAT(Refused(SmallFleet(0, 3)), HasSubstr("no failure in the traces"));
  Trace degraded = QuietTrace("q", 1);
  degraded.events = {{50, 60, Event::kDegradation, ""}};
  EXPECT_THAT(Refused({degraded}), HasSubstr("--label both"));
  Trace flat = LeakTrace("flat", 1);
  for (auto& column : flat.columns) std::fill(column.begin(), column.end(), 1.0);
  EXPECT_THAT(Refused({flat}), HasSubstr("no metric ever changes"));
  Trace nothing = LeakTrace("nan", 1);
  for (auto& column : nothing.columns) std::fill(column.begin(), column.end(), NAN);
  EXPECT_THAT(Refused({nothing}), HasSubstr("no metric ever changes"));
  Trace other = LeakTrace("other", 1);
  other.metrics = {"x", "y", "z"};
  EXPECT_THAT(Refused({LeakTrace("a", 1), other}), HasSubstr("no metric is in every trace"));
  TrainOptions options = Options();
  options.metrics = {"memory", "swap"};
  EXPECT_THAT(Refused(SmallFleet(4, 0), options), HasSubstr("trace leak0 has no metric 'swap'"));
  options = Options();
  options.horizons_s = {0.5};
  EXPECT_THAT(Refused(SmallFleet(4, 0), options), HasSubstr("shorter than the distance of samples"));
  options = Options();
  options.window_unit = gbt::WindowUnit::kSeconds;
  Trace slow = LeakTrace("slow", 1);
  for (double& time : slow.time_s) time *= 7;
  EXPECT_THAT(Refused({LeakTrace("a", 1), LeakTrace("b", 2), slow}, options),
              HasSubstr("trace slow has a sample every 7 s"));
  Trace empty;
  empty.name = "empty";
  EXPECT_THAT(Refused({empty}), HasSubstr("empty has no samples"));
}

TEST(Dataset, ThinsQuietStretchesAndKeepsTheirWeight) {
  TrainOptions options = Options();
  const std::vector<Trace> traces = SmallFleet(4, 6);
  const auto all = MakeDataset(traces, options);
  options.rows_max = 600;
  const auto thin = MakeDataset(traces, options);
  ASSERT_TRUE(all.ok() && thin.ok());
  double weight = 0;
  for (const Row& row : thin->rows) weight += row.weight;
  EXPECT_LT(thin->rows.size(), all->rows.size());
  EXPECT_NEAR(weight, static_cast<double>(all->rows.size()), 0.02 * static_cast<double>(all->rows.size()));
}

TEST(Split, WholeTracesAndEachPartHasFailures) {
  auto data = MakeDataset(SmallFleet(10, 5), Options());
  ASSERT_TRUE(data.ok());
  ASSERT_TRUE(SplitRows(&data.value()).ok());
  std::map<size_t, std::set<Part>> parts;
  std::map<Part, std::set<size_t>> failing;
  for (const Row& row : data->rows) {
    const size_t trace = data->lives[row.life].trace;
    parts[trace].insert(row.part);
    if (row.failed) failing[row.part].insert(trace);
  }
  for (const auto& [trace, of] : parts) EXPECT_EQ(of.size(), 1u) << "trace " << trace;
  for (const Part part : {Part::kTrain, Part::kStop, Part::kCalibrate, Part::kTest})
    EXPECT_GE(failing[part].size(), 1u);
  EXPECT_GE(failing[Part::kTrain].size(), 5u);

  const size_t trained = failing[Part::kTrain].size();
  failing.clear();
  ASSERT_TRUE(SplitRows(&data.value(), /*judge=*/false).ok());
  for (const Row& row : data->rows) {
    if (row.failed) failing[row.part].insert(data->lives[row.life].trace);
  }
  EXPECT_FALSE(failing.contains(Part::kTest));
  EXPECT_GT(failing[Part::kTrain].size(), trained);
}

TEST(Split, OfOneTraceIsByTime) {
  Trace trace = QuietTrace("long", 3);
  trace.time_s.clear();
  for (auto& column : trace.columns) column.clear();
  for (int i = 0; i < 1200; ++i) {
    trace.time_s.push_back(i);
    for (size_t m = 0; m < 3; ++m) trace.columns[m].push_back(i % (m + 5));
  }
  for (int i = 1; i <= 8; ++i) trace.events.push_back({i * 140.0, i * 140.0 + 3, Event::kFailure, ""});
  auto data = MakeDataset({trace}, Options());
  ASSERT_TRUE(data.ok());
  ASSERT_TRUE(SplitRows(&data.value()).ok());
  Part last = Part::kTrain;
  for (const Row& row : data->rows) {
    if (!row.failed) continue;
    EXPECT_GE(static_cast<int>(row.part), static_cast<int>(last));
    last = row.part;
  }
  EXPECT_EQ(last, Part::kTest);
}

TEST(Split, CutsALoneQuietTraceWithAGapBetween) {
  auto data = MakeDataset(SmallFleet(8, 1), Options());
  ASSERT_TRUE(data.ok());
  ASSERT_TRUE(SplitRows(&data.value()).ok());
  std::map<Part, std::pair<double, double>> span;
  for (const Row& row : data->rows) {
    if (row.failed || row.part == Part::kNone) continue;
    auto [at, is_new] = span.try_emplace(row.part, row.time_s, row.time_s);
    at->second.second = std::max(at->second.second, row.time_s);
  }
  ASSERT_TRUE(span.count(Part::kTrain) && span.count(Part::kTest));
  EXPECT_GE(span[Part::kTest].first - span[Part::kTrain].second, 60);
}

TEST(Split, TooFewFailures) {
  auto data = MakeDataset(SmallFleet(3, 5), Options());
  ASSERT_TRUE(data.ok());
  EXPECT_THAT(SplitRows(&data.value()).message(), HasSubstr("3 failures, at least 4 are needed"));
}

TEST(Split, FoldsNeverTrainOnTheirOwnTraces) {
  auto data = MakeDataset(SmallFleet(9, 0), Options());
  ASSERT_TRUE(data.ok());
  std::vector<size_t> fold_of(9);
  for (size_t i = 0; i < 9; ++i) fold_of[i] = i % 3;
  ASSERT_TRUE(SplitRowsForFold(fold_of, 1, &data.value()).ok());
  for (const Row& row : data->rows) {
    EXPECT_EQ(row.part == Part::kTest, data->lives[row.life].trace % 3 == 1);
  }
}

TEST(Residuals, KaplanMeierOfTheTextbook) {
  // Without censoring: the plain quantiles.
  std::vector<Residual> plain;
  for (int i = 1; i <= 10; ++i) plain.push_back({static_cast<double>(i), false, 1});
  EXPECT_THAT(ResidualQuantiles(plain, 1), ElementsAre(1, 5, 9));
  // 1 2+ 3 4+ 5: survival 4/5, then 4/5 * 2/3 = 0.533, then 0.
  EXPECT_THAT(ResidualQuantiles({{1, false, 1}, {2, true, 1}, {3, false, 1}, {4, true, 1}, {5, false, 1}}, 1),
              ElementsAre(1, 5, 5));
  // All censored: the assumed distribution.
  const auto assumed = ResidualQuantiles({{1, true, 1}}, 2);
  EXPECT_NEAR(assumed[0], -2.5631, 1e-3);
  EXPECT_EQ(assumed[1], 0);
}

}  // namespace
}  // namespace understudy::train
