#include "predictors/builtin/gbt/booster.h"

#include <xgboost/c_api.h>

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace understudy::gbt {
namespace {

void Checked(int result, const char* what) {
  if (result == 0) return;
  // XGBoost appends a stack trace to its message; the first line says it.
  std::string why = XGBGetLastError();
  if (const size_t trace = why.find("Stack trace"); trace != std::string::npos) why.resize(trace);
  while (!why.empty() && (why.back() == '\n' || why.back() == ' ')) why.pop_back();
  throw BoosterError(std::string(what) + ": " + why);
}

// Margins, all trees, and no cache: with "cache_id" above 0 XGBoost keeps and may answer an older row.
constexpr char kMarginConfig[] =
    R"({"type": 1, "training": false, "iteration_begin": 0, "iteration_end": 0, "strict_shape": false, )"
    R"("cache_id": 0, "missing": NaN})";

}  // namespace

std::shared_ptr<const Booster> Booster::Load(std::string_view bytes) {
  Checked(XGBSetGlobalConfig(R"({"verbosity": 0})"), "configuring XGBoost");
  std::shared_ptr<Booster> booster(new Booster());
  Checked(XGBoosterCreate(nullptr, 0, &booster->handle_), "creating a booster");
  Checked(XGBoosterLoadModelFromBuffer(booster->handle_, bytes.data(), bytes.size()), "loading the booster");
  Checked(XGBoosterSetParam(booster->handle_, "nthread", "1"), "setting the number of threads");
  // Else it makes one for each question, and reads the control group's CPU quota from files for it: half of the time.
  Checked(XGProxyDMatrixCreate(&booster->row_), "creating a view of rows");
  bst_ulong features = 0, size = 0;
  Checked(XGBoosterGetNumFeature(booster->handle_, &features), "reading the number of features");
  booster->features_ = features;
  const char* config = nullptr;
  Checked(XGBoosterSaveJsonConfig(booster->handle_, &size, &config), "reading the booster's configuration");
  const nlohmann::json parsed = nlohmann::json::parse(std::string_view(config, size), nullptr, false);
  const nlohmann::json::json_pointer name("/learner/objective/name");
  if (parsed.is_discarded() || !parsed.contains(name) || !parsed[name].is_string()) {
    throw BoosterError("the booster does not say its objective");
  }
  booster->objective_ = parsed[name].get<std::string>();
  return booster;
}

Booster::~Booster() {
  if (row_ != nullptr) XGDMatrixFree(row_);
  if (handle_ != nullptr) XGBoosterFree(handle_);
}

void Booster::Margins(std::span<const float> values, size_t rows, std::span<float> out) const {
  if (values.size() != rows * features_ || out.size() != rows) throw BoosterError("wrong number of features");
  char array[128];
  std::snprintf(array, sizeof array, R"({"data": [%llu, true], "shape": [%zu, %zu], "typestr": "<f4", "version": 3})",
                static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(values.data())), rows, features_);
  const bst_ulong* shape = nullptr;
  bst_ulong dimensions = 0;
  const float* result = nullptr;
  Checked(XGBoosterPredictFromDense(handle_, array, kMarginConfig, row_, &shape, &dimensions, &result),
          "asking the booster");
  if (dimensions < 1 || shape[0] != rows || (dimensions > 1 && shape[1] != 1)) {
    throw BoosterError("the booster answers in another shape");
  }
  for (size_t i = 0; i < rows; ++i) out[i] = result[i];
}

}  // namespace understudy::gbt
