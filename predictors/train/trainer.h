// From rows to a model, and how good it is.
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "predictors/builtin/gbt/model.h"
#include "predictors/train/dataset.h"
#include "predictors/train/evaluate.h"
#include "predictors/train/options.h"
#include "understudy/status.h"

namespace understudy::train {

struct PartSize {
  size_t traces = 0, lives = 0, failures = 0, rows = 0;
};

struct Trained {
  gbt::Model model;
  int failure_rounds = 0, time_rounds = 0;
  std::array<PartSize, kParts> parts;
  std::vector<std::pair<std::string, double>> importance;  // feature, share of the gain of both heads; greatest first
};

// Trains both heads on Part::kTrain, stops by Part::kStop, calibrates on Part::kCalibrate. The parts are set already.
// One thread unless options.threads says more; the same input gives the same model, bit by bit.
Result<Trained> TrainModel(const Dataset& data, const TrainOptions& options);

struct CrossValidation {
  size_t folds = 0;
  Evaluation all;             // every row of every trace, by a model that never saw the trace
  double one_cut_rmse_s = 0;  // at one random moment of each trace that failed, as the public test sets do it
  size_t one_cut_traces = 0;
  std::vector<double> fold_rmse_s;  // NaN: no failure in the fold
};

// Trace i belongs to fold i % folds. kInvalidArgument: too few failures for so many folds.
Result<CrossValidation> CrossValidate(Dataset* data, size_t folds, const TrainOptions& options);

nlohmann::json ToJson(const CrossValidation& validation);

// What the model file and the printed report say of a training.
nlohmann::json DescribeTraining(const Dataset& data, const Trained& trained, const Evaluation& test,
                                const TrainOptions& options);

}  // namespace understudy::train
