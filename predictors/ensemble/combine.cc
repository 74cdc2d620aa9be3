#include "predictors/ensemble/combine.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "predictors/stats/platt.h"

namespace understudy::ensemble {
namespace {

constexpr double kConfidenceMin = 0.05;  // of a forecast that is OK at all: it weighs a little

struct Voice {
  const Forecast* forecast;
  double probability;  // calibrated
  double weight = 0;
};

std::string Short(double p) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", p);
  return text;
}

void CombineTtf(const std::vector<Voice>& voices, Forecast* out) {
  double weights = 0, p10 = 0, p50 = 0, p90 = 0;
  const auto log_s = [](double seconds) { return std::log(std::max(seconds, 1e-3)); };
  for (const Voice& voice : voices) {
    if (!voice.forecast->has_ttf) continue;
    weights += voice.weight;
    p10 += voice.weight * log_s(voice.forecast->ttf_p10_s);
    p50 += voice.weight * log_s(voice.forecast->ttf_p50_s);
    p90 += voice.weight * log_s(voice.forecast->ttf_p90_s);
  }
  if (weights <= 0) return;
  out->has_ttf = true;
  out->ttf_p10_s = std::exp(p10 / weights);
  out->ttf_p50_s = std::max(out->ttf_p10_s, std::exp(p50 / weights));
  out->ttf_p90_s = std::max(out->ttf_p50_s, std::exp(p90 / weights));
}

Forecast Pool(std::vector<Voice> voices) {
  const auto loudest = [](const Voice& a, const Voice& b) { return a.probability < b.probability; };
  const Voice top = *std::max_element(voices.begin(), voices.end(), loudest);
  const bool warns = top.probability > kQuiet;
  if (warns) std::erase_if(voices, [](const Voice& voice) { return voice.probability <= kQuiet; });
  const double quiet = stats::Logit(kQuiet);
  double weights = 0, log_odds = 0, confidence = 0;
  for (Voice& voice : voices) {
    const double evidence = std::max(0.0, stats::Logit(voice.probability) - quiet);
    voice.weight = std::max(voice.forecast->confidence, kConfidenceMin) * (warns ? evidence / (evidence + 1) : 1);
    weights += voice.weight;
    log_odds += voice.weight * stats::Logit(voice.probability);
    confidence += voice.weight * voice.forecast->confidence;
  }
  Forecast out;
  out.predictor = kEnsemble;
  out.version = "1";
  out.status = ForecastStatus::kOk;
  out.probability = top.probability;
  out.confidence = top.forecast->confidence;
  if (warns && weights > 0 && voices.size() > 1) {
    const auto [low, high] = std::minmax_element(voices.begin(), voices.end(), loudest);
    out.probability = std::clamp(stats::Sigmoid(log_odds / weights), low->probability, high->probability);
    out.confidence = std::clamp(confidence / weights, 0.0, 1.0);
  }
  CombineTtf(voices, &out);
  out.restart_cures =
      std::all_of(voices.begin(), voices.end(), [](const Voice& voice) { return voice.forecast->restart_cures; });
  if (warns) {
    for (const Voice& voice : voices) {
      out.reason +=
          (out.reason.empty() ? "" : ", ") + voice.forecast->predictor + " " + Short(voice.forecast->probability);
      const std::string meant = Short(voice.probability);
      if (meant != Short(voice.forecast->probability)) out.reason += " (so far worth " + meant + ")";
    }
    out.reason += ": " + top.forecast->reason;
  } else {
    out.reason = top.forecast->predictor + ": " + top.forecast->reason;
  }
  return out;
}

}  // namespace

std::vector<Forecast> Combine(const std::vector<Forecast>& forecasts, const Calibrate& calibrate) {
  std::set<int64_t> horizons;
  for (const Forecast& forecast : forecasts) {
    if (!forecast.shadow) horizons.insert(forecast.horizon_ms);
  }
  std::vector<Forecast> out;
  double before = 0;
  for (int64_t horizon_ms : horizons) {
    std::vector<Voice> voices;
    const Forecast* unable = nullptr;
    for (const Forecast& forecast : forecasts) {
      if (forecast.shadow || forecast.horizon_ms != horizon_ms) continue;
      if (forecast.status == ForecastStatus::kOk) {
        const double meant = calibrate ? calibrate(forecast) : forecast.probability;
        voices.push_back({&forecast, meant >= 0 && meant <= 1 ? meant : forecast.probability});
      } else if (unable == nullptr ||
                 (unable->status == ForecastStatus::kAbstain && forecast.status == ForecastStatus::kWarming)) {
        unable = &forecast;
      }
    }
    Forecast one;
    if (!voices.empty()) {
      one = Pool(std::move(voices));
      one.probability = before = std::max(before, one.probability);
    } else {
      one.predictor = kEnsemble;
      one.version = "1";
      one.status = unable->status;
      one.reason = unable->predictor + ": " + unable->reason;
    }
    one.horizon_ms = horizon_ms;
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace understudy::ensemble
