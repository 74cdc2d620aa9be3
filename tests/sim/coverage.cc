#include "tests/sim/coverage.h"

namespace understudy::sim {
namespace {

constexpr const char* kReachedNames[] = {
#define X(name) #name,
    UNDERSTUDY_SIM_REACHED(X)
#undef X
};
constexpr const char* kFaultNames[] = {
#define X(name) #name,
    UNDERSTUDY_SIM_FAULTS(X)
#undef X
};
constexpr const char* kAskedNames[] = {"append", "seal", "barrier", "read", "fetch", "trim", "checkpoint", "status"};

template <size_t N>
std::vector<Coverage::Line> Lines(const char* const* names, const std::array<uint64_t, N>& counts) {
  std::vector<Coverage::Line> lines;
  for (size_t i = 0; i < N; ++i) lines.push_back({names[i], counts[i]});
  return lines;
}

}  // namespace

const char* Name(Reached what) { return kReachedNames[static_cast<size_t>(what)]; }
const char* Name(Fault what) { return kFaultNames[static_cast<size_t>(what)]; }
const char* Name(Asked what) { return kAskedNames[static_cast<size_t>(what)]; }

void Coverage::Add(const Coverage& other) {
  for (size_t i = 0; i < reached_.size(); ++i) reached_[i] += other.reached_[i];
  for (size_t i = 0; i < faults_.size(); ++i) faults_[i] += other.faults_[i];
  for (size_t i = 0; i < answers_.size(); ++i) {
    for (size_t code = 0; code < answers_[i].size(); ++code) answers_[i][code] += other.answers_[i][code];
  }
  states_.insert(other.states_.begin(), other.states_.end());
}

size_t Coverage::kinds() { return std::size(kReachedNames) + std::size(kFaultNames); }

size_t Coverage::kinds_reached() const { return kinds() - missing().size(); }

std::vector<std::string> Coverage::missing() const {
  std::vector<std::string> names;
  for (const std::vector<Line>& lines : {reached(), faults()}) {
    for (const Line& line : lines) {
      if (line.count == 0) names.push_back(line.name);
    }
  }
  return names;
}

std::vector<Coverage::Line> Coverage::reached() const { return Lines(kReachedNames, reached_); }
std::vector<Coverage::Line> Coverage::faults() const { return Lines(kFaultNames, faults_); }

std::vector<Coverage::Line> Coverage::answers() const {
  std::vector<Line> lines;
  for (size_t i = 0; i < answers_.size(); ++i) {
    for (size_t code = 0; code < answers_[i].size(); ++code) {
      if (answers_[i][code] == 0) continue;
      lines.push_back({std::string(kAskedNames[i]) + " " + std::string(StatusCodeName(static_cast<StatusCode>(code))),
                       answers_[i][code]});
    }
  }
  return lines;
}

}  // namespace understudy::sim
