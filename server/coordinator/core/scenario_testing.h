// Runs the coordinator's core through a scenario written as text, for golden files and tests: lines are what happens,
// and below each stand the effects. Time is the scenario's; the metadata is a map that answers at once; nodes are heard
// every 250 ms until they are silenced. When the leader is lost another one goes on with the same metadata.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {

CoreOptions TestOptions();  // of coordinator c1

class Scenario {
 public:
  explicit Scenario(CoreOptions options = TestOptions());

  // Carries out one line; returns the effects as text, one a line. See the scenarios in tests/golden/coordinator_*.txt.
  std::vector<std::string> Run(const std::string& line);

  const Core& core() const { return *core_; }
  // Full events so far.
  const std::vector<Event>& events() const { return events_; }
  const std::vector<PredictorFeedback>& feedback() const { return feedback_; }
  const std::vector<std::string>& errors() const { return errors_; }

 private:
  using Words = std::vector<std::string>;
  struct Stored {
    std::string value;
    uint64_t version = 0;
  };
  using Key = std::pair<MetadataKind, std::string>;

  void Start();
  void Write(const WriteMetadata& write, bool answered);
  void Feed(Input input);
  void Render(const Effects& effects);
  void Advance(int64_t to_ms);
  void Report(const std::string& node);
  void ChangeApp(const std::string& node, const Words& words, size_t from);
  void SetChain(const Words& words);
  void Line(std::string text) { lines_.push_back(std::move(text)); }
  AgentReport& NodeOf(const std::string& name);

  CoreOptions options_;
  std::unique_ptr<Core> core_;
  Instant now_;
  Instant wake_at_ = Instant::Never();
  int64_t next_beat_ms_ = 250;
  uint64_t term_ = 0;
  uint64_t version_ = 0;
  uint64_t tokens_ = 0;
  int64_t next_pid_ = 100;
  std::map<Key, Stored> metadata_;
  StatusCode write_code_ = StatusCode::kOk;
  int writes_fail_ = 0;
  bool hold_writes_ = false;
  std::vector<WriteMetadata> held_;  // on their way, perhaps of a coordinator that is gone
  std::map<std::string, AgentReport> nodes_;
  std::set<std::string> silent_;
  std::map<std::pair<std::string, CommandKind>, int64_t> last_command_;
  std::set<int64_t> command_ids_;
  std::vector<std::string> lines_;
  std::vector<Event> events_;
  std::vector<PredictorFeedback> feedback_;
  std::vector<std::string> errors_;
};

}  // namespace understudy::coordinator
