#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "log/rpc/convert.h"

namespace understudy::rpc_internal {

namespace {

// An enum of Thrift's holds whatever number came; it must not be looked at as an enum before that is known to be good.
template <class Wire>
int RawEnum(const Wire& value) {
  static_assert(sizeof(Wire) == sizeof(int));
  int raw;
  std::memcpy(&raw, &value, sizeof raw);
  return raw;
}

template <class Enum>
Status TakeEnum(int value, Enum last, const char* field, Enum* to) {
  if (value < 0 || value > static_cast<int>(last)) {
    return {StatusCode::kInvalidArgument, std::string(field) + " " + std::to_string(value) + " is not known here"};
  }
  *to = static_cast<Enum>(value);
  return Status::Ok();
}

std::vector<wire::CommandResult> ToWire(const std::vector<CommandResult>& from) {
  std::vector<wire::CommandResult> to;
  to.reserve(from.size());
  for (const CommandResult& result : from) {
    auto& item = to.emplace_back();
    item.id = result.id;
    item.code = static_cast<int32_t>(result.code);
    item.detail = result.detail;
  }
  return to;
}

std::vector<CommandResult> FromWire(std::vector<wire::CommandResult>&& from) {
  std::vector<CommandResult> to;
  to.reserve(from.size());
  for (auto& result : from) {
    to.push_back({result.id, CodeFromWire(result.code), std::move(result.detail)});
  }
  return to;
}

wire::Command ToWire(Command&& from) {
  wire::Command to;
  to.id = from.id;
  to.kind = static_cast<wire::CommandKind::type>(from.kind);
  to.service_name = std::move(from.service);
  to.log = static_cast<int64_t>(from.log.value());
  to.epoch = static_cast<int64_t>(from.epoch.value());
  to.attempt = IdToWire(from.attempt);
  to.node = std::move(from.node);
  to.endpoint = std::move(from.endpoint);
  to.address = std::move(from.address);
  to.interval_ms = from.interval_ms;
  to.program = std::move(from.program);
  to.arguments = std::move(from.arguments);
  to.environment = std::move(from.environment);
  to.grace_ms = from.grace_ms;
  to.cluster = std::move(from.cluster);
  to.coordinators = std::move(from.coordinators);
  to.memory_limit_bytes = from.memory_limit_bytes;
  to.accept_data_loss = from.accept_data_loss;
  for (const DiskId& disk : from.disks) to.disks.push_back(IdToWire(disk));
  return to;
}

Status FromWire(wire::Command&& from, Command* to) {
  UNDERSTUDY_RETURN_IF_ERROR(IdFromWire(from.attempt, &to->attempt).WithContext("attempt"));
  to->id = from.id;
  to->kind = static_cast<CommandKind>(RawEnum(from.kind));  // one that is not known is answered as such by who gets it
  to->service = std::move(from.service_name);
  to->log = LogId(static_cast<uint64_t>(from.log));
  to->epoch = Epoch(static_cast<uint64_t>(from.epoch));
  to->node = std::move(from.node);
  to->endpoint = std::move(from.endpoint);
  to->address = std::move(from.address);
  to->interval_ms = from.interval_ms;
  to->program = std::move(from.program);
  to->arguments = std::move(from.arguments);
  to->environment = std::move(from.environment);
  to->grace_ms = from.grace_ms;
  to->cluster = std::move(from.cluster);
  to->coordinators = std::move(from.coordinators);
  to->memory_limit_bytes = from.memory_limit_bytes;
  to->accept_data_loss = from.accept_data_loss;
  to->disks.resize(from.disks.size());
  for (size_t i = 0; i < from.disks.size(); ++i) {
    UNDERSTUDY_RETURN_IF_ERROR(IdFromWire(from.disks[i], &to->disks[i]).WithContext("disks"));
  }
  return Status::Ok();
}

}  // namespace

wire::AppReport ToWire(const AppReport& from) {
  wire::AppReport to;
  to.pid = from.pid;
  to.role = static_cast<wire::AppRole::type>(from.role);
  to.service_name = from.service;
  to.log = static_cast<int64_t>(from.log.value());
  to.epoch = static_cast<int64_t>(from.epoch.value());
  to.applied = static_cast<int64_t>(from.applied.value());
  to.commit = static_cast<int64_t>(from.commit.value());
  to.caught_up = from.caught_up;
  to.endpoint = from.endpoint;
  to.mirror_address = from.mirror_address;
  to.attempt = IdToWire(from.attempt);
  to.done = ToWire(from.done);
  to.gauges = from.gauges;
  to.last_appended = static_cast<int64_t>(from.last_appended.value());
  to.checkpoint_lsn = static_cast<int64_t>(from.checkpoint_lsn.value());
  to.append_p50_us = from.append_p50_us;
  to.append_p99_us = from.append_p99_us;
  to.may_serve = from.may_serve;
  to.start_ticks = from.start_ticks;
  to.replayed = from.replayed;
  to.serving_since_unix_ms = from.serving_since_unix_ms;
  to.waiting = from.waiting;
  to.lost_from = static_cast<int64_t>(from.lost_from.value());
  to.lost_to = static_cast<int64_t>(from.lost_to.value());
  return to;
}

Status FromWire(wire::AppReport&& from, AppReport* to) {
  UNDERSTUDY_RETURN_IF_ERROR(TakeEnum(RawEnum(from.role), AppRole::kPrimary, "role", &to->role));
  UNDERSTUDY_RETURN_IF_ERROR(IdFromWire(from.attempt, &to->attempt).WithContext("attempt"));
  to->pid = from.pid;
  to->service = std::move(from.service_name);
  to->log = LogId(static_cast<uint64_t>(from.log));
  to->epoch = Epoch(static_cast<uint64_t>(from.epoch));
  to->applied = Lsn(static_cast<uint64_t>(from.applied));
  to->commit = Lsn(static_cast<uint64_t>(from.commit));
  to->caught_up = from.caught_up;
  to->endpoint = std::move(from.endpoint);
  to->mirror_address = std::move(from.mirror_address);
  to->done = FromWire(std::move(from.done));
  // A gauge that is no number is a missing gauge; the rest of the report still counts.
  std::erase_if(from.gauges, [](const auto& gauge) { return !std::isfinite(gauge.second); });
  to->gauges = std::move(from.gauges);
  to->last_appended = Lsn(static_cast<uint64_t>(from.last_appended));
  to->checkpoint_lsn = Lsn(static_cast<uint64_t>(from.checkpoint_lsn));
  to->append_p50_us = from.append_p50_us;
  to->append_p99_us = from.append_p99_us;
  to->may_serve = from.may_serve;
  to->start_ticks = from.start_ticks;
  to->replayed = from.replayed;
  to->serving_since_unix_ms = from.serving_since_unix_ms;
  to->waiting = std::move(from.waiting);
  to->lost_from = Lsn(static_cast<uint64_t>(from.lost_from));
  to->lost_to = Lsn(static_cast<uint64_t>(from.lost_to));
  return Status::Ok();
}

wire::AgentReport ToWire(const AgentReport& from) {
  wire::AgentReport to;
  to.node = from.node;
  to.address = from.address;
  to.incarnation = from.incarnation;
  to.process = static_cast<wire::ProcessState::type>(from.process);
  to.exit_reason = from.exit_reason;
  to.has_app = from.has_app;
  to.app = ToWire(from.app);
  to.done = ToWire(from.done);
  for (const NodeSample& sample : from.samples) {
    auto& item = to.samples.emplace_back();
    item.unix_ms = sample.unix_ms;
    item.monotonic_ms = sample.monotonic_ms;
    for (const Metric& metric : sample.metrics) {
      auto& value = item.metrics.emplace_back();
      value.name = metric.name;
      value.value = metric.value;
    }
  }
  to.labels = from.labels;
  to.starts = from.starts;
  to.process_service = from.process_service;
  return to;
}

Status FromWire(wire::AgentReport&& from, AgentReport* to) {
  UNDERSTUDY_RETURN_IF_ERROR(TakeEnum(RawEnum(from.process), ProcessState::kFailed, "process", &to->process));
  UNDERSTUDY_RETURN_IF_ERROR(FromWire(std::move(from.app), &to->app).WithContext("app"));
  to->node = std::move(from.node);
  to->address = std::move(from.address);
  to->incarnation = from.incarnation;
  to->exit_reason = std::move(from.exit_reason);
  to->has_app = from.has_app;
  to->done = FromWire(std::move(from.done));
  for (auto& sample : from.samples) {
    NodeSample& item = to->samples.emplace_back();
    item.unix_ms = sample.unix_ms;
    item.monotonic_ms = sample.monotonic_ms;
    for (auto& metric : sample.metrics) {
      if (std::isfinite(metric.value)) {
        item.metrics.push_back({std::move(metric.name), metric.value});
      }
    }
  }
  to->labels = std::move(from.labels);
  to->starts = from.starts;
  to->process_service = std::move(from.process_service);
  return Status::Ok();
}

wire::NextCommandReply ToWire(NextCommandResponse&& from) {
  wire::NextCommandReply to;
  to.code = static_cast<int32_t>(from.code);
  to.detail = std::move(from.detail);
  to.command = ToWire(std::move(from.command));
  to.leader = std::move(from.leader);
  return to;
}

Status FromWire(wire::NextCommandReply&& from, NextCommandResponse* to) {
  to->code = CodeFromWire(from.code);
  to->detail = std::move(from.detail);
  to->leader = std::move(from.leader);
  return FromWire(std::move(from.command), &to->command);
}

wire::DocumentReply ToWire(DocumentResponse&& from) {
  wire::DocumentReply to;
  to.code = static_cast<int32_t>(from.code);
  to.detail = std::move(from.detail);
  to.document = std::move(from.document);
  to.leader = std::move(from.leader);
  return to;
}

Status FromWire(wire::DocumentReply&& from, DocumentResponse* to) {
  to->code = CodeFromWire(from.code);
  to->detail = std::move(from.detail);
  to->document = std::move(from.document);
  to->leader = std::move(from.leader);
  return Status::Ok();
}

}  // namespace understudy::rpc_internal
