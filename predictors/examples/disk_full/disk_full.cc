// The smallest predictor that is of use: forecasts a failure when the disk is nearly full.
#include <understudy/predictor.hpp>

class DiskFull {
 public:
  DiskFull(understudy::sdk::Host host, std::string_view) : host_(host) {}
  std::vector<std::string> Metrics() const { return {"node.disk_free_fraction"}; }
  void Observe(const understudy::sdk::SampleView& sample) {
    if (sample[0]) free_ = sample[0];
  }
  int32_t Predict(int64_t, std::span<understudy_forecast> forecasts) const {
    if (!free_) {
      host_.Explain("no word of the disk yet");
      return UNDERSTUDY_WARMING;
    }
    for (understudy_forecast& forecast : forecasts) {
      forecast.probability = *free_ < 0.02 ? 0.8 : 0.01;
      forecast.confidence = 1;
      understudy::sdk::SetReason(&forecast, "disk " + std::to_string(100 * *free_) + " % free");
    }
    return UNDERSTUDY_OK;
  }

 private:
  understudy::sdk::Host host_;
  std::optional<double> free_;
};
UNDERSTUDY_PREDICTOR(DiskFull, "disk_full", "1.0.0")
