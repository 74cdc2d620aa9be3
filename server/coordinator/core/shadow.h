// What predictors in shadow would have brought about.
#pragma once

#include <cstdint>
#include <vector>

#include "predictors/host/predictor_host.h"

namespace understudy::coordinator {

// The highest word in shadow among the horizons that the policy would look at: all up to the first that is as long as
// `horizon_ms`. Null: nothing was said in shadow.
const Forecast* LoudestShadow(const std::vector<Forecast>& forecasts, int64_t horizon_ms);

}  // namespace understudy::coordinator
