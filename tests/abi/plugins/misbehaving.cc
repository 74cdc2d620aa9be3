// A plugin that does what its configuration names, while the metric "trouble" is 1: {"crash"}, {"hang": 1}, ... It is
// well otherwise.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

#include "understudy/predictor.hpp"

namespace {

constexpr std::string_view kHangWhile = "hang while ";  // ... this file exists

volatile char g_sink = 0;  // keeps what is written to the hoard from being left out

class Misbehaving {
 public:
  Misbehaving(understudy::sdk::Host, std::string_view config) : mode_(FirstQuoted(config)) {
    if (mode_ == "crash at once") Crash();
    if (mode_ == "hang at once") Hang();
  }
  std::vector<std::string> Metrics() const { return {"trouble"}; }
  void Observe(const understudy::sdk::SampleView& sample) { trouble_ = sample[0].value_or(0) == 1; }
  int32_t Predict(int64_t, std::span<understudy_forecast> forecasts) const {
    for (understudy_forecast& forecast : forecasts) {
      forecast.probability = 0.25;
      forecast.confidence = 1;
    }
    if (mode_ == "whereabouts") understudy::sdk::SetReason(&forecasts[0], std::to_string(getpid()));
    if (trouble_) Misbehave(forecasts);
    return UNDERSTUDY_OK;
  }

 private:
  static std::string FirstQuoted(std::string_view config) {
    const size_t begin = config.find('"') + 1;
    return std::string(config.substr(begin, config.find('"', begin) - begin));
  }
  static void Crash() {
    std::signal(SIGSEGV, SIG_DFL);  // the sanitizers have a handler of their own
    std::raise(SIGSEGV);
  }
  [[noreturn]] static void Hang() {
    while (true) g_sink = g_sink + 1;
  }
  void Misbehave(std::span<understudy_forecast> forecasts) const {
    if (mode_ == "crash") Crash();
    if (mode_ == "exit") std::_Exit(7);
    if (mode_ == "chatter") {
      for (int i = 0; i < 1000; ++i) std::printf("noise %d\n", i), std::fprintf(stderr, "noise\n");
      std::fflush(stdout);
    }
    if (mode_ == "scribble") (void)!write(3, "\x05\0\0\0rubbish", 11);  // where the host listens
    if (mode_ == "deaf") {
      for (int signal = 1; signal < 32; ++signal) std::signal(signal, SIG_IGN);
      Hang();
    }
    if (mode_ == "fork") {
      const pid_t child = fork();
      if (child == 0) Hang();
      understudy::sdk::SetReason(&forecasts[0], std::to_string(child));
    }
    if (mode_ == "hang") Hang();
    if (mode_.starts_with(kHangWhile)) {
      while (access(mode_.c_str() + kHangWhile.size(), F_OK) == 0) g_sink = g_sink + 1;
    }
    if (mode_ == "nan") forecasts[0].probability = std::numeric_limits<double>::quiet_NaN();
    if (mode_ == "out of range") forecasts.back().probability = 1.5;
    if (mode_ == "backward ttf") {
      forecasts[0].has_ttf = 1;
      forecasts[0].ttf_p10_s = 5;
    }
    if (mode_ == "throw") throw std::runtime_error("thrown by the plugin\n\x01 \xFF");
    if (mode_ == "endless reason") {
      for (char& c : forecasts[0].reason) c = 'x';
    }
    if (mode_ == "hoard") {
      const size_t size = size_t{4} << 30;
      char* hoard = new char[size];
      for (size_t i = 0; i < size; i += 4096) hoard[i] = 1;
      g_sink = hoard[4096];
      delete[] hoard;
    }
  }

  std::string mode_;
  bool trouble_ = false;
};

}  // namespace

UNDERSTUDY_PREDICTOR(Misbehaving, "misbehaving", "1.0.0")
