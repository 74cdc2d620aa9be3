#include "server/coordinator/core/scenario_testing.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "log/format/chain.h"
#include "log/format/disk_entry.h"

namespace understudy::coordinator {
namespace {

const std::vector<std::string> kRoles = {"WARM", "LOADING", "REPLAYING", "MIRRORING", "PROMOTING", "PRIMARY"};

std::vector<std::string> Split(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::string Rest(const std::string& line, size_t words) {
  std::istringstream in(line);
  std::string word;
  for (size_t i = 0; i < words; ++i) in >> word;
  std::string rest;
  std::getline(in >> std::ws, rest);
  return rest;
}

}  // namespace

CoreOptions TestOptions() {
  CoreOptions options;
  options.cluster = "test";
  options.name = "c1";
  return options;
}

Scenario::Scenario(CoreOptions options) : options_(std::move(options)) { Start(); }

void Scenario::Start() {
  core_ = std::make_unique<Core>(options_);
  ++term_;
  command_ids_.clear();
  hold_writes_ = false;
  for (const auto& [key, stored] : metadata_) {
    Feed({MetadataChanged{key.first, key.second, stored.value, stored.version}, 0});
  }
  Feed({MetadataLoaded{term_}, 0});
}

AgentReport& Scenario::NodeOf(const std::string& name) {
  AgentReport& report = nodes_[name];
  report.node = name;
  report.address = "10.0.0." + name.substr(1);
  return report;
}

void Scenario::Feed(Input input) {
  input.unix_ms = now_.ns() / kNsPerMs;
  Effects effects;
  core_->Step(input, now_, &effects);
  wake_at_ = effects.wake_at;
  feedback_.insert(feedback_.end(), effects.feedback.begin(), effects.feedback.end());
  Render(effects);
  if (hold_writes_) {
    held_.insert(held_.end(), effects.writes.begin(), effects.writes.end());
    effects.writes.clear();
  }
  for (const WriteMetadata& write : effects.writes) Write(write, true);
  for (const ReadMetadata& read : effects.reads) {
    auto it = metadata_.find({read.kind, read.name});
    MetadataChanged changed{read.kind, read.name, "", 0};
    if (it != metadata_.end()) {
      changed.value = it->second.value;
      changed.version = it->second.version;
    }
    Feed({changed, 0});
  }
}

// The answer goes to who asked; the watch tells who leads now.
void Scenario::Write(const WriteMetadata& write, bool answered) {
  const Key key{write.kind, write.name};
  auto it = metadata_.find(key);
  const uint64_t version = it == metadata_.end() ? 0 : it->second.version;
  MetadataWritten written{write.kind, write.name, StatusCode::kOk, "", 0};
  if (writes_fail_ > 0) {
    --writes_fail_;
    written.code = write_code_;
    written.detail = "as the scenario says";
  } else if (version != write.expected) {
    written.code = StatusCode::kConflict;
  } else {
    written.version = ++version_;
    if (write.value.empty()) {
      metadata_.erase(key);
    } else {
      metadata_[key] = {write.value, version_};
    }
  }
  if (answered) {
    Feed({written, 0});
  } else if (written.code == StatusCode::kOk) {
    Feed({MetadataChanged{write.kind, write.name, write.value, written.version}, 0});
  }
}

void Scenario::Render(const Effects& effects) {
  for (const SendCommand& send : effects.commands) {
    const Command& command = send.command;
    std::string text = send.node + " " + std::string(CommandKindName(command.kind)) + " " + command.service;
    if (command.kind == CommandKind::kTakeOver || command.kind == CommandKind::kHandover) {
      text += " epoch=" + std::to_string(command.epoch.value());
    }
    if (command.kind == CommandKind::kHandover) {
      text += " attempt=" + std::to_string(command.attempt.lo) + " to=" + command.node + " at " + command.endpoint;
    }
    if (command.accept_data_loss) text += " accepting loss";
    for (const DiskId& disk : command.disks) text += " " + std::to_string(disk.lo);
    if (command.kind == CommandKind::kMirrorTo) text += command.address.empty() ? " nobody" : " " + command.address;
    if (command.kind == CommandKind::kCheckpointEvery) text += " " + std::to_string(command.interval_ms) + " ms";
    if (!command_ids_.insert(command.id).second) text += " (again)";
    last_command_[{send.node, command.kind}] = command.id;
    Line(text);
  }
  for (const WriteMetadata& write : effects.writes) {
    if (write.kind == MetadataKind::kDisk) {
      const Result<DiskEntry> disk = DecodeDiskEntry(write.value);
      Line("disk " + write.name.substr(28) + ": " + (disk.ok() ? DiskStateName(disk->state) : "removed"));
    }
    if (write.kind != MetadataKind::kPlan || write.value.empty()) continue;
    Result<Plan> plan = DecodePlan(write.value);
    if (!plan.ok()) {
      errors_.push_back(plan.status().ToString());
      continue;
    }
    std::string text = "plan " + write.name + ":";
    if (!plan->spare.empty()) text += " spare=" + plan->spare;
    if (plan->move.kind != MoveKind::kNone) {
      text += " " + std::string(MoveKindName(plan->move.kind)) + "/" + std::string(MoveStepName(plan->move.step)) +
              " from=" + plan->move.from + " to=" + plan->move.to;
    }
    for (const Restart& restart : plan->restarts) {
      text += " restart=" + restart.node + "/" + std::to_string(restart.pid);
    }
    Line(text);
  }
  for (const Event& event : effects.events) {
    std::string text = "event " + event.kind;
    if (!event.service.empty()) text += " " + event.service;
    if (!event.node.empty()) text += " " + event.node;
    Line(text + ": " + event.text);
    events_.push_back(event);
  }
  for (const Answer& answer : effects.answers) {
    Line("answer " + std::string(StatusCodeName(answer.code)) + (answer.detail.empty() ? "" : " " + answer.detail) +
         (answer.document.empty() ? "" : " " + answer.document));
  }
  for (const std::string& service : effects.ask_writer_age) Line("ask for the writer of " + service);
}

void Scenario::Report(const std::string& node) {
  AgentReport& report = NodeOf(node);
  Feed({NodeReported{report}, 0});
  report.done.clear();
  report.app.done.clear();
}

void Scenario::Advance(int64_t to_ms) {
  for (;;) {
    const int64_t wake_ms = wake_at_ == Instant::Never() ? INT64_MAX : (wake_at_.ns() + kNsPerMs - 1) / kNsPerMs;
    const int64_t next = std::min(next_beat_ms_, std::max(wake_ms, now_.ns() / kNsPerMs + 1));
    if (next > to_ms) break;
    now_ = Instant(next * kNsPerMs);
    if (next == next_beat_ms_) {
      next_beat_ms_ += 250;
      for (auto& [name, report] : nodes_) {
        if (silent_.count(name) == 0) Report(name);
      }
    } else {
      Feed({Tick{}, 0});
    }
  }
  now_ = Instant(to_ms * kNsPerMs);
  Feed({Tick{}, 0});
}

void Scenario::ChangeApp(const std::string& node, const Words& words, size_t from) {
  AppReport& app = NodeOf(node).app;
  for (size_t i = from; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const std::string key = words[i].substr(0, equals);
    const std::string value = equals == std::string::npos ? "1" : words[i].substr(equals + 1);
    if (key == "epoch") {
      app.epoch = Epoch(std::stoull(value));
    } else if (key == "applied") {
      app.applied = Lsn(std::stoull(value));
    } else if (key == "caught_up") {
      app.caught_up = value == "1";
    } else if (key == "attempt") {
      app.attempt = {0, std::stoull(value)};
    } else if (key == "may_serve") {
      app.may_serve = value == "1";
    } else if (key == "replayed") {
      app.replayed = std::stoll(value);
    } else if (key == "waits") {  // for what, without spaces; empty: no more
      app.waiting = value;
    } else if (key == "lost") {  // FROM-TO
      app.lost_from = Lsn(std::stoull(value));
      app.lost_to = Lsn(std::stoull(value.substr(value.find('-') + 1)));
    } else {
      errors_.push_back("unknown field '" + key + "'");
    }
  }
}

void Scenario::SetChain(const Words& words) {
  const ServiceState& service = core_->services().at(words.at(1));
  const Key key{MetadataKind::kLog, std::to_string(service.spec.log.value())};
  Result<Chain> decoded = DecodeChain(metadata_.at(key).value);
  Chain chain = *decoded;
  if (!chain.epochs.empty()) chain.epochs.back().last_lsn = chain.epochs.back().first_lsn + 99;
  EpochEntry entry;
  entry.epoch = Epoch(std::stoull(words.at(2)));
  entry.attempt = {7, entry.epoch.value()};
  entry.owner = {words.at(3), words.at(3) + ":7000"};
  entry.first_lsn = chain.epochs.empty() ? Lsn(1) : *chain.epochs.back().last_lsn + 1;
  entry.disks = {{DiskId{1, 1}, "n0"}};
  if (words.size() > 4 && words[4].starts_with("disks=")) {  // of disks known by now
    entry.disks.clear();
    std::istringstream ids(words[4].substr(6));
    for (std::string id; std::getline(ids, id, ',');) {
      const DiskId disk{0, std::stoull(id)};
      entry.disks.push_back({disk, DecodeDiskEntry(metadata_.at({MetadataKind::kDisk, ToHex(disk)}).value)->node});
    }
    entry.ack_quorum = chain.ack_quorum;
  } else if (words.size() > 4) {
    entry.attempt = {0, std::stoull(words.at(4))};
  }
  chain.epochs.push_back(entry);
  metadata_[key] = {EncodeChain(chain), ++version_};
  Feed({MetadataChanged{key.first, key.second, metadata_[key].value, version_}, 0});
}

std::vector<std::string> Scenario::Run(const std::string& line) {
  lines_.clear();
  const Words words = Split(line);
  if (words.empty() || words[0][0] == '#') return {};
  const std::string& verb = words[0];
  const std::string node = words.size() > 1 ? words[1] : "";
  if (verb == "at") {
    Advance(std::stoll(node));
  } else if (verb == "none") {  // nodes without a process
    for (size_t i = 1; i < words.size(); ++i) {
      const std::vector<std::string> labels = NodeOf(words[i]).labels;
      NodeOf(words[i]) = AgentReport();
      NodeOf(words[i]).labels = labels;
      Report(words[i]);
    }
  } else if (verb == "label") {
    NodeOf(node).labels.push_back(words.at(2));
  } else if (verb == "run") {  // run NODE SERVICE: its program came up and is WARM
    AgentReport& report = NodeOf(node);
    report.process = ProcessState::kRunning;
    report.process_service = words.at(2);
    ++report.starts;
    report.has_app = true;
    report.app = AppReport();
    report.app.pid = next_pid_++;
    report.app.start_ticks = 1;
    report.app.endpoint = node + ":7000";
    report.app.mirror_address = node + ":9000";
    Report(node);
  } else if (verb == "starting") {  // starting NODE SERVICE: it runs, and is no application yet
    AgentReport& report = NodeOf(node);
    report.process = ProcessState::kStarting;
    report.process_service = words.at(2);
    ++report.starts;
    report.has_app = false;
    report.app = AppReport();
    Report(node);
  } else if (verb == "role") {  // role NODE ROLE [SERVICE [field=value...]]
    AppReport& app = NodeOf(node).app;
    const auto role = std::find(kRoles.begin(), kRoles.end(), words.at(2));
    if (role == kRoles.end()) errors_.push_back("unknown role " + words.at(2));
    app.role = static_cast<AppRole>(role - kRoles.begin());
    app.service = words.size() > 3 ? words[3] : "";
    const auto service = core_->services().find(app.service);
    if (service != core_->services().end()) app.log = service->second.spec.log;
    app.caught_up = false;
    app.may_serve = app.role == AppRole::kPrimary;
    ChangeApp(node, words, 4);
    Report(node);
  } else if (verb == "exit") {  // exit NODE REASON
    AgentReport& report = NodeOf(node);
    report.process = ProcessState::kExited;
    report.exit_reason = Rest(line, 2);
    report.has_app = false;
    report.app = AppReport();
    Report(node);
  } else if (verb == "fail") {  // fail NODE REASON: START_APP could not even run it
    AgentReport& report = NodeOf(node);
    report.process = ProcessState::kFailed;
    report.exit_reason = Rest(line, 2);
    CommandResult result;
    result.id = last_command_[{node, CommandKind::kStartApp}];
    result.code = StatusCode::kNotFound;
    result.detail = report.exit_reason;
    report.done.push_back(result);
    Report(node);
  } else if (verb == "lost") {  // its application no longer answers its agent
    NodeOf(node).has_app = false;
    Report(node);
  } else if (verb == "back") {
    NodeOf(node).has_app = true;
    Report(node);
  } else if (verb == "silence") {
    for (size_t i = 1; i < words.size(); ++i) silent_.insert(words[i]);
  } else if (verb == "heard") {
    for (size_t i = 1; i < words.size(); ++i) {
      silent_.erase(words[i]);
      Report(words[i]);
    }
  } else if (verb == "done") {  // done NODE COMMAND CODE [DETAIL]: result of the last such command
    for (const auto& [key, id] : last_command_) {
      if (key.first != node || CommandKindName(key.second) != words.at(2)) continue;
      CommandResult result;
      result.id = id;
      bool known = false;
      for (int code = 0; code <= static_cast<int>(StatusCode::kInternal); ++code) {
        if (StatusCodeName(static_cast<StatusCode>(code)) != words.at(3)) continue;
        result.code = static_cast<StatusCode>(code);
        known = true;
      }
      if (!known) errors_.push_back("unknown code " + words.at(3));
      result.detail = Rest(line, 4);
      (IsForAgent(key.second) ? NodeOf(node).done : NodeOf(node).app.done).push_back(result);
    }
    Report(node);
  } else if (verb == "chain") {  // chain SERVICE EPOCH OWNER [ATTEMPT|disks=ID,...]
    SetChain(words);
  } else if (verb == "disk") {  // disk ID NODE ZONE|- active|draining|retired: its log server says so
    DiskEntry disk{{0, std::stoull(node)}, words.at(2), words[2] + ":7401", 1, words.at(3) == "-" ? "" : words[3], {}};
    for (const auto state : {understudy::DiskState::kDraining, understudy::DiskState::kRetired}) {
      if (words.at(4) == DiskStateName(state)) disk.state = state;
    }
    Stored& stored = metadata_[{MetadataKind::kDisk, ToHex(disk.disk)}];
    stored = {EncodeDiskEntry(disk), ++version_};
    Feed({MetadataChanged{MetadataKind::kDisk, ToHex(disk.disk), stored.value, stored.version}, 0});
  } else if (verb == "logs") {  // logs REQUEST
    OperatorRequest request;
    request.token = ++tokens_;
    request.kind = RequestKind::kLogs;
    request.document = Rest(line, 1);
    Feed({request, 0});
  } else if (verb == "policy") {  // policy REQUEST
    OperatorRequest request;
    request.token = ++tokens_;
    request.kind = RequestKind::kPolicy;
    request.document = Rest(line, 1);
    Feed({request, 0});
  } else if (verb == "explain") {  // explain SERVICE: the words only
    const nlohmann::json document = nlohmann::json::parse(core_->Explain(node));
    for (const auto& why : document.at("why")) Line(why.get<std::string>());
  } else if (verb == "forecast") {  // forecast SERVICE PROBABILITY|none [REASON]
    Forecast forecast;
    forecast.predictor = "threshold";
    forecast.version = "1";
    forecast.horizon_ms = 60'000;
    if (words.at(2) != "none") {
      forecast.status = ForecastStatus::kOk;
      forecast.probability = std::stod(words[2]);
    }
    forecast.reason = Rest(line, 3);
    forecast.restart_cures = forecast.reason.find("proc.") != std::string::npos;
    Feed({ForecastsArrived{node, {forecast}}, 0});
  } else if (verb == "age") {  // age SERVICE MS|never|unknown
    WriterAge age;
    age.service = node;
    age.epoch = core_->services().at(node).epoch;
    age.answered = words.at(2) == "unknown" ? 0 : 1;
    age.age_ms = words[2] == "never" || words[2] == "unknown" ? -1 : std::stoll(words[2]);
    Feed({age, 0});
  } else if (verb == "apply" || verb == "remove" || verb == "switchover" || verb == "pause" || verb == "resume") {
    OperatorRequest request;
    request.token = ++tokens_;
    request.kind = verb == "apply"        ? RequestKind::kApply
                   : verb == "remove"     ? RequestKind::kRemove
                   : verb == "switchover" ? RequestKind::kSwitchover
                                          : RequestKind::kPause;
    request.document = Rest(line, 1);
    request.service = node;
    request.node = words.size() > 2 ? words[2] : "";
    request.paused = verb == "pause";
    Feed({request, 0});
  } else if (verb == "writes") {  // writes fail CODE N | writes hang | writes land
    if (node == "hang") {
      hold_writes_ = true;
    } else if (node == "land") {  // those that hung, of whoever leads no more
      hold_writes_ = false;
      const std::vector<WriteMetadata> late = std::exchange(held_, {});
      for (const WriteMetadata& write : late) Write(write, false);
    } else {
      write_code_ = words.at(2) == "CONFLICT" ? StatusCode::kConflict : StatusCode::kUnavailable;
      writes_fail_ = std::stoi(words.at(3));
    }
  } else if (verb == "foreign") {  // foreign SERVICE: another coordinator, of a higher term, writes the service's plan
    Stored& stored = metadata_[{MetadataKind::kPlan, node}];
    Plan plan;
    if (Result<Plan> known = DecodePlan(stored.value); known.ok()) plan = *known;
    plan.service = node;
    plan.coordinator = "another";
    plan.term = term_ + 1;
    stored = {EncodePlan(plan), ++version_};
    Feed({MetadataChanged{MetadataKind::kPlan, node, stored.value, stored.version}, 0});
  } else if (verb == "corrupt") {  // corrupt SERVICE: what its key holds is not understood by the next leader
    metadata_[{MetadataKind::kService, node}] = {"{", ++version_};
  } else if (verb == "plan") {  // plan SERVICE JSON: stands in the metadata, for the next leader
    metadata_[{MetadataKind::kPlan, node}] = {Rest(line, 2), ++version_};
  } else if (verb == "restart" || verb == "elect") {  // elect NAME: the leader is lost, and that one leads
    if (verb == "elect") options_.name = node;
    for (const auto& [name, report] : nodes_) silent_.insert(name);  // heard when they report again
    Start();
  } else {
    errors_.push_back("unknown verb '" + verb + "'");
  }
  return lines_;
}

}  // namespace understudy::coordinator
