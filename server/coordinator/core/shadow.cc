#include "server/coordinator/core/shadow.h"

#include <algorithm>

namespace understudy::coordinator {

const Forecast* LoudestShadow(const std::vector<Forecast>& forecasts, int64_t horizon_ms) {
  const auto speaks = [](const Forecast& one) { return one.shadow && one.status == ForecastStatus::kOk; };
  int64_t enough_ms = INT64_MAX;
  for (const Forecast& one : forecasts) {
    if (speaks(one) && one.horizon_ms >= horizon_ms) enough_ms = std::min(enough_ms, one.horizon_ms);
  }
  const Forecast* loudest = nullptr;
  for (const Forecast& one : forecasts) {
    if (!speaks(one) || one.horizon_ms > enough_ms) continue;
    if (loudest == nullptr || one.probability > loudest->probability) loudest = &one;
  }
  return loudest;
}

}  // namespace understudy::coordinator
