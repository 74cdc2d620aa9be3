// How a regime grows, and when it reaches its limit: robust fit, choice of the growth's form, distribution of the time
// to exhaustion. Pure. The literature is cited where it is used, in growth.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace understudy::trend {

// level(t) = level + speed * T * (e^(bend t / T) - 1) / bend, t seconds ahead; T the fitted span. Linear where bend is
// 0, exponential above, saturating below.
struct Curve {
  double speed = 0;  // per second, now
  double bend = 0;
  double weight = 0;  // Akaike weight of this form against the other
  bool even = false;  // of a logarithm, of what grows by the same amount each second: log(1 + speed * t)
};

// What the series' longer past says of its noise; zeros: nothing.
struct PastNoise {
  double spread = 0;  // standard deviation around any trend, of a bucket's lowest value
  double wander = 0;  // standard deviation of its random walk over one second, so that sqrt(t) times that is usual
};

struct Growth {
  double z = 0;          // Mann-Kendall
  double certainty = 0;  // slope over its standard error
  double level = 0;      // of the lower envelope, at the last bucket
  double peak = 0;       // how far the peaks are above that
  double headroom = 0;   // from level to where the peaks reach the limit
  double rise = 0;       // over the fitted span
  double span_s = 0;
  double spread = 0;         // of the peaks around their line
  double wander = 0;         // per sqrt(second)
  double dependence = 1;     // values that say as much as an independent one
  bool logarithmic = false;  // level, rise and headroom are logarithms
  double scatter = 0;        // of single points around the level, where that is more than `spread`
  Curve linear, curved;
  size_t points = 0;

  // P(the limit is reached within `t` seconds of the last bucket).
  double Reached(double t) const;
  // Of the lower envelope, `t` seconds after the last bucket.
  double Level(double t) const;
  // Smallest t with Reached(t) >= q; nothing when that is beyond `far_s`.
  std::optional<double> Quantile(double q, double far_s) const;
  double speed() const { return linear.weight * linear.speed + curved.weight * curved.speed; }
  // Relative to what it still has to go: how far a forecast looks beyond what was seen.
  double reach() const;

 private:
  double Gain(const Curve& curve, double t) const;
  double Parabola(const Curve& curve, double t) const;
};

struct FitScratch {
  std::vector<double> pairs, bent, rests, sorted;
};

// `x` ascends and ends at about 0 (seconds), at least kPointsMin points. `limit` is in the units of `low` and `high`;
// `bucket_s` the time a bucket of the series takes. Nothing: it does not grow.
std::optional<Growth> FitGrowth(std::span<const double> x, std::span<const double> low, std::span<const double> high,
                                double limit, double bucket_s, const PastNoise& past, FitScratch* scratch);

}  // namespace understudy::trend
