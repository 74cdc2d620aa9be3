#include "client/cli/bench/measure.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "client/cli/text.h"
#include "log/env/clock.h"

namespace understudy::cli {
namespace {

volatile sig_atomic_t g_interrupted = 0;

}  // namespace

int64_t Samples::Quantile(double q) const {
  if (values_.empty()) return 0;
  std::vector<int64_t> sorted = values_;
  const auto rank = static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<int64_t>(rank), sorted.end());
  return sorted[rank];
}

void Samples::Thin() {
  for (size_t i = 0; i < values_.size() / 2; ++i) values_[i] = values_[2 * i];
  values_.resize(values_.size() / 2);
  stride_ *= 2;
}

Progress::Progress(std::string label, uint64_t total, bool quiet)
    : label_(std::move(label)), total_(total), enabled_(!quiet && isatty(STDERR_FILENO) != 0) {
  began_ = SystemClock()->Now();
  next_ = began_ + kNsPerSecond;
}

Progress::~Progress() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
}

void Progress::Show(uint64_t done) {
  if (!enabled_) return;
  const Instant now = SystemClock()->Now();
  if (now < next_) return;
  next_ = now + kNsPerSecond / 10;
  drawn_ = true;
  constexpr size_t kWidth = 30;
  const double share = total_ == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  const auto full = static_cast<size_t>(share * kWidth);
  const double elapsed_ms = static_cast<double>(now - began_) / kNsPerMs;
  const std::string left = share > 0 ? HumanMs(elapsed_ms / share - elapsed_ms) + " left" : "";
  std::fprintf(stderr, "\r\033[K%s [%s%s] %s of %s  %s", label_.c_str(), std::string(full, '#').c_str(),
               std::string(kWidth - full, '.').c_str(), WithCommas(done).c_str(), WithCommas(total_).c_str(),
               left.c_str());
  std::fflush(stderr);
}

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupted() { return g_interrupted != 0; }

}  // namespace understudy::cli
