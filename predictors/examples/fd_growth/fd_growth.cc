// fd_growth, a predictor in C++20: forecasts that a process runs out of file descriptors, from the growth of proc.fds
// and the limit the process has.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <understudy/predictor.hpp>

namespace {

constexpr double kHalfLifeS = 20;  // older growth counts half after so long
constexpr int64_t kStaleNs = 30'000'000'000;

class Predictor {
 public:
  // The configuration is the JSON of the service file; this plugin has none. A plugin with fields parses them here,
  // with the JSON library it likes, and names the wrong one: throw BadConfig("limit: must be above 0").
  Predictor(understudy::sdk::Host host, std::string_view config) : host_(host) {
    if (config != "{}") throw understudy::sdk::BadConfig("config: fd_growth has no fields, give {}");
  }

  std::vector<std::string> Metrics() const { return {"proc.fds", "proc.fds_limit"}; }

  void Observe(const understudy::sdk::SampleView& sample) {
    if (sample[1] && *sample[1] > 0) limit_ = *sample[1];
    if (!sample[0]) return;  // missing is not zero: it changes nothing
    const double value = *sample[0];
    if (samples_ > 0) {
      const double seconds = static_cast<double>(sample.time_ns() - last_ns_) * 1e-9;
      const double weight = 1 - std::exp2(-seconds / kHalfLifeS);
      const double now = (value - last_) / seconds;
      const double next = samples_ == 1 ? now : slope_ + weight * (now - slope_);
      if (std::isfinite(next)) slope_ = next;  // values beyond all measure teach nothing
    }
    last_ = value;
    last_ns_ = sample.time_ns();
    ++samples_;
  }

  int32_t Predict(int64_t now_ns, std::span<understudy_forecast> forecasts) const {
    if (samples_ < 10) {
      host_.Explain(std::to_string(samples_) + " of the 10 samples of proc.fds that are needed");
      return UNDERSTUDY_WARMING;
    }
    if (limit_ <= 0 || now_ns - last_ns_ > kStaleNs) {
      host_.Explain(limit_ <= 0 ? "proc.fds_limit is not known" : "no value of proc.fds in the last 30 s");
      return UNDERSTUDY_ABSTAIN;
    }
    // Seconds until the line through the last value reaches the limit.
    const double left_s = last_ >= limit_ ? 0 : slope_ > 0 ? (limit_ - last_) / slope_ : INFINITY;
    for (understudy_forecast& forecast : forecasts) {
      const double horizon_s = static_cast<double>(forecast.horizon_ns) * 1e-9;
      const double share = std::min(1.0, horizon_s / std::max(left_s, 1e-3));
      forecast.probability = std::max(0.005, 0.9 * share);
      forecast.confidence = 1;
      if (left_s < 86400) {
        forecast.has_ttf = 1;
        forecast.ttf_p10_s = 0.6 * left_s;
        forecast.ttf_p50_s = left_s;
        forecast.ttf_p90_s = 2 * left_s;
      }
      std::snprintf(forecast.reason, sizeof forecast.reason, "%g of %g descriptors are open, %+.1f a second", last_,
                    limit_, slope_);
    }
    return UNDERSTUDY_OK;
  }

  // Another process: what was observed no longer counts.
  void Reset(int32_t) { *this = Predictor(host_, "{}"); }

 private:
  understudy::sdk::Host host_;
  int64_t samples_ = 0, last_ns_ = 0;
  double limit_ = 0;  // not known yet
  double last_ = 0, slope_ = 0;
};

}  // namespace

UNDERSTUDY_PREDICTOR(Predictor, "fd_growth", "0.1.0")
