#include "predictors/ensemble/calibration.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "predictors/stats/platt.h"

namespace understudy::ensemble {
namespace {

using nlohmann::json;
using stats::Logit;
using stats::Sigmoid;

// Bins span the log-odds of 0.001 to those of 0.999; what lies beyond counts in the outermost.
constexpr double kLogitMax = 6.906754778648554;
constexpr double kWidth = 2 * kLogitMax / Calibration::kBins;
constexpr double kCensoredMax = 1e15;
constexpr int64_t kHorizonMaxMs = int64_t{366} * 86'400'000;

}  // namespace

int Calibration::BinOf(double said) {
  const double at = (std::clamp(Logit(said), -kLogitMax, kLogitMax) + kLogitMax) / kWidth;
  return std::clamp(static_cast<int>(at), 0, kBins - 1);
}

double Calibration::CentreOf(int bin) { return Sigmoid(-kLogitMax + (bin + 0.5) * kWidth); }

Calibration::Horizon* Calibration::Find(int64_t horizon_ms) {
  const auto found = horizons_.find(horizon_ms);
  if (found != horizons_.end()) return &found->second;
  if (horizons_.size() >= kHorizonsMax || horizon_ms <= 0 || horizon_ms > kHorizonMaxMs) return nullptr;
  Horizon* horizon = &horizons_[horizon_ms];
  Fit(horizon);
  return horizon;
}

void Calibration::Fade(Bin* bin) {
  while (bin->outcomes > kCountMax) {
    bin->outcomes /= 2;
    bin->failures /= 2;
    bin->said /= 2;
  }
}

void Calibration::Record(int64_t horizon_ms, double said, bool failed) {
  if (!(said >= 0 && said <= 1)) return;
  Horizon* horizon = Find(horizon_ms);
  if (horizon == nullptr) return;
  Bin& bin = horizon->bins[static_cast<size_t>(BinOf(said))];
  bin.outcomes += 1;
  bin.failures += failed ? 1 : 0;
  bin.said += said;
  Fade(&bin);
  Fit(horizon);
}

void Calibration::RecordCensored(int64_t horizon_ms) {
  if (Horizon* horizon = Find(horizon_ms)) horizon->censored = std::min(horizon->censored + 1, kCensoredMax);
}

// Rates drawn to what was said, then adjacent violators pooled. Where nothing is known both are the bin's centre.
void Calibration::Fit(Horizon* horizon) {
  struct Block {
    double weight, rate;
    int bins;
  };
  std::vector<Block> blocks;
  for (int b = 0; b < kBins; ++b) {
    const Bin& bin = horizon->bins[static_cast<size_t>(b)];
    const double mean = bin.outcomes > 0 ? bin.said / bin.outcomes : CentreOf(b);
    // Only a damaged file could have it elsewhere; the line must ascend.
    const double low = -kLogitMax + b * kWidth, high = low + kWidth;
    const double from = b == 0           ? std::min(Logit(mean), high)
                        : b == kBins - 1 ? std::max(Logit(mean), low)
                                         : std::clamp(Logit(mean), low, high);
    horizon->from[static_cast<size_t>(b)] = from;
    const double weight = bin.outcomes + kPrior;
    Block next = {weight, (bin.failures + kPrior * Sigmoid(from)) / weight, 1};
    while (!blocks.empty() && blocks.back().rate >= next.rate) {
      const Block& last = blocks.back();
      const double sum = last.weight + next.weight;
      next = {sum, (last.rate * last.weight + next.rate * next.weight) / sum, last.bins + next.bins};
      blocks.pop_back();
    }
    blocks.push_back(next);
  }
  size_t b = 0;
  for (const Block& block : blocks) {
    for (int i = 0; i < block.bins; ++i) horizon->to[b++] = Logit(block.rate);
  }
}

double Calibration::Apply(int64_t horizon_ms, double said) const {
  const auto found = horizons_.find(horizon_ms);
  if (found == horizons_.end() || CountsOf(horizon_ms).outcomes == 0) return said;
  const std::array<double, kBins>&from = found->second.from, &to = found->second.to;
  const double logit = Logit(said);
  if (logit <= from.front()) return Sigmoid(to.front() + (logit - from.front()));
  if (logit >= from.back()) return Sigmoid(to.back() + (logit - from.back()));
  const auto right = static_cast<size_t>(std::upper_bound(from.begin(), from.end(), logit) - from.begin());
  const double span = from[right] - from[right - 1];
  const double part = span > 0 ? (logit - from[right - 1]) / span : 1;
  return Sigmoid(to[right - 1] + part * (to[right] - to[right - 1]));
}

Calibration::Counts Calibration::CountsOf(int64_t horizon_ms) const {
  Counts counts;
  const auto found = horizons_.find(horizon_ms);
  if (found == horizons_.end()) return counts;
  counts.censored = found->second.censored;
  for (const Bin& bin : found->second.bins) {
    counts.outcomes += bin.outcomes;
    counts.failures += bin.failures;
  }
  return counts;
}

void Calibration::Add(const Calibration& other) {
  for (const auto& [horizon_ms, theirs] : other.horizons_) {
    Horizon* ours = Find(horizon_ms);
    if (ours == nullptr) continue;
    for (size_t b = 0; b < kBins; ++b) {
      ours->bins[b].outcomes += theirs.bins[b].outcomes;
      ours->bins[b].failures += theirs.bins[b].failures;
      ours->bins[b].said += theirs.bins[b].said;
      Fade(&ours->bins[b]);
    }
    ours->censored = std::min(ours->censored + theirs.censored, kCensoredMax);
    Fit(ours);
  }
}

std::string Calibration::Encode() const {
  json horizons = json::array();
  for (const auto& [horizon_ms, horizon] : horizons_) {
    json outcomes = json::array(), failures = json::array(), said = json::array();
    for (const Bin& bin : horizon.bins) {
      outcomes.push_back(bin.outcomes);
      failures.push_back(bin.failures);
      said.push_back(bin.said);
    }
    horizons.push_back({{"horizon_ms", horizon_ms},
                        {"outcomes", outcomes},
                        {"failures", failures},
                        {"said", said},
                        {"censored", horizon.censored}});
  }
  return json({{"version", 1}, {"horizons", horizons}}).dump();
}

Result<Calibration> Calibration::Decode(std::string_view text) {
  const auto bad = [](const std::string& what) { return Status(StatusCode::kInvalidArgument, "calibration: " + what); };
  if (text.size() > kTextBytesMax) return bad("longer than 64 KiB");
  const json in = json::parse(text, nullptr, false);
  if (!in.is_object() || !in.contains("version") || in["version"] != 1) return bad("field 'version': must be 1");
  if (!in.contains("horizons") || !in["horizons"].is_array() || in["horizons"].size() > kHorizonsMax) {
    return bad("field 'horizons': must be an array of at most 16");
  }
  const auto count = [](const json& value, double max, double* out) {
    if (!value.is_number()) return false;
    *out = value.get<double>();
    return *out >= 0 && *out <= max;
  };
  Calibration calibration;
  for (const json& one : in["horizons"]) {
    if (!one.is_object() || !one.contains("horizon_ms") || !one["horizon_ms"].is_number_integer()) {
      return bad("field 'horizon_ms': must be an integer");
    }
    Horizon* horizon = calibration.Find(one["horizon_ms"].get<int64_t>());
    if (horizon == nullptr) return bad("field 'horizon_ms': out of range");
    for (const char* field : {"outcomes", "failures", "said"}) {
      if (!one.contains(field) || !one[field].is_array() || one[field].size() != kBins) {
        return bad("field '" + std::string(field) + "': must have 12 numbers");
      }
    }
    for (size_t b = 0; b < kBins; ++b) {
      Bin& bin = horizon->bins[b];
      if (!count(one["outcomes"][b], kCountMax, &bin.outcomes) ||
          !count(one["failures"][b], bin.outcomes, &bin.failures) || !count(one["said"][b], bin.outcomes, &bin.said)) {
        return bad("field 'outcomes', 'failures' or 'said': an impossible number in bin " + std::to_string(b));
      }
    }
    if (!one.contains("censored") || !count(one["censored"], kCensoredMax, &horizon->censored)) {
      return bad("field 'censored': must be a number of at least 0");
    }
    Fit(horizon);
  }
  return calibration;
}

}  // namespace understudy::ensemble
