#include "predictors/builtin/trend/watch.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <span>

#include "predictors/builtin/trend/scatter.h"
#include "predictors/builtin/trend/season.h"
#include "predictors/builtin/trend/stairs.h"

namespace understudy::trend {
namespace {

// Every number that decides, in one place.
constexpr double kZ = 3;           // Mann-Kendall, one-sided 0.1 %
constexpr double kCertainty = 4;   // slope over its standard error, walk and past noise included
constexpr double kReachMax = 2.5;  // headroom over rise: no trend is carried on further than this beyond what was seen
constexpr double kReachSure = 1;
constexpr double kStairsReachMax = 1;    // bursts are carried on as far as they have come, no further
constexpr double kStairsWindowS = 3600;  // over more of a day its flank never goes back either
constexpr double kStairsCertainty = 2;   // that they go up is shown by their not going back; this is how fast
constexpr double kSuspect = 2;           // certainty from which growth is suspected
constexpr double kSuspectedFor = 0.25;   // of the fitted span
constexpr double kLikely = 0.5;          // that the limit is reached at all, not an asymptote below it
constexpr uint32_t kHeldMin = 3;         // fits in a row
constexpr uint32_t kShortHeldMin = 2;    // of teeth, and of what scatters, whose fits are a tooth or a pair apart
constexpr double kRecedeMax = 0.25;      // of the time that was left at a run's first fit: an end that recedes is none
constexpr size_t kYoungMin = 10, kOldMin = 24;  // samples
constexpr double kNewHigh = 2;                  // standard deviations above what was survived before
constexpr double kAgrees = 3;                   // standard deviations
constexpr double kFarS = 30 * 86400.0;
constexpr size_t kTeethMin = 6;
constexpr double kTeethZ = 2.5;         // six rising floors: 2.6
constexpr double kToothSamplesMin = 6;  // shorter ones are noise
constexpr double kFallMax = 0.25;       // of the time between two teeth
constexpr double kTallMin = 2.5;        // teeth over mean second difference; of white noise it is about 1.5
constexpr double kAbsurd = 100;         // times the largest value so far: believed when seen three times in a row
constexpr uint32_t kDoubtedMax = 3;
constexpr double kSameLimit = 0.01;
constexpr double kBend = 4;  // by AICc: strong evidence that a line bends
constexpr double kSureBend = 20;
constexpr double kScatterZ = 2.33;    // 1 %
constexpr uint32_t kScatterWait = 2;  // samples
constexpr double kScatterCertainty = 2.5;
constexpr double kScatterAgrees = 2;     // of the scatter of single points; a median of eight is compared
constexpr double kSameStart = 4;         // a limit that changes by more is another metric's
constexpr double kMeanToSigma = 1.2533;  // of a normal distribution: sigma over mean size
constexpr double kHugest = 1e18;

}  // namespace

bool Watch::Believable(double value) {
  const double size = std::abs(value);
  if (!(size <= kHugest)) return false;
  const double scale = std::max(largest_, std::abs(limit_.value_or(0)));
  if (series_.empty() || scale == 0 || size <= kAbsurd * scale) {
    doubted_ = 0;
    largest_ = std::max(largest_, size);
    return true;
  }
  if (++doubted_ < kDoubtedMax) return false;
  Clear();
  largest_ = size;
  return true;
}

double Watch::InSeries(double value) const {
  return (scatters_ ? StartedLog(value, start_) : down_ ? -value : value) - series_.base();
}

void Watch::TakeLimit(std::optional<double> limit) {
  if (limit && (!std::isfinite(*limit) || std::abs(*limit) > kHugest || (scatters_ && !(*limit > 0)))) limit.reset();
  if (limit == limit_) return;
  const bool same = limit && limit_ && std::abs(*limit - *limit_) <= kSameLimit * std::abs(*limit_);
  if (!same) ClearRuns();
  limit_ = limit;
  if (!scatters_ || !limit) return;
  const double start = kStartShare * *limit;
  if (start_ > 0 && start < kSameStart * start_ && start_ < kSameStart * start) return;
  if (!series_.empty()) Clear();
  limit_ = limit;
  start_ = start;
}

void Watch::Observe(int64_t time_ns, double value, std::optional<double> limit, FitMemory* memory) {
  TakeLimit(limit);
  if (!std::isfinite(value) || (!series_.empty() && time_ns <= series_.last_ns()) || !Believable(value)) return;
  value_ = value;
  if (scatters_ && start_ == 0) start_ = std::max(kStartShare * std::abs(limit_.value_or(value)), DBL_MIN);
  const size_t scales = series_.Observe(time_ns, scatters_ ? StartedLog(value, start_) : down_ ? -value : value);
  if (!limit_) return;
  if (runs_.size() < series_.scales()) {
    runs_.resize(series_.scales());
    stairs_.resize(series_.scales());
  }
  if (scatters_) {
    for (size_t k = 0; k < scales; ++k) StepScatter(k, memory);
    return;
  }
  for (size_t k = 0; k < scales; ++k) {
    Step(k, memory);
    StepStairs(k, memory);
  }
  if (series_.teeth_seen() != teeth_fitted_) StepTeeth(memory);
  if (teeth_run_.trend && !Sawing(0, -DBL_MAX)) teeth_run_ = {};
}

// A young series may be judged by ten samples; one that was calm for long has bursts that end by themselves.
size_t Watch::BucketsMin(size_t k) const {
  return k > 0 ? kPointsMin : std::clamp<uint64_t>(series_.samples() / 8, kYoungMin, kOldMin);
}

// From second differences, which a steady growth does not raise: of white noise they are sqrt(6) of its deviation, of a
// walk sqrt(2) of its step. The walk is taken from the next scale, over whose buckets white noise has averaged out.
PastNoise Watch::Past(size_t k) const {
  PastNoise past;
  const Scale& scale = series_.scale(k);
  if (scale.roughness_known(16)) past.spread = kMeanToSigma * scale.roughness() / std::sqrt(6);
  if (k + 1 < series_.scales() && series_.scale(k + 1).roughness_known(8)) {
    past.wander = kMeanToSigma * series_.scale(k + 1).roughness() / std::sqrt(2 * series_.bucket_s(k + 1));
  }
  return past;
}

// A fit costs some microseconds, so it is made for a window that could matter only: one in which the level rose enough,
// and once an eighth of the regime is new.
void Watch::Step(size_t k, FitMemory* memory) {
  const Scale& scale = series_.scale(k);
  Run& run = runs_[k];
  const double limit = (down_ ? -*limit_ : *limit_) - series_.base();
  ++run.since_fit;
  const double rise = static_cast<double>(scale.last_low()) - scale.lowest();
  // Under a daily cycle neither says anything, and fits of windows of days are rare.
  const bool of_days = static_cast<double>(scale.size()) * series_.bucket_s(k) > kSeasonWindowS;
  if (scale.size() < kPointsMin || (!of_days && (!(rise > 0) || kReachMax * rise < limit - scale.last_high()))) {
    if (run.held > 0 || run.trend) run = {};
    return;
  }
  // Nor where a walk such as the past's explains it.
  PastNoise past = Past(k);
  const double shortest_s = static_cast<double>(BucketsMin(k)) * series_.bucket_s(k);
  if (!of_days && !run.trend && rise < kCertainty * past.wander * std::sqrt(shortest_s)) {
    run.held = 0;
    return;
  }
  // A trend that is spoken of is looked at again as soon as the level has not followed it.
  const bool lags = run.trend && run.since_fit >= 2 && scale.last_high() <= run.trend->growth.level;
  if (run.since_fit < run.wait && !lags) return;
  run.since_fit = 0;

  Window& window = memory->window;
  scale.Extract(&window);
  window.bucket_s = series_.bucket_s(k);
  const Season season = TakeOutDailyCycle(&window, &memory->fit.sorted);
  Regime& regime = memory->regime;
  FindRegime(&window, &regime, &memory->fit.sorted, kBend);
  const size_t n = regime.x.size();
  // An eighth of the regime must be new; while a trend is to be confirmed, a sixteenth.
  const bool confirmed = run.held >= kHeldMin || run.held == 0;
  run.wait = static_cast<uint32_t>(std::max<size_t>(1, (window.n - regime.begin) / (confirmed ? 8 : 16)));
  const double at_s = window.time_s[window.n - 1];
  // Growth within what the series has been through before is a tooth or a day, not exhaustion.
  const double before = std::max(regime.before, scale.peak_before() - season.highest);
  if (n < kPointsMin || window.n - regime.begin < BucketsMin(k) || !(window.low[window.n - 1] > before) ||
      Sawing(window.bucket_s, scale.last_high())) {
    Judge(&run, std::nullopt, {.at_s = at_s});
    return;
  }
  if (season.found) past = {};  // of the cycle
  if (past.wander == 0 && !season.found && regime.begin > 0 && scale.roughness_known(16)) {
    // Cut out of a short past: until more is known, all its noise may be a walk.
    past.wander = kMeanToSigma * scale.roughness() / std::sqrt(2 * window.bucket_s);
  }
  std::optional<Growth> growth =
      FitGrowth(regime.x, regime.low, regime.high, limit - season.highest, window.bucket_s, past, &memory->fit);
  if (growth && season.found) growth->z = std::min(growth->z, season.z);
  if (growth && (growth->z < kZ || growth->level <= before + kNewHigh * growth->spread)) growth.reset();
  Judge(&run, growth, {.at_s = at_s, .cycle = season.widest});
}

// Either growth is shown by itself; or that the level is above all before, by its height or by a test over all of the
// window, and then that it still rises remains to be shown.
bool Watch::StillRises(const Window& window, const Regime& regime, const Growth& growth, double before,
                       FitMemory* memory) {
  if (growth.reach() > kReachMax || growth.level <= before + growth.spread || growth.z < kScatterZ) return false;
  if (growth.z >= kZ) return true;
  if (regime.begin >= kPointsMin && growth.level > before + kNewHigh * growth.spread) return true;
  return ScatterRise(window, growth.dependence, &memory->fit) >= kZ;
}

// As Step, for what scatters. Single samples decide nothing here: medians tell whether a fit could matter.
void Watch::StepScatter(size_t k, FitMemory* memory) {
  Run& run = runs_[k];
  const Scale& scale = series_.scale(k);
  if (++run.since_fit < (k == 0 ? kScatterWait : 1) || scale.size() < kPointsMin) return;
  run.since_fit = 0;
  const double limit = InSeries(*limit_);
  const double recent = k == 0 ? RecentLevel(series_) : scale.last_low();
  if (kReachMax * -std::expm1(scale.lowest() - recent) < std::expm1(limit - recent)) {
    Judge(&run, std::nullopt, {});
    return;
  }
  Window& window = memory->window;
  ExtractScatter(series_, k, &window);
  const Season season = TakeOutDailyCycle(&window, &memory->fit.sorted);
  Regime& regime = memory->regime;
  // Three samples are no level: what was held before the window of samples is told by the next one.
  double earlier = -DBL_MAX;
  if (k > 0) earlier = scale.peak_before() - season.highest;
  if (k == 0 && series_.scales() > 1) earlier = series_.scale(1).Held(scale.size() / Series::kMerge + 1);
  // Spikes make bends of their own, and a creep's beginning is one: with as little cut off as possible, and if that
  // shows nothing, with all that may be.
  std::optional<Growth> growth;
  size_t cut = window.n;
  for (const double evidence : {kSureBend, kBend}) {
    FindRegime(&window, &regime, &memory->fit.sorted, evidence);
    if (regime.x.size() < kPointsMin || regime.begin == cut) continue;
    cut = regime.begin;
    std::optional<Growth> fit = FitScatter(regime, limit - season.highest, k == 0, &memory->fit);
    if (fit && season.found) fit->z = std::min(fit->z, season.z);
    if (fit && StillRises(window, regime, *fit, std::max(earlier, regime.before), memory)) growth = fit;
    if (growth && growth->certainty >= kScatterCertainty) break;
  }
  Judge(&run, growth, {.at_s = window.time_s[window.n - 1], .cycle = season.widest, .scatters = true});
}

// Costs a pass over the window, and that only where it has risen by as much as is left.
void Watch::StepStairs(size_t k, FitMemory* memory) {
  const Scale& scale = series_.scale(k);
  Run& run = stairs_[k];
  const double limit = (down_ ? -*limit_ : *limit_) - series_.base();
  const double rise = static_cast<double>(scale.last_low()) - scale.lowest();
  const bool too_long = static_cast<double>(scale.size()) * series_.bucket_s(k) > kStairsWindowS;
  if (too_long || !(rise > 0) || kStairsReachMax * rise < limit - scale.last_high() || Sawing(0, -DBL_MAX) ||
      !(scale.last_low() > scale.peak_before())) {
    if (run.held > 0 || run.trend) run = {};
    return;
  }
  Window& window = memory->window;
  scale.Extract(&window);
  window.bucket_s = series_.bucket_s(k);
  std::optional<Growth> growth = FitStairs(window, limit);
  if (growth && growth->reach() > kStairsReachMax) growth.reset();
  Judge(&run, growth, {.at_s = window.time_s[window.n - 1], .stairs = true});
}

// The floors of a saw-tooth as a series of its own: they show growth long before buckets have become longer than teeth.
void Watch::StepTeeth(FitMemory* memory) {
  teeth_fitted_ = series_.teeth_seen();
  const std::vector<Tooth>& teeth = series_.teeth();
  if (teeth.size() < kTeethMin || !Sawing(0, -DBL_MAX)) {
    teeth_run_ = {};
    return;
  }
  // The last stretch in which floors do not fall.
  size_t begin = teeth.size() - 1;
  while (begin > 0 && teeth[begin].floor > teeth[begin - 1].floor) --begin;
  begin = std::min(begin, teeth.size() - kTeethMin);
  Regime& regime = memory->regime;
  regime.x.clear();
  regime.low.clear();
  regime.high.clear();
  for (size_t i = begin; i < teeth.size(); ++i) {
    regime.x.push_back(teeth[i].time_s - teeth.back().time_s);
    regime.low.push_back(teeth[i].floor);
    regime.high.push_back(teeth[i].peak);
  }
  const double limit = (down_ ? -*limit_ : *limit_) - series_.base();
  std::optional<Growth> growth = FitGrowth(regime.x, regime.low, regime.high, limit, 0, {}, &memory->fit);
  if (growth && growth->z < kTeethZ) growth.reset();
  Judge(&teeth_run_, growth, {.at_s = teeth.back().time_s, .teeth = true});
}

// Whether a saw-tooth is under way that buckets of `bucket_s` would see as growth, and `last` has not broken out of it.
bool Watch::Sawing(double bucket_s, double last) const {
  const std::vector<Tooth>& teeth = series_.teeth();
  if (teeth.size() < 2) return false;
  const size_t begin = teeth.size() - std::min<size_t>(teeth.size(), 8);
  const double period = (teeth.back().time_s - teeth[begin].time_s) / static_cast<double>(teeth.size() - 1 - begin);
  if (series_.Since(series_.last_ns()) - teeth.back().time_s > 3 * period) return false;
  if (period < kToothSamplesMin * series_.cadence_s() || bucket_s > period) return false;
  double peak = -DBL_MAX, height = 0, tall = 0, fall_s = 0;
  for (size_t i = begin; i < teeth.size(); ++i) {
    fall_s += teeth[i].fall_s / static_cast<double>(teeth.size() - begin);
    peak = std::max(peak, teeth[i].peak);
    height = std::max(height, teeth[i].peak - teeth[i].floor);
    tall += (teeth[i].peak - teeth[i].floor) / static_cast<double>(teeth.size() - begin);
  }
  // A saw falls at once and in between rises smoothly; noise and the cycles of a day do neither.
  if (tall < kTallMin * series_.scale(0).roughness()) return false;
  if (fall_s > std::max(kFallMax * period, 1.5 * series_.cadence_s())) return false;
  return last < peak + height / 2;
}

// Takes a fit's word only when it said the same before, and its end did not recede meanwhile.
void Watch::Judge(Run* run, std::optional<Growth> growth, const Trend& shape) {
  const double at_s = shape.at_s;
  if (growth && growth->certainty >= kSuspect && growth->reach() <= kReachMax) {
    suspected_ = shape;
    suspected_->growth = *growth;
  }
  std::optional<double> end_s;
  if (growth &&
      growth->certainty >= (shape.stairs     ? kStairsCertainty
                            : shape.scatters ? kScatterCertainty
                                             : kCertainty) &&
      growth->reach() <= kReachMax) {
    end_s = growth->Quantile(kLikely, kFarS);
  }
  if (!end_s) {
    if (run->held > 0 && ++run->missed <= 1) return;  // once is no reason
    const uint32_t wait = run->wait;
    *run = {};
    run->wait = wait;
    return;
  }
  run->missed = 0;
  const double left_s = *end_s;
  const double first_left_s = run->first_end_s - run->first_s;
  // Of what scatters the end is not known to within less than a share of what was seen.
  const double slack_s = kRecedeMax * (shape.scatters ? std::max(first_left_s, growth->span_s) : first_left_s);
  const bool there = shape.scatters && !(growth->headroom > 0);
  const bool recedes = !there && at_s + left_s > run->first_end_s + slack_s;
  if (run->held == 0 || recedes) {
    // Once most of the way is seen, an end that moves is a matter of how fast, no longer of whether.
    if (!(run->trend && growth->reach() <= kReachSure)) {
      run->held = 0;
      run->trend.reset();
    }
    run->first_s = at_s;
    run->first_end_s = at_s + left_s;
  }
  if (run->held < UINT32_MAX) ++run->held;
  if (run->held < (shape.teeth || shape.scatters ? kShortHeldMin : kHeldMin)) return;
  Trend trend = shape;
  trend.growth = *growth;
  trend.p50_s = left_s;
  trend.p10_s = std::min(left_s, growth->Quantile(0.1, kFarS).value_or(left_s));
  trend.p90_s = std::max(left_s, growth->Quantile(0.9, kFarS).value_or(kFarS));
  run->trend = trend;
}

bool Watch::Known(int64_t now_ns, double stale_s) const {
  if (series_.empty()) return false;
  const double limit_s = stale_s > 0 ? stale_s : 10 * std::max(series_.cadence_s(), 0.1);
  return static_cast<double>(now_ns - series_.last_ns()) * 1e-9 <= limit_s;
}

// A fit is made now and then; a level that has stood still or leapt since then tells that its story is over.
bool Watch::Agrees(const Trend& trend) const {
  const double since_s = series_.Since(series_.last_ns()) - trend.at_s;
  double margin = kAgrees * trend.growth.spread + trend.cycle;
  double last = InSeries(value_);
  if (scatters_) {
    last = RecentLevel(series_);
    margin += kScatterAgrees * trend.growth.scatter;
  }
  return last >= trend.growth.level - margin && last <= trend.growth.Level(since_s) + trend.growth.peak + margin;
}

const Trend* Watch::Suspected() const {
  if (!suspected_ || !Agrees(*suspected_)) return nullptr;
  const double since_s = series_.Since(series_.last_ns()) - suspected_->at_s;
  return since_s <= kSuspectedFor * suspected_->growth.span_s ? &*suspected_ : nullptr;
}

const Trend* Watch::Best() const {
  const Trend* best = nullptr;
  double best_ratio = 0;
  const auto consider = [&](const Run& run) {
    if (!run.trend || run.missed > 0 || !Agrees(*run.trend)) return;
    const double ratio = run.trend->p90_s / std::max(run.trend->p10_s, 1e-3);
    if (best && ratio >= best_ratio) return;
    best = &*run.trend;
    best_ratio = ratio;
  };
  for (const Run& run : runs_) consider(run);
  for (const Run& run : stairs_) consider(run);
  consider(teeth_run_);
  return best;
}

void Watch::ClearRuns() {
  runs_.clear();
  stairs_.clear();
  suspected_.reset();
  teeth_run_ = {};
}

void Watch::Clear() {
  series_.Clear();
  start_ = 0;
  ClearRuns();
  teeth_fitted_ = 0;
  largest_ = 0;
  doubted_ = 0;
}

}  // namespace understudy::trend
