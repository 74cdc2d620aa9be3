// Models of gbt, as files and in a plugin's configuration.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "predictors/builtin/gbt/model.h"
#include "tests/fuzz/targets.h"
#include "understudy/check.h"

namespace understudy::fuzz {
namespace {

// What was taken answers, and with possible numbers, whatever it is shown.
void Ask(const gbt::Model& model) {
  gbt::FeatureState state(&model.features);
  std::vector<float> row(model.features.Count() + 1);
  std::vector<double> values(model.features.metrics.size());
  const auto step_ns = static_cast<int64_t>(std::min(model.features.interval_s, 1e6) * 1e9) + 1;
  for (int64_t i = 0; i < 8; ++i) {
    for (size_t m = 0; m < values.size(); ++m) {
      const auto at = static_cast<double>(i * static_cast<int64_t>(m + 1));
      values[m] = (i + static_cast<int64_t>(m)) % 5 == 4 ? std::numeric_limits<double>::quiet_NaN() : at * at;
    }
    state.Observe(i * step_ns, values);
    state.Fill(std::span(row).subspan(1));
    for (const double horizon_s : {0.0, 1.0, 60.0, 1e9}) {
      const double probability = gbt::FailureProbability(model, horizon_s, row);
      UNDERSTUDY_CHECK(probability >= 0 && probability <= 1);
    }
    const gbt::RemainingTime time = gbt::TimeToFailure(model, std::span(row).subspan(1));
    UNDERSTUDY_CHECK(time.seconds[0] >= 0 && time.seconds[0] <= time.seconds[1] && time.seconds[1] <= time.seconds[2]);
    UNDERSTUDY_CHECK(std::isfinite(time.seconds[2]));
  }
}

}  // namespace

void Model(std::string_view input) {
  if (input.empty()) return;
  std::string text(input.substr(1));
  try {
    if (input[0] == 1) {
      nlohmann::json json = gbt::ParseJson(text);
      if (!json.is_object()) return;
      json["checksum"] = gbt::ModelChecksum(json);
      text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    Ask(gbt::ParseModel(text));
  } catch (const gbt::ModelError&) {
  }
}

}  // namespace understudy::fuzz
