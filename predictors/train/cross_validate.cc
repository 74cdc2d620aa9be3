#include <algorithm>
#include <cmath>
#include <map>

#include "predictors/train/split.h"
#include "predictors/train/trainer.h"

namespace understudy::train {
namespace {

using Json = nlohmann::json;

// splitmix64, G. L. Steele et al. 2014: which moment of a trace is judged.
uint64_t Mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

Result<CrossValidation> CrossValidate(Dataset* data, size_t folds, const TrainOptions& options) {
  const size_t traces = data->trace_names.size();
  if (folds < 2 || folds > traces) {
    return Status(StatusCode::kInvalidArgument, "cross-validation: " + std::to_string(folds) + " folds of " +
                                                    std::to_string(traces) + " traces; 2 to as many as traces");
  }
  std::vector<size_t> fold_of(traces);
  for (size_t i = 0; i < traces; ++i) fold_of[i] = i % folds;
  CrossValidation out;
  out.folds = folds;
  std::vector<Predicted> predictions;
  for (size_t fold = 0; fold < folds; ++fold) {
    UNDERSTUDY_RETURN_IF_ERROR(SplitRowsForFold(fold_of, fold, data));
    TrainOptions inner = options;
    if (options.progress) {
      inner.progress = [&](const std::string& stage, double share) {
        const bool time = stage == "time head";
        options.progress("cross-validation",
                         (static_cast<double>(fold) + (time ? 0.5 : 0) + share / 2) / static_cast<double>(folds));
      };
    }
    Result<Trained> result = TrainModel(*data, inner);
    if (!result.ok()) return result.status();
    const Trained& trained = result.value();
    predictions.push_back(PredictRows(trained.model, *data, Part::kTest));
    const Evaluation of_fold = Evaluate(*data, {predictions.back()});
    out.fold_rmse_s.push_back(of_fold.time ? of_fold.time->rmse_s : NAN);
  }
  out.all = Evaluate(*data, predictions);

  // One moment a trace: of the rows before its failures, the one that the seed picks.
  std::map<size_t, std::vector<std::pair<size_t, double>>> errors;  // by trace: row and error
  for (const Predicted& predicted : predictions) {
    for (size_t i = 0; i < predicted.rows.size(); ++i) {
      const Row& row = data->rows[predicted.rows[i]];
      if (!row.failed) continue;
      const double error =
          std::min(predicted.times[i].seconds[1], data->cap_s) - std::min(row.remaining_s, data->cap_s);
      errors[data->lives[row.life].trace].emplace_back(predicted.rows[i], error);
    }
  }
  double square = 0;
  for (const auto& [trace, of_trace] : errors) {
    const double error = of_trace[Mixed(options.seed * 1'000'003 + trace) % of_trace.size()].second;
    square += error * error;
  }
  out.one_cut_traces = errors.size();
  out.one_cut_rmse_s = errors.empty() ? NAN : std::sqrt(square / static_cast<double>(errors.size()));
  return out;
}

Json ToJson(const CrossValidation& validation) {
  Json folds = Json::array();
  for (const double rmse : validation.fold_rmse_s) folds.push_back(std::isfinite(rmse) ? Json(rmse) : Json(nullptr));
  Json json = ToJson(validation.all);
  json["folds"] = validation.folds;
  json["fold_rmse_s"] = folds;
  json["one_random_cut"] = {
      {"traces", validation.one_cut_traces},
      {"rmse_s", std::isfinite(validation.one_cut_rmse_s) ? Json(validation.one_cut_rmse_s) : Json(nullptr)}};
  return json;
}

}  // namespace understudy::train
