#include "predictors/train/boost.h"

#include <xgboost/c_api.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>

namespace understudy::train {
namespace {

Status Failed(const char* what) {
  std::string why = XGBGetLastError();
  if (const size_t trace = why.find("Stack trace"); trace != std::string::npos) why.resize(trace);
  while (!why.empty() && (why.back() == '\n' || why.back() == ' ')) why.pop_back();
  return {StatusCode::kInternal, std::string("XGBoost, ") + what + ": " + why};
}

#define RETURN_IF_XGBOOST_FAILS(call, what) \
  do {                                      \
    if ((call) != 0) return Failed(what);   \
  } while (false)

struct FreeMatrix {
  void operator()(void* handle) const { XGDMatrixFree(handle); }
};
struct FreeBooster {
  void operator()(void* handle) const { XGBoosterFree(handle); }
};
using MatrixHandle = std::unique_ptr<void, FreeMatrix>;
using OwnedBooster = std::unique_ptr<void, FreeBooster>;

Result<MatrixHandle> Load(const Matrix& matrix, int threads) {
  DMatrixHandle handle = nullptr;
  RETURN_IF_XGBOOST_FAILS(XGDMatrixCreateFromMat_omp(matrix.values.data(), matrix.rows(), matrix.width,
                                                     std::numeric_limits<float>::quiet_NaN(), &handle, threads),
                          "reading rows");
  MatrixHandle owned(handle);
  const auto set = [&](const char* field, const std::vector<float>& values) {
    return values.empty() ? 0 : XGDMatrixSetFloatInfo(handle, field, values.data(), values.size());
  };
  RETURN_IF_XGBOOST_FAILS(set("label", matrix.labels), "taking labels");
  RETURN_IF_XGBOOST_FAILS(set("label_lower_bound", matrix.lower), "taking times");
  RETURN_IF_XGBOOST_FAILS(set("label_upper_bound", matrix.upper), "taking times");
  RETURN_IF_XGBOOST_FAILS(set("weight", matrix.weights), "taking weights");
  return owned;
}

// "[7]\tstop-logloss:0.1234" -> 0.1234.
double LossOf(const char* text) {
  const std::string line = text;
  const size_t colon = line.rfind(':');
  return colon == std::string::npos ? NAN : std::strtod(line.c_str() + colon + 1, nullptr);
}

// Gains and bytes of a booster; `width` features.
Result<Boosted> Describe(BoosterHandle booster, size_t width) {
  Boosted out;
  out.gain.assign(width, 0);
  bst_ulong count = 0, dimensions = 0;
  const char** names = nullptr;
  const bst_ulong* shape = nullptr;
  const float* scores = nullptr;
  RETURN_IF_XGBOOST_FAILS(XGBoosterFeatureScore(booster, R"({"importance_type": "total_gain"})", &count, &names,
                                                &dimensions, &shape, &scores),
                          "asking for gains");
  // Boosters from Python may carry names; then which feature is which is found in their list.
  bst_ulong named = 0;
  const char** own_names = nullptr;
  RETURN_IF_XGBOOST_FAILS(XGBoosterGetStrFeatureInfo(booster, "feature_name", &named, &own_names), "asking for names");
  const std::vector<std::string> own(own_names, own_names + named);
  double sum = 0;
  for (bst_ulong i = 0; i < count; ++i) {
    const std::string name = names[i];
    size_t at = width;
    for (size_t j = 0; j < own.size(); ++j) {
      if (own[j] == name) at = j;
    }
    if (own.empty() && name.size() > 1 && name[0] == 'f') at = std::strtoull(name.c_str() + 1, nullptr, 10);
    if (at >= width) continue;
    out.gain[at] += scores[i];
    sum += scores[i];
  }
  for (double& gain : out.gain) gain = sum > 0 ? gain / sum : 0;
  int rounds = 0;
  RETURN_IF_XGBOOST_FAILS(XGBoosterBoostedRounds(booster, &rounds), "counting rounds");
  out.rounds = rounds;
  bst_ulong size = 0;
  const char* bytes = nullptr;
  RETURN_IF_XGBOOST_FAILS(XGBoosterSaveModelToBuffer(booster, R"({"format": "ubj"})", &size, &bytes), "saving");
  out.bytes.assign(bytes, size);
  return out;
}

}  // namespace

Result<Boosted> Boost(const Matrix& train, const Matrix& stop, const BoostOptions& options) {
  XGBSetGlobalConfig(R"({"verbosity": 0})");
  int threads = 1;
  for (const auto& [name, value] : options.parameters) {
    if (name == "nthread") threads = std::atoi(value.c_str());
  }
  Result<MatrixHandle> loaded_train = Load(train, threads);
  if (!loaded_train.ok()) return loaded_train.status();
  const MatrixHandle& train_rows = loaded_train.value();
  Result<MatrixHandle> loaded_stop = Load(stop, threads);
  if (!loaded_stop.ok()) return loaded_stop.status();
  const MatrixHandle& stop_rows = loaded_stop.value();
  DMatrixHandle both[] = {train_rows.get(), stop_rows.get()};
  BoosterHandle handle = nullptr;
  RETURN_IF_XGBOOST_FAILS(XGBoosterCreate(both, 2, &handle), "creating a booster");
  const OwnedBooster booster(handle);
  for (const auto& [name, value] : options.parameters) {
    RETURN_IF_XGBOOST_FAILS(XGBoosterSetParam(handle, name.c_str(), value.c_str()), name.c_str());
  }
  double best = INFINITY;
  int best_rounds = 1;
  for (int round = 0; round < options.rounds_max; ++round) {
    RETURN_IF_XGBOOST_FAILS(XGBoosterUpdateOneIter(handle, round, train_rows.get()), "growing a tree");
    DMatrixHandle judged[] = {stop_rows.get()};
    const char* names[] = {"stop"};
    const char* text = nullptr;
    RETURN_IF_XGBOOST_FAILS(XGBoosterEvalOneIter(handle, round, judged, names, 1, &text), "judging a round");
    const double loss = LossOf(text);
    if (loss < best - 1e-9) {
      best = loss;
      best_rounds = round + 1;
    } else if (round + 1 - best_rounds >= options.patience) {
      break;
    }
    if (options.progress) options.progress(static_cast<double>(round + 1) / options.rounds_max);
  }
  if (!std::isfinite(best)) return Status(StatusCode::kInternal, "XGBoost: the loss is not a number in any round");
  BoosterHandle cut = nullptr;
  RETURN_IF_XGBOOST_FAILS(XGBoosterSlice(handle, 0, best_rounds, 1, &cut), "taking the best rounds");
  const OwnedBooster sliced(cut);
  Result<Boosted> described = Describe(cut, train.width);
  if (!described.ok()) return described.status();
  Boosted& out = described.value();
  out.stop_loss = best;
  return out;
}

Result<Boosted> TakeOver(const std::string& bytes, size_t width) {
  XGBSetGlobalConfig(R"({"verbosity": 0})");
  BoosterHandle handle = nullptr;
  RETURN_IF_XGBOOST_FAILS(XGBoosterCreate(nullptr, 0, &handle), "creating a booster");
  const OwnedBooster booster(handle);
  if (XGBoosterLoadModelFromBuffer(handle, bytes.data(), bytes.size()) != 0) {
    return Status(StatusCode::kInvalidArgument, Failed("loading").message());
  }
  return Describe(handle, width);
}

}  // namespace understudy::train
