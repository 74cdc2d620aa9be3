#include "predictors/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "predictors/stats/calibration_error.h"
#include "predictors/train/boost.h"
#include "predictors/train/residuals.h"
#include "predictors/train/split.h"

namespace understudy::train {
namespace {

using Json = nlohmann::json;

constexpr double kSigma = 1;            // of survival:aft, in margins
constexpr double kLinearMarginMax = 8;  // the cap on the linear scale: e^8 stays far inside a float

std::string Text(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

std::vector<std::pair<std::string, std::string>> Parameters(const TrainOptions& options) {
  return {{"tree_method", "hist"},
          {"max_depth", std::to_string(options.depth)},
          {"eta", Text(options.learning_rate)},
          {"subsample", "0.7"},
          {"colsample_bytree", "0.5"},
          {"min_child_weight", "2"},
          {"nthread", std::to_string(options.threads)},
          {"seed", std::to_string(options.seed % 2147483647)},
          {"verbosity", "0"}};
}

// One row a horizon whose outcome is known.
Matrix FailureMatrix(const Dataset& data, Part part) {
  Matrix matrix;
  matrix.width = data.width() + 1;
  for (size_t i = 0; i < data.rows.size(); ++i) {
    const Row& row = data.rows[i];
    if (row.part != part) continue;
    for (const double horizon_s : data.horizons_s) {
      const Label label = LabelOf(row, horizon_s);
      if (label == Label::kUnknown) continue;
      matrix.values.push_back(static_cast<float>(horizon_s));
      matrix.values.insert(matrix.values.end(), data.RowFeatures(i), data.RowFeatures(i) + data.width());
      matrix.labels.push_back(label == Label::kYes ? 1.0F : 0.0F);
      matrix.weights.push_back(row.weight);
    }
  }
  return matrix;
}

// survival:aft takes the logarithm of what it is given: for a linear scale it is given the exponential.
Matrix TimeMatrix(const Dataset& data, Part part, const gbt::TimeScale& scale) {
  Matrix matrix;
  matrix.width = data.width();
  const double least_s = data.interval_s / 2;
  for (size_t i = 0; i < data.rows.size(); ++i) {
    const Row& row = data.rows[i];
    if (row.part != part) continue;
    const double time_s = std::min(row.remaining_s, data.cap_s);
    const bool known = row.failed && row.remaining_s < data.cap_s;
    if (!known && time_s < data.interval_s) continue;  // says nothing: "at least no time"
    const auto lower = static_cast<float>(std::exp(scale.ToMargin(std::max(least_s, time_s))));
    matrix.values.insert(matrix.values.end(), data.RowFeatures(i), data.RowFeatures(i) + data.width());
    matrix.lower.push_back(lower);
    matrix.upper.push_back(known ? lower : std::numeric_limits<float>::infinity());
    matrix.weights.push_back(row.weight);
  }
  return matrix;
}

Status Enough(const Matrix& matrix, const char* head, Part part) {
  if (matrix.rows() > 0) return {};
  return {StatusCode::kInvalidArgument, std::string("no rows are left to ") + PartName(part) + " the " + head +
                                            " head: the traces are too short for these horizons and windows"};
}

Status BothOutcomes(const Matrix& matrix, const Dataset& data, Part part) {
  const bool yes = std::any_of(matrix.labels.begin(), matrix.labels.end(), [](float l) { return l > 0; });
  const bool no = std::any_of(matrix.labels.begin(), matrix.labels.end(), [](float l) { return l == 0; });
  if (yes && no) return {};
  return {StatusCode::kInvalidArgument,
          std::string("the rows that are there to ") + PartName(part) + " have " +
              (yes ? "only moments before a failure" : "no moment before a failure") + " within the horizons (up to " +
              Text(data.horizons_s.back()) + " s): " +
              (yes ? "shorter horizons or longer traces are needed" : "longer horizons or more failures are needed")};
}

Result<Boosted> TrainFailure(const Dataset& data, const TrainOptions& options) {
  const Matrix train = FailureMatrix(data, Part::kTrain), stop = FailureMatrix(data, Part::kStop);
  UNDERSTUDY_RETURN_IF_ERROR(Enough(train, "failure", Part::kTrain));
  UNDERSTUDY_RETURN_IF_ERROR(Enough(stop, "failure", Part::kStop));
  UNDERSTUDY_RETURN_IF_ERROR(BothOutcomes(train, data, Part::kTrain));
  BoostOptions boost;
  boost.rounds_max = options.rounds_max;
  boost.patience = options.patience;
  boost.parameters = Parameters(options);
  boost.parameters.push_back({"objective", "binary:logistic"});
  boost.parameters.push_back({"eval_metric", "logloss"});
  // A longer horizon never makes a failure within it less likely.
  std::string monotone = "(1";
  for (size_t i = 0; i < data.width(); ++i) monotone += ",0";
  boost.parameters.push_back({"monotone_constraints", monotone + ")"});
  if (options.progress) boost.progress = [&](double share) { options.progress("failure head", share); };
  return Boost(train, stop, boost);
}

Result<Boosted> TrainTime(const Dataset& data, const gbt::TimeScale& scale, const TrainOptions& options) {
  const Matrix train = TimeMatrix(data, Part::kTrain, scale), stop = TimeMatrix(data, Part::kStop, scale);
  UNDERSTUDY_RETURN_IF_ERROR(Enough(train, "time", Part::kTrain));
  UNDERSTUDY_RETURN_IF_ERROR(Enough(stop, "time", Part::kStop));
  double sum = 0, total = 0;
  for (size_t i = 0; i < train.rows(); ++i) {
    sum += train.weights[i] * std::log(train.lower[i]);
    total += train.weights[i];
  }
  BoostOptions boost;
  boost.rounds_max = options.rounds_max;
  boost.patience = options.patience;
  boost.parameters = Parameters(options);
  boost.parameters.push_back({"objective", "survival:aft"});
  boost.parameters.push_back({"eval_metric", "aft-nloglik"});
  boost.parameters.push_back({"aft_loss_distribution", "normal"});
  boost.parameters.push_back({"aft_loss_distribution_scale", Text(kSigma)});
  boost.parameters.push_back({"base_score", Text(std::exp(sum / total))});
  if (options.progress) boost.progress = [&](double share) { options.progress("time head", share); };
  return Boost(train, stop, boost);
}

Result<std::shared_ptr<const gbt::Booster>> LoadBooster(const std::string& bytes, const char* head,
                                                        const char* objective, size_t width) {
  try {
    std::shared_ptr<const gbt::Booster> booster = gbt::Booster::Load(bytes);
    if (booster->objective() != objective) {
      return Status(StatusCode::kInvalidArgument, std::string("the ") + head + " booster has the objective " +
                                                      booster->objective() + "; " + objective + " is needed");
    }
    if (booster->features() != width) {
      return Status(StatusCode::kInvalidArgument,
                    std::string("the ") + head + " booster takes " + std::to_string(booster->features()) +
                        " features; these traces and windows give " + std::to_string(width));
    }
    if (bytes.size() > gbt::kBoosterBytesMax) {
      return Status(StatusCode::kResourceExhausted, std::string("the ") + head + " booster is larger than 3 MiB");
    }
    return booster;
  } catch (const gbt::BoosterError& error) {
    return Status(StatusCode::kInvalidArgument, std::string("the ") + head + " booster: " + error.what());
  }
}

// Margins of the failure head and what happened, a horizon at a time.
struct Margins {
  std::vector<double> margin, weight;
  std::vector<uint8_t> happened;
  std::vector<size_t> half;  // 0 or 1: of which half of the traces (or of the time)
  double Loss(const gbt::Calibration& calibration, size_t of_half) const {
    std::vector<double> said, w;
    std::vector<uint8_t> was;
    for (size_t i = 0; i < margin.size(); ++i) {
      if (half[i] != of_half) continue;
      said.push_back(calibration.Apply(margin[i]));
      was.push_back(happened[i]);
      w.push_back(weight[i]);
    }
    return said.empty() ? 0 : stats::LogLoss(said, was, w);
  }
};

enum class Curve { kPlatt, kIsotonic };

// `except`: the half that is left out; 2: none.
gbt::Calibration FitCurve(const Margins& all, Curve curve, size_t except) {
  std::vector<double> margin, weight;
  std::vector<uint8_t> happened;
  for (size_t i = 0; i < all.margin.size(); ++i) {
    if (all.half[i] == except) continue;
    margin.push_back(all.margin[i]);
    weight.push_back(all.weight[i]);
    happened.push_back(all.happened[i]);
  }
  if (curve == Curve::kPlatt) return {stats::FitPlatt(margin, happened, weight)};
  stats::Isotonic fit = stats::FitIsotonic(margin, happened, weight);
  return {std::move(fit)};
}

// Isotonic or Platt: what does better on the half it was not fitted on, over both halves; then fitted on all.
gbt::Calibration ChooseCalibration(const gbt::Model& model, const Dataset& data) {
  Margins all;
  std::set<uint32_t> lives;
  for (const Row& row : data.rows) {
    if (row.part == Part::kCalibrate) lives.insert(row.life);
  }
  const std::vector<uint32_t> order(lives.begin(), lives.end());
  std::vector<float> values(data.width() + 1);
  for (size_t i = 0; i < data.rows.size(); ++i) {
    const Row& row = data.rows[i];
    if (row.part != Part::kCalibrate) continue;
    std::copy_n(data.RowFeatures(i), data.width(), values.begin() + 1);
    const size_t life = static_cast<size_t>(std::lower_bound(order.begin(), order.end(), row.life) - order.begin());
    for (const double horizon_s : data.horizons_s) {
      const Label label = LabelOf(row, horizon_s);
      if (label == Label::kUnknown) continue;
      values[0] = static_cast<float>(horizon_s);
      float margin = 0;
      model.failure->Margins(values, 1, std::span(&margin, 1));
      all.margin.push_back(margin);
      all.weight.push_back(row.weight);
      all.happened.push_back(label == Label::kYes);
      all.half.push_back(life % 2);
    }
  }
  const auto loss = [&](Curve curve) {
    return all.Loss(FitCurve(all, curve, 0), 0) + all.Loss(FitCurve(all, curve, 1), 1);
  };
  const bool halves =
      std::count(all.half.begin(), all.half.end(), 0u) > 0 && std::count(all.half.begin(), all.half.end(), 1u) > 0;
  const Curve best = halves && loss(Curve::kIsotonic) < loss(Curve::kPlatt) ? Curve::kIsotonic : Curve::kPlatt;
  return FitCurve(all, best, 2);
}

std::array<double, 3> CalibrateTime(const gbt::Model& model, const Dataset& data) {
  std::vector<Residual> residuals;
  for (size_t i = 0; i < data.rows.size(); ++i) {
    const Row& row = data.rows[i];
    if (row.part != Part::kCalibrate) continue;
    float margin = 0;
    model.time->Margins(std::span(data.RowFeatures(i), data.width()), 1, std::span(&margin, 1));
    const bool known = row.failed && row.remaining_s < data.cap_s;
    const double time_s = std::max(data.interval_s / 2, std::min(row.remaining_s, data.cap_s));
    residuals.push_back({model.time_scale.ToMargin(time_s) - margin, !known, row.weight});
  }
  return ResidualQuantiles(std::move(residuals), kSigma);
}

// Mean pinball loss of the three quantiles on the rows that stop, in capped seconds.
double PinballLoss(const gbt::Model& model, const Dataset& data) {
  const Predicted predicted = PredictRows(model, data, Part::kStop);
  constexpr std::array<double, 3> kShare = {0.1, 0.5, 0.9};
  double loss = 0, total = 0;
  for (size_t i = 0; i < predicted.rows.size(); ++i) {
    const Row& row = data.rows[predicted.rows[i]];
    if (!row.failed) continue;
    const double truth = std::min(row.remaining_s, data.cap_s);
    for (size_t q = 0; q < 3; ++q) {
      const double error = truth - std::min(predicted.times[i].seconds[q], data.cap_s);
      loss += row.weight * std::max(kShare[q] * error, (kShare[q] - 1) * error);
    }
    total += row.weight;
  }
  return total > 0 ? loss / total : 0;
}

gbt::TimeScale ScaleOf(bool logarithmic, const Dataset& data) {
  gbt::TimeScale scale;
  scale.logarithmic = logarithmic;
  scale.unit_s = data.cap_s / kLinearMarginMax;
  return scale;
}

// The time head on the scale asked for, or on the better one. `model->failure` is there already.
Status AddTimeHead(const Dataset& data, const TrainOptions& options, gbt::Model* model, Boosted* best) {
  std::vector<bool> scales;
  if (options.time_scale != TrainOptions::Scale::kLog) scales.push_back(false);
  if (options.time_scale != TrainOptions::Scale::kLinear) scales.push_back(true);
  double best_loss = INFINITY;
  gbt::Model candidate = *model;
  for (const bool logarithmic : scales) {
    candidate.time_scale = ScaleOf(logarithmic, data);
    Boosted boosted;
    if (options.time_booster.empty()) {
      auto made = TrainTime(data, candidate.time_scale, options);
      if (!made.ok()) return made.status();
      boosted = std::move(made.value());
    } else {
      auto made = TakeOver(options.time_booster, data.width());
      if (!made.ok()) return made.status();
      boosted = std::move(made.value());
    }
    auto made = LoadBooster(boosted.bytes, "time", "survival:aft", data.width());
    if (!made.ok()) return made.status();
    candidate.time = std::move(made.value());
    candidate.time_bytes = boosted.bytes;
    candidate.time_quantiles = CalibrateTime(candidate, data);
    const double loss = PinballLoss(candidate, data);
    if (loss >= best_loss) continue;
    best_loss = loss;
    *best = std::move(boosted);
    *model = candidate;
  }
  return {};
}

}  // namespace

Result<Trained> TrainModel(const Dataset& data, const TrainOptions& options) {
  Trained out;
  std::array<std::set<size_t>, kParts> traces;
  std::array<std::set<uint32_t>, kParts> lives;
  for (const Row& row : data.rows) {
    if (row.part == Part::kNone) continue;
    const size_t part = static_cast<size_t>(row.part);
    ++out.parts[part].rows;
    traces[part].insert(data.lives[row.life].trace);
    if (lives[part].insert(row.life).second && row.failed) ++out.parts[part].failures;
  }
  for (size_t p = 0; p < kParts; ++p) {
    out.parts[p].traces = traces[p].size();
    out.parts[p].lives = lives[p].size();
  }

  gbt::Model& model = out.model;
  model.features = data.spec;
  model.horizons_s = data.horizons_s;
  model.cap_s = data.cap_s;
  model.ranges = data.ranges;

  Boosted failure;
  if (options.failure_booster.empty()) {
    auto made = TrainFailure(data, options);
    if (!made.ok()) return made.status();
    failure = std::move(made.value());
  } else {
    auto made = TakeOver(options.failure_booster, data.width() + 1);
    if (!made.ok()) return made.status();
    failure = std::move(made.value());
  }
  auto made = LoadBooster(failure.bytes, "failure", "binary:logistic", data.width() + 1);
  if (!made.ok()) return made.status();
  model.failure = std::move(made.value());
  model.failure_bytes = failure.bytes;
  const Matrix calibrate = FailureMatrix(data, Part::kCalibrate);
  UNDERSTUDY_RETURN_IF_ERROR(Enough(calibrate, "failure", Part::kCalibrate));
  UNDERSTUDY_RETURN_IF_ERROR(BothOutcomes(calibrate, data, Part::kCalibrate));
  model.calibration = ChooseCalibration(model, data);
  Boosted time;
  UNDERSTUDY_RETURN_IF_ERROR(AddTimeHead(data, options, &model, &time));
  out.failure_rounds = failure.rounds;
  out.time_rounds = time.rounds;

  const std::vector<std::string> names = data.spec.Names();
  for (size_t i = 0; i < names.size(); ++i) {
    out.importance.emplace_back(names[i], (failure.gain[i + 1] + time.gain[i]) / 2);
  }
  out.importance.emplace_back("horizon", failure.gain[0] / 2);
  std::stable_sort(out.importance.begin(), out.importance.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return out;
}

Json DescribeTraining(const Dataset& data, const Trained& trained, const Evaluation& test,
                      const TrainOptions& options) {
  Json parts = Json::object();
  for (size_t p = 0; p < kParts; ++p) {
    const PartSize& size = trained.parts[p];
    parts[PartName(static_cast<Part>(p))] = {
        {"traces", size.traces}, {"lives", size.lives}, {"failures", size.failures}, {"rows", size.rows}};
  }
  Json importance = Json::array();
  for (size_t i = 0; i < trained.importance.size() && i < 20; ++i) {
    importance.push_back({{"feature", trained.importance[i].first}, {"gain", trained.importance[i].second}});
  }
  Json names = Json::array();
  for (size_t i = 0; i < data.trace_names.size() && i < 200; ++i) names.push_back(data.trace_names[i]);
  return {{"data_sha256", data.hash},
          {"traces", data.trace_names.size()},
          {"trace_names", names},
          {"failures", data.failures},
          {"rows", data.rows.size()},
          {"features", data.width()},
          {"constant_metrics", data.constant_metrics},
          {"partial_metrics", data.partial_metrics},
          {"seed", options.seed},
          {"depth", options.depth},
          {"learning_rate", options.learning_rate},
          {"failure_rounds", trained.failure_rounds},
          {"failure_imported", !options.failure_booster.empty()},
          {"time_rounds", trained.time_rounds},
          {"time_imported", !options.time_booster.empty()},
          {"calibration", trained.model.calibration.kind()},
          {"time_scale", trained.model.time_scale.logarithmic ? "log" : "linear"},
          {"parts", parts},
          {"importance", importance},
          {"test", trained.parts[static_cast<size_t>(Part::kTest)].rows > 0 ? ToJson(test) : Json(nullptr)}};
}

}  // namespace understudy::train
