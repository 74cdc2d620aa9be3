// Does a plugin keep the rules of understudy/predictor.h? Tries it in child processes with good and bad input; for
// authors, `understudy predictor check`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace understudy {

struct ConformanceOptions {
  std::string helper;          // path of understudy-predictor-host
  std::string plugin;          // path of the shared object
  std::string config = "{}";   // that the plugin takes
  int64_t deadline_ms = 5000;  // of one batch of calls
  int64_t memory_bytes_max = 512ll << 20;
};

struct ConformanceCheck {
  enum Verdict { kPass, kWarning, kFail, kSkipped };
  std::string name;  // "replay"
  Verdict verdict = kPass;
  std::string text;  // what was seen, or what was wrong
};
const char* VerdictName(ConformanceCheck::Verdict verdict);  // "pass"

struct ConformanceReport {
  std::string name, version;  // of the plugin; empty when it cannot be loaded
  std::vector<ConformanceCheck> checks;
  bool passed() const;  // none failed
};

// Takes seconds. Crashes, hangs and hoards of the plugin end a child process and the check that brought them about.
ConformanceReport CheckConformance(const ConformanceOptions& options);

}  // namespace understudy
