// Breaks one rule of understudy/predictor.h, the one its configuration names: {"break":"leak"}. Keeps the others.
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "understudy/predictor.hpp"

namespace {

namespace sdk = understudy::sdk;

int g_instances = 0;  // of "shared": instances that know of each other
double g_shared = 0;

class RuleBreaker {
 public:
  RuleBreaker(sdk::Host host, std::string_view config) : host_(host) {
    const std::string_view begin = "{\"break\":\"";
    if (config.size() < 12 || config.substr(0, begin.size()) != begin || config.substr(config.size() - 2) != "\"}") {
      if (config == "{}" || config == "{\"no such field\": 1}") throw sdk::BadConfig("break: is required");
      throw sdk::BadConfig("config: {\"break\":\"RULE\"}");
    }
    rule_ = config.substr(begin.size(), config.size() - begin.size() - 2);
    ++g_instances;
    if (Breaks("leak")) std::memset(std::malloc(1024), 1, 1024);
    if (Breaks("file")) {
      for (int i = 0; i < 3; ++i) (void)!open("/dev/null", O_RDONLY);
    }
    if (Breaks("signal")) signal(SIGUSR1, [](int) {});
    if (Breaks("thread")) {
      pthread_t thread;
      pthread_create(
          &thread, nullptr,
          [](void*) -> void* {
            sem_t never;
            sem_init(&never, 0, 0);
            while (true) sem_wait(&never);
          },
          nullptr);
    }
  }

  std::vector<std::string> Metrics() const {
    if (Breaks("no metric")) return {};
    if (Breaks("wildcard")) return {"proc.*"};
    if (Breaks("metric twice")) return {"a", "a"};
    return {"a", "b"};
  }
  void Observe(const sdk::SampleView& sample) {
    if (Breaks("crash on missing") && !sample[0]) raise(SIGSEGV);
    if (Breaks("hang on huge") && sample[0] && *sample[0] > 1e300) {
      while (true) signal(SIGUSR2, SIG_DFL);
    }
    if (Breaks("keeps samples")) kept_.push_back(std::string(64, 'x'));
    if (sample[0]) value_ = *sample[0];
    if (sample[0]) ++count_;
    g_shared = value_;
  }
  int32_t Predict(int64_t, std::span<understudy_forecast> forecasts) const {
    if (count_ == 0 && !Breaks("no samples")) {
      host_.Explain("no value of a");
      return UNDERSTUDY_WARMING;
    }
    double p = std::clamp(Breaks("shared") ? g_shared / 1e12 : value_ / 1e12, 0.0, 0.5);
    if (Breaks("predict twice")) p = 1.0 / (2 + ++asked_);
    if (Breaks("replay")) p = static_cast<double>(reinterpret_cast<uintptr_t>(this) % 65521) / 65521;
    if (Breaks("nan")) p = value_ > 1e300 ? value_ * 0 / 0.0 : p;
    for (size_t i = 0; i < forecasts.size(); ++i) {
      forecasts[i].probability = Breaks("horizons") ? p / static_cast<double>(i + 1) + 0.01 : p;
      forecasts[i].confidence = 1;
      sdk::SetReason(&forecasts[i], std::to_string(count_));
    }
    return UNDERSTUDY_OK;
  }
  void Reset(int32_t) {
    if (!Breaks("reset")) count_ = 0;
  }
  void Feedback(const understudy_outcome& outcome) {
    if (Breaks("feedback") && outcome.kind == 99) throw std::runtime_error("what is 99?");
  }
  std::string Save() const {
    std::string state(sizeof value_ + sizeof count_, '\0');
    std::memcpy(state.data(), &value_, sizeof value_);
    if (!Breaks("save")) std::memcpy(state.data() + sizeof value_, &count_, sizeof count_);
    return state;
  }
  bool Restore(std::string_view state) {
    if (Breaks("garbage state") && state.size() == 4096) raise(SIGSEGV);
    if (state.size() != sizeof value_ + sizeof count_) return false;
    std::memcpy(&value_, state.data(), sizeof value_);
    std::memcpy(&count_, state.data() + sizeof value_, sizeof count_);
    if (value_ - value_ != 0) value_ = 0;
    return true;
  }

 private:
  bool Breaks(const char* rule) const { return rule_ == rule; }
  sdk::Host host_;
  std::string rule_;
  double value_ = 0;
  int64_t count_ = 0;
  mutable int asked_ = 0;
  std::vector<std::string> kept_;
};

}  // namespace

UNDERSTUDY_PREDICTOR(RuleBreaker, "rule_breaker", "1.0.0")
