// How good a model is on rows it was not trained on.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "predictors/builtin/gbt/model.h"
#include "predictors/stats/calibration_error.h"
#include "predictors/train/dataset.h"

namespace understudy::train {

// The failure head at one horizon.
struct FailureScores {
  double horizon_s = 0;
  size_t rows = 0, positives = 0;
  double base_rate = 0;
  double roc_auc = 0, average_precision = 0;  // NaN when all outcomes were alike
  double brier = 0, brier_of_base_rate = 0, log_loss = 0, calibration_error = 0;
  std::vector<stats::ReliabilityBin> reliability;
};

// The time head, on rows whose time of failure is known. Times are capped, said and true ones.
struct TimeScores {
  size_t rows = 0;
  double rmse_s = 0, mean_absolute_s = 0, bias_s = 0;
  double below_p10 = 0, above_p90 = 0;  // shares; 0.1 each would be right. Of rows below the cap
};

struct Evaluation {
  std::vector<FailureScores> failure;
  std::optional<TimeScores> time;
};

// Probabilities and times for the rows that `take(row)` wants.
struct Predicted {
  std::vector<size_t> rows;                        // of the dataset
  std::vector<std::vector<double>> probabilities;  // [horizon][i]
  std::vector<gbt::RemainingTime> times;           // [i]
};
Predicted PredictRows(const gbt::Model& model, const Dataset& data, Part part);

// Also of several predictions together (of the folds of a cross-validation).
Evaluation Evaluate(const Dataset& data, const std::vector<Predicted>& predictions);

nlohmann::json ToJson(const Evaluation& evaluation);

}  // namespace understudy::train
