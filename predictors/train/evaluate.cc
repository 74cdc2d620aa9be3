#include "predictors/train/evaluate.h"

#include <algorithm>
#include <cmath>

#include "predictors/stats/ranking.h"

namespace understudy::train {
namespace {

using Json = nlohmann::json;

constexpr size_t kBatchRows = 512;

Json NumberOrNull(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

FailureScores ScoreFailure(const Dataset& data, const std::vector<Predicted>& predictions, size_t horizon) {
  FailureScores scores;
  scores.horizon_s = data.horizons_s[horizon];
  std::vector<double> said, weights;
  std::vector<uint8_t> happened;
  double total = 0, positive = 0;
  for (const Predicted& predicted : predictions) {
    for (size_t i = 0; i < predicted.rows.size(); ++i) {
      const Row& row = data.rows[predicted.rows[i]];
      const Label label = LabelOf(row, scores.horizon_s);
      if (label == Label::kUnknown) continue;
      said.push_back(predicted.probabilities[horizon][i]);
      happened.push_back(label == Label::kYes);
      weights.push_back(row.weight);
      total += row.weight;
      if (label == Label::kYes) positive += row.weight, ++scores.positives;
    }
  }
  scores.rows = said.size();
  if (said.empty()) return scores;
  scores.base_rate = positive / total;
  scores.roc_auc = stats::RocAuc(said, happened, weights);
  scores.average_precision = stats::AveragePrecision(said, happened, weights);
  scores.brier = stats::BrierScore(said, happened, weights);
  scores.brier_of_base_rate = scores.base_rate * (1 - scores.base_rate);
  scores.log_loss = stats::LogLoss(said, happened, weights);
  scores.reliability = stats::Reliability(said, happened, 10, weights);
  scores.calibration_error = stats::ExpectedCalibrationError(scores.reliability);
  return scores;
}

std::optional<TimeScores> ScoreTime(const Dataset& data, const std::vector<Predicted>& predictions) {
  TimeScores scores;
  double square = 0, absolute = 0, sum = 0, total = 0, below = 0, above = 0, uncapped = 0;
  for (const Predicted& predicted : predictions) {
    for (size_t i = 0; i < predicted.rows.size(); ++i) {
      const Row& row = data.rows[predicted.rows[i]];
      if (!row.failed) continue;
      const double truth = std::min(row.remaining_s, data.cap_s);
      const gbt::RemainingTime& time = predicted.times[i];
      const double error = std::min(time.seconds[1], data.cap_s) - truth;
      square += row.weight * error * error;
      absolute += row.weight * std::abs(error);
      sum += row.weight * error;
      total += row.weight;
      ++scores.rows;
      if (row.remaining_s >= data.cap_s) continue;
      uncapped += row.weight;
      below += row.remaining_s < time.seconds[0] ? row.weight : 0;
      above += row.remaining_s > time.seconds[2] ? row.weight : 0;
    }
  }
  if (scores.rows == 0) return std::nullopt;
  scores.rmse_s = std::sqrt(square / total);
  scores.mean_absolute_s = absolute / total;
  scores.bias_s = sum / total;
  scores.below_p10 = uncapped > 0 ? below / uncapped : 0;
  scores.above_p90 = uncapped > 0 ? above / uncapped : 0;
  return scores;
}

}  // namespace

Predicted PredictRows(const gbt::Model& model, const Dataset& data, Part part) {
  Predicted out;
  out.probabilities.resize(data.horizons_s.size());
  const size_t width = data.width();
  for (size_t row = 0; row < data.rows.size(); ++row) {
    if (data.rows[row].part == part) out.rows.push_back(row);
  }
  std::vector<float> plain, with_horizon, margins;
  for (size_t begin = 0; begin < out.rows.size(); begin += kBatchRows) {
    const size_t count = std::min(kBatchRows, out.rows.size() - begin);
    plain.clear();
    for (size_t i = 0; i < count; ++i) {
      const float* features = data.RowFeatures(out.rows[begin + i]);
      plain.insert(plain.end(), features, features + width);
    }
    margins.resize(count);
    model.time->Margins(plain, count, margins);
    for (size_t i = 0; i < count; ++i) {
      gbt::RemainingTime& time = out.times.emplace_back();
      for (size_t q = 0; q < 3; ++q) {
        time.seconds[q] = model.time_scale.ToSeconds(margins[i] + model.time_quantiles[q]);
      }
    }
    for (size_t h = 0; h < data.horizons_s.size(); ++h) {
      with_horizon.clear();
      for (size_t i = 0; i < count; ++i) {
        with_horizon.push_back(static_cast<float>(data.horizons_s[h]));
        with_horizon.insert(with_horizon.end(), plain.begin() + static_cast<int64_t>(i * width),
                            plain.begin() + static_cast<int64_t>((i + 1) * width));
      }
      model.failure->Margins(with_horizon, count, margins);
      for (const float margin : margins) out.probabilities[h].push_back(model.calibration.Apply(margin));
    }
  }
  return out;
}

Evaluation Evaluate(const Dataset& data, const std::vector<Predicted>& predictions) {
  Evaluation out;
  for (size_t h = 0; h < data.horizons_s.size(); ++h) out.failure.push_back(ScoreFailure(data, predictions, h));
  out.time = ScoreTime(data, predictions);
  return out;
}

Json ToJson(const Evaluation& evaluation) {
  Json failure = Json::array();
  for (const FailureScores& s : evaluation.failure) {
    Json bins = Json::array();
    for (const stats::ReliabilityBin& bin : s.reliability) {
      bins.push_back({{"low", bin.low},
                      {"high", bin.high},
                      {"weight", bin.weight},
                      {"mean_forecast", NumberOrNull(bin.mean_forecast)},
                      {"outcome_rate", NumberOrNull(bin.outcome_rate)}});
    }
    failure.push_back({{"horizon_s", s.horizon_s},
                       {"rows", s.rows},
                       {"positives", s.positives},
                       {"base_rate", s.base_rate},
                       {"roc_auc", NumberOrNull(s.roc_auc)},
                       {"average_precision", NumberOrNull(s.average_precision)},
                       {"brier", s.brier},
                       {"brier_of_base_rate", s.brier_of_base_rate},
                       {"log_loss", s.log_loss},
                       {"expected_calibration_error", s.calibration_error},
                       {"reliability", bins}});
  }
  Json json = {{"failure", failure}, {"time", nullptr}};
  if (evaluation.time) {
    const TimeScores& t = *evaluation.time;
    json["time"] = {{"rows", t.rows},     {"rmse_s", t.rmse_s},       {"mean_absolute_error_s", t.mean_absolute_s},
                    {"bias_s", t.bias_s}, {"below_p10", t.below_p10}, {"above_p90", t.above_p90}};
  }
  return json;
}

}  // namespace understudy::train
