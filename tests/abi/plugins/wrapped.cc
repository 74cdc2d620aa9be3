// A plugin in C++, as an author would write one: the mean of "load" decides.
#include "understudy/predictor.hpp"

namespace {

class Wrapped {
 public:
  Wrapped(understudy::sdk::Host host, std::string_view config) : host_(host) {
    if (config != "{}") throw understudy::sdk::BadConfig("config: has no fields");
  }
  std::vector<std::string> Metrics() const { return {"load"}; }
  void Observe(const understudy::sdk::SampleView& sample) {
    if (const std::optional<double> load = sample[0]) {
      sum_ += *load;
      ++count_;
    }
  }
  int32_t Predict(int64_t, std::span<understudy_forecast> forecasts) const {
    if (count_ == 0) {
      host_.Explain("no load yet");
      return UNDERSTUDY_WARMING;
    }
    for (understudy_forecast& forecast : forecasts) {
      forecast.probability = sum_ / count_ / 100;
      forecast.confidence = 0.5;
      understudy::sdk::SetReason(&forecast, "mean of " + std::to_string(count_));
    }
    return UNDERSTUDY_OK;
  }

 private:
  understudy::sdk::Host host_;
  double sum_ = 0;
  int count_ = 0;
};

}  // namespace

UNDERSTUDY_PREDICTOR(Wrapped, "wrapped", "1.0.0")
