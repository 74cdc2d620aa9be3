#include "predictors/policy/fleet_faults.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "log/env/random.h"

namespace understudy::policy {
namespace {

constexpr double kDay_s = 86'400;
constexpr int64_t kHorizonsMs[] = {60'000, 300'000, 1'800'000};

double Unit(Random* random) { return static_cast<double>((random->Next64() >> 11) + 1) * 0x1p-53; }  // (0, 1]
double Exponential(Random* random, double mean) { return -std::log(Unit(random)) * mean; }
// Box and Muller.
double Normal(Random* random) {
  const double radius = std::sqrt(-2 * std::log(Unit(random)));
  return radius * std::cos(2 * std::numbers::pi * Unit(random));
}
double Between(Random* random, double from, double to) { return from + Unit(random) * (to - from); }

// P(ln T <= ln t) for T log-normal.
double LogNormalCdf(double t, double median, double sigma) {
  return 0.5 * std::erfc(-(std::log(t) - std::log(median)) / (sigma * std::numbers::sqrt2));
}

}  // namespace

std::vector<Fault> DrawFaults(const FaultModel& model, int primaries, double days, uint64_t seed) {
  std::vector<Fault> out;
  const double end_s = days * kDay_s;
  SeededRandom random(seed);
  const auto gradual = [&](int primary, double begin_s, double ramp_s) {
    Fault fault{FaultKind::kGradual, primary, begin_s, begin_s + ramp_s, 0, Normal(&random), false, 0.5, 1};
    const bool seen = Unit(&random) <= model.recall;
    fault.visible_s = seen ? begin_s + ramp_s * Between(&random, model.visible_from, 0.9) : fault.end_s + 1;
    fault.node_lost = Unit(&random) <= model.node_lost_share;
    fault.level = Between(&random, 0.2, 0.8);
    fault.power = Between(&random, 1, 4);
    out.push_back(fault);
  };
  // Each kind of event of each primary is a Poisson process.
  const auto every = [&](double mean_days, const auto& make) {
    if (mean_days <= 0) return;
    for (double at_s = Exponential(&random, mean_days * kDay_s); at_s < end_s;) {
      make(at_s);
      at_s += Exponential(&random, mean_days * kDay_s);
    }
  };
  const auto per_day = [](double rate) { return rate > 0 ? 1 / rate : 0; };
  for (int i = 0; i < primaries; ++i) {
    every(model.gradual_every_days, [&](double at_s) {
      const double low = std::log(model.ramp_min_s), high = std::log(model.ramp_max_s);
      gradual(i, at_s, std::exp(Between(&random, low, high)));
    });
    every(model.sudden_every_days, [&](double at_s) {
      out.push_back({FaultKind::kSudden, i, at_s, at_s, at_s + 1, 0, Unit(&random) <= model.node_lost_share, 0.5, 1});
    });
    every(per_day(model.false_alarms_per_day), [&](double at_s) {
      out.push_back(
          {FaultKind::kFalseAlarm, i, at_s, at_s + Between(&random, 30, 300), 0, Normal(&random), false, 0.5, 1});
    });
    every(per_day(model.peaks_per_day), [&](double at_s) {
      out.push_back({FaultKind::kPeak, i, at_s, at_s + Between(&random, 60, 600), 0, 0, false, 0.5, 1});
    });
  }
  every(model.common_every_days, [&](double at_s) {
    for (int i = 0; i < primaries; ++i) {
      if (Unit(&random) <= model.common_share) gradual(i, at_s, Between(&random, 1200, 2400));
    }
  });
  every(model.scare_every_days, [&](double at_s) {
    for (int i = 0; i < primaries; ++i) {
      if (Unit(&random) > model.scare_share) continue;
      out.push_back({FaultKind::kFalseAlarm, i, at_s, at_s + 600, 0, Normal(&random), false, 0.5, 1});
    }
  });
  std::stable_sort(out.begin(), out.end(), [](const Fault& a, const Fault& b) {
    return a.begin_s != b.begin_s ? a.begin_s < b.begin_s : a.primary < b.primary;
  });
  return out;
}

std::vector<StateSize> DrawStates(const FaultModel& model, int primaries, uint64_t seed) {
  SeededRandom random(seed ^ 0x9e3779b97f4a7c15u);
  std::vector<StateSize> out(static_cast<size_t>(primaries));
  for (StateSize& state : out) {
    state.load_s = model.load_s * std::exp(0.7 * Normal(&random));
    state.replay_s = model.replay_s * std::exp(0.7 * Normal(&random));
  }
  return out;
}

std::vector<ForecastView> ForecastsOf(const FaultModel& model, const Fault& fault, double now_s) {
  std::vector<ForecastView> out;
  if (fault.kind == FaultKind::kSudden || fault.kind == FaultKind::kPeak || now_s < fault.visible_s) return out;
  const bool real = fault.kind == FaultKind::kGradual;
  const double left_s = std::max(1.0, fault.end_s - now_s);
  const double ramp_s = std::max(1.0, fault.end_s - fault.begin_s);
  // The less is left, the better it is known.
  const double sigma = model.sigma * (0.5 + 0.5 * std::min(1.0, left_s / ramp_s));
  const double median_s = left_s * std::exp(sigma * fault.error);
  for (const int64_t horizon_ms : kHorizonsMs) {
    ForecastView forecast;
    forecast.predictor = "model";
    forecast.known = true;
    forecast.horizon_ms = horizon_ms;
    forecast.confidence = 1;
    if (real) {
      forecast.probability = 0.97 * LogNormalCdf(static_cast<double>(horizon_ms) / 1000, median_s, sigma);
      forecast.has_ttf = true;
      constexpr double kZ90 = 1.2816;
      forecast.ttf_p10_s = median_s * std::exp(-kZ90 * sigma);
      forecast.ttf_p50_s = median_s;
      forecast.ttf_p90_s = median_s * std::exp(kZ90 * sigma);
    } else {
      forecast.probability = std::clamp(0.75 + 0.1 * fault.error, 0.05, 0.97);
    }
    out.push_back(std::move(forecast));
  }
  return out;
}

double LevelOf(const Fault& fault, double now_s) {
  if (fault.kind == FaultKind::kPeak) return 0.95;
  if (fault.kind != FaultKind::kGradual || fault.visible_s > fault.end_s) return 0.5;
  const double share = std::clamp((now_s - fault.begin_s) / (fault.end_s - fault.begin_s), 0.0, 1.0);
  return fault.level + (1 - fault.level) * std::pow(share, fault.power);
}

}  // namespace understudy::policy
