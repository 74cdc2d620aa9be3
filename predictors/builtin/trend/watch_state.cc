// The saved state of a watch.
#include <cmath>

#include "predictors/builtin/trend/watch.h"

namespace understudy::trend {

void Watch::Save(StateWriter* out) const {
  series_.Save(out);
  out->Put(static_cast<uint8_t>(limit_.has_value()));
  out->Put(limit_.value_or(0));
  out->Put(value_);
  out->Put(start_);
  out->Put(largest_);
  out->Put(doubted_);
  out->Put(teeth_fitted_);
  out->Put(static_cast<uint32_t>(runs_.size()));
  const auto put_trend = [&](const std::optional<Trend>& trend) {
    out->Put(static_cast<uint8_t>(trend.has_value()));
    if (!trend) return;
    const Growth& growth = trend->growth;
    for (const double value :
         {trend->at_s,        trend->cycle,         trend->p10_s,        trend->p50_s,       trend->p90_s,
          growth.z,           growth.certainty,     growth.level,        growth.peak,        growth.headroom,
          growth.rise,        growth.span_s,        growth.spread,       growth.wander,      growth.linear.speed,
          growth.linear.bend, growth.linear.weight, growth.curved.speed, growth.curved.bend, growth.curved.weight,
          growth.scatter}) {
      out->Put(value);
    }
    out->Put(static_cast<uint8_t>(trend->teeth));
    out->Put(static_cast<uint8_t>(trend->stairs));
    out->Put(static_cast<uint8_t>(growth.curved.even));
    out->Put(static_cast<uint32_t>(growth.points));
  };
  const auto put = [&](const Run& run) {
    out->Put(run.since_fit);
    out->Put(run.wait);
    out->Put(run.held);
    out->Put(run.missed);
    out->Put(run.first_s);
    out->Put(run.first_end_s);
    put_trend(run.trend);
  };
  put_trend(suspected_);
  for (const Run& run : runs_) put(run);
  for (const Run& run : stairs_) put(run);
  put(teeth_run_);
}

bool Watch::Restore(StateReader* in) {
  Clear();
  bool has_limit = false;
  double limit = 0;
  uint32_t count = 0;
  bool sound = series_.Restore(in) && in->GetBool(&has_limit) && in->Get(&limit) && in->Get(&value_);
  sound = sound && in->Get(&start_) && std::isfinite(start_) && start_ >= 0 &&
          (series_.empty() || scatters_ == (start_ > 0));
  sound = sound && in->Get(&largest_) && in->Get(&doubted_) && in->Get(&teeth_fitted_) && in->Get(&count);
  if (!sound || count > Series::kScalesMax || !std::isfinite(limit) || !std::isfinite(value_) ||
      !std::isfinite(largest_)) {
    return false;
  }
  if (has_limit) limit_ = limit;
  const auto get_trend = [&](std::optional<Trend>* into) {
    bool has_trend = false;
    bool fine = in->GetBool(&has_trend);
    if (!fine || !has_trend) return fine;
    Trend& trend = into->emplace();
    Growth& growth = trend.growth;
    for (double* value :
         {&trend.at_s,         &trend.cycle,          &trend.p10_s,         &trend.p50_s,        &trend.p90_s,
          &growth.z,           &growth.certainty,     &growth.level,        &growth.peak,        &growth.headroom,
          &growth.rise,        &growth.span_s,        &growth.spread,       &growth.wander,      &growth.linear.speed,
          &growth.linear.bend, &growth.linear.weight, &growth.curved.speed, &growth.curved.bend, &growth.curved.weight,
          &growth.scatter}) {
      fine = fine && in->Get(value) && std::isfinite(*value);
    }
    uint32_t points = 0;
    fine = fine && in->GetBool(&trend.teeth) && in->GetBool(&trend.stairs) && in->GetBool(&growth.curved.even) &&
           in->Get(&points) && growth.span_s > 0 && growth.certainty > 0 && 0 <= trend.p10_s &&
           trend.p10_s <= trend.p50_s && trend.p50_s <= trend.p90_s;
    growth.points = points;
    trend.scatters = scatters_;
    return fine;
  };
  const auto get = [&](Run* run) {
    return in->Get(&run->since_fit) && in->Get(&run->wait) && in->Get(&run->held) && in->Get(&run->missed) &&
           in->Get(&run->first_s) && in->Get(&run->first_end_s) && run->wait > 0 && get_trend(&run->trend);
  };
  if (!get_trend(&suspected_)) return false;
  runs_.resize(count);
  stairs_.resize(count);
  for (Run& run : runs_) {
    if (!get(&run)) return false;
  }
  for (Run& run : stairs_) {
    if (!get(&run)) return false;
  }
  return get(&teeth_run_);
}

}  // namespace understudy::trend
