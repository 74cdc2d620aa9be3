// C++20 on top of predictor.h: write a class, name it once, and the plugin is done.
//
//   class Spikes {
//    public:
//     Spikes(understudy::sdk::Host host, std::string_view config);  // throws understudy::sdk::BadConfig
//     std::vector<std::string> Metrics() const;
//     void Observe(const understudy::sdk::SampleView& sample);
//     int32_t Predict(int64_t now_ns, std::span<understudy_forecast> forecasts) const;  // UNDERSTUDY_OK, ...
//   };
//   UNDERSTUDY_PREDICTOR(Spikes, "spikes", "1.0.0")
//
// Optional members, each fills its slot of the table only when it is there: void Reset(int32_t why);
// void Feedback(const understudy_outcome&); std::string Save() const; bool Restore(std::string_view state).
// Exceptions become UNDERSTUDY_FAILED with their text. Everything predictor.h says about threads and time holds.
#pragma once

#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "understudy/predictor.h"

namespace understudy::sdk {

// Thrown by a constructor: the message names the field, "bounds[0].above: a number is needed".
class BadConfig : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What the host offers. A view; copy it freely, valid as long as the instance.
class Host {
 public:
  explicit Host(const understudy_host* host) : host_(host) {}
  uint64_t seed() const { return host_->seed; }
  void LogInfo(const std::string& text) const { host_->log(host_->context, UNDERSTUDY_LOG_INFO, text.c_str()); }
  void LogWarning(const std::string& text) const { host_->log(host_->context, UNDERSTUDY_LOG_WARNING, text.c_str()); }
  // Why the call in progress is about to return WARMING, ABSTAIN or an error.
  void Explain(const std::string& text) const { host_->explain(host_->context, text.c_str()); }

 private:
  const understudy_host* host_;
};

// One moment. Indexes are those of Metrics().
class SampleView {
 public:
  explicit SampleView(const understudy_sample& sample) : sample_(sample) {}
  int64_t time_ns() const { return sample_.time_ns; }
  // Empty when it was not measured.
  std::optional<double> operator[](size_t metric) const {
    if (sample_.present[metric] == 0) return std::nullopt;
    return sample_.values[metric];
  }

 private:
  const understudy_sample& sample_;
};

// Copies `text` into the forecast, cut to what fits.
inline void SetReason(understudy_forecast* forecast, std::string_view text) {
  const size_t size = text.size() < UNDERSTUDY_REASON_MAX - 1 ? text.size() : UNDERSTUDY_REASON_MAX - 1;
  std::memcpy(forecast->reason, text.data(), size);
  forecast->reason[size] = '\0';
}

// The table of the plugin class T.
template <class T>
class Plugin {
 public:
  static const understudy_predictor_api* Table(const char* name, const char* version) {
    static const understudy_predictor_api table = Make(name, version);
    return &table;
  }

 private:
  struct Instance {
    Instance(const understudy_host* host, std::string_view config) : host(host), self(Host(host), config) {}
    Host host;
    T self;
    std::vector<std::string> names;
    std::vector<const char*> pointers;
  };
  static Instance* Of(understudy_predictor* self) { return reinterpret_cast<Instance*>(self); }

  // Runs a call; nothing thrown leaves it.
  template <class Call>
  static int32_t Guard(const Host& host, Call call) {
    try {
      return call();
    } catch (const std::exception& error) {
      host.Explain(error.what());
    } catch (...) {
      host.Explain("an exception of unknown type");
    }
    return UNDERSTUDY_FAILED;
  }

  static int32_t Create(const understudy_host* host, const char* config, size_t size, understudy_predictor** out) {
    return Guard(Host(host), [&]() -> int32_t {
      try {
        *out = reinterpret_cast<understudy_predictor*>(new Instance(host, std::string_view(config, size)));
        return UNDERSTUDY_OK;
      } catch (const BadConfig& error) {
        Host(host).Explain(error.what());
        return UNDERSTUDY_BAD_CONFIG;
      }
    });
  }
  static void Destroy(understudy_predictor* self) { delete Of(self); }
  static int32_t Metrics(understudy_predictor* self, const char* const** names, size_t* count) {
    return Guard(Of(self)->host, [&] {
      Instance* instance = Of(self);
      instance->names = instance->self.Metrics();
      instance->pointers.clear();
      for (const std::string& name : instance->names) instance->pointers.push_back(name.c_str());
      *names = instance->pointers.data();
      *count = instance->pointers.size();
      return UNDERSTUDY_OK;
    });
  }
  static int32_t Observe(understudy_predictor* self, const understudy_sample* samples, size_t count) {
    return Guard(Of(self)->host, [&] {
      for (size_t i = 0; i < count; ++i) Of(self)->self.Observe(SampleView(samples[i]));
      return UNDERSTUDY_OK;
    });
  }
  static int32_t Predict(understudy_predictor* self, int64_t now_ns, understudy_forecast* forecasts, size_t count) {
    return Guard(Of(self)->host,
                 [&]() -> int32_t { return Of(self)->self.Predict(now_ns, std::span(forecasts, count)); });
  }

  static understudy_predictor_api Make(const char* name, const char* version) {
    understudy_predictor_api table = {};
    table.struct_size = sizeof table;
    table.abi = UNDERSTUDY_PREDICTOR_ABI;
    table.name = name;
    table.version = version;
    table.create = Create;
    table.destroy = Destroy;
    table.metrics = Metrics;
    table.observe = Observe;
    table.predict = Predict;
    if constexpr (requires(T t) { t.Reset(int32_t{}); }) {
      table.reset = [](understudy_predictor* self, int32_t why) -> int32_t {
        return Guard(Of(self)->host, [&] { return Of(self)->self.Reset(why), UNDERSTUDY_OK; });
      };
    }
    if constexpr (requires(T t, const understudy_outcome& o) { t.Feedback(o); }) {
      table.feedback = [](understudy_predictor* self, const understudy_outcome* outcome) -> int32_t {
        return Guard(Of(self)->host, [&] { return Of(self)->self.Feedback(*outcome), UNDERSTUDY_OK; });
      };
    }
    if constexpr (requires(const T t) { std::string(t.Save()); }) {
      table.save = [](understudy_predictor* self, understudy_state_sink sink, void* context) -> int32_t {
        return Guard(Of(self)->host, [&] {
          const std::string state = Of(self)->self.Save();
          return sink(context, state.data(), state.size()) == 0 ? UNDERSTUDY_OK : UNDERSTUDY_FAILED;
        });
      };
    }
    if constexpr (requires(T t) { bool(t.Restore(std::string_view())); }) {
      table.restore = [](understudy_predictor* self, const void* bytes, size_t size) -> int32_t {
        return Guard(Of(self)->host, [&] {
          const std::string_view state(static_cast<const char*>(bytes), size);
          return Of(self)->self.Restore(state) ? UNDERSTUDY_OK : UNDERSTUDY_BAD_STATE;
        });
      };
    }
    return table;
  }
};

}  // namespace understudy::sdk

// At namespace scope, once in a plugin: exports the entry point.
#define UNDERSTUDY_PREDICTOR(type, name, version)                                            \
  extern "C" const understudy_predictor_api* understudy_predictor_entry(uint32_t host_abi) { \
    if (host_abi >> 16 != UNDERSTUDY_PREDICTOR_ABI_MAJOR) return nullptr;                    \
    return ::understudy::sdk::Plugin<type>::Table(name, version);                            \
  }
