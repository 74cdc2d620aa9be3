// What the assessments of the rungs and of a restart share. Internal to predictors/policy.
#pragma once

#include <vector>

#include "predictors/policy/types.h"

namespace understudy::policy {

bool Speaks(const ForecastView& forecast);
double Probability(const ForecastView& forecast);  // 0 to 1, whatever was said

// The horizons that count: all up to the first that is as long as `lead_ms`.
int64_t HorizonLimit(const std::vector<ForecastView>& forecasts, int64_t lead_ms);

void AssessRestart(const ServiceInput& in, int64_t now_ms, Assessment* out);

}  // namespace understudy::policy
