// Commands to nodes: sent until they have a result, and again when the result did not bring what it was to bring.
#include <algorithm>
#include <utility>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {
namespace {

// But for the list of coordinators, which comes and goes: it makes no command another one.
bool SameContent(Command a, const Command& b) {
  a.id = b.id;
  a.coordinators = b.coordinators;
  return a == b;
}

}  // namespace

Command Core::MakeCommand(CommandKind kind, const ServiceState& service) const {
  Command command;
  command.kind = kind;
  command.service = service.spec.name;
  command.log = service.spec.log;
  command.cluster = options_.cluster;
  command.coordinators = addresses_;
  command.grace_ms = service.spec.stop_grace_ms;
  return command;
}

void Core::Emit(NodeState& node, SentCommand* sent) {
  sent->at = now_;
  out_->commands.push_back({node.name, sent->command});
}

SentCommand& Core::Ensure(NodeState& node, Command command, int64_t retry_ms) {
  auto key = std::make_pair(command.service, command.kind);
  auto it = node.sent.find(key);
  if (it == node.sent.end() || !SameContent(it->second.command, command)) {
    command.id = static_cast<int64_t>((term_ << 32) + ++commands_);
    SentCommand& sent = node.sent[key];
    sent = SentCommand();
    sent.command = std::move(command);
    Emit(node, &sent);
    Wake(sent.at + retry_ms * kNsPerMs);
    return sent;
  }
  SentCommand& sent = it->second;
  int64_t wait_ms = retry_ms;
  if (sent.done && sent.code != StatusCode::kOk) {
    wait_ms = std::min<int64_t>(5000, int64_t{50} << std::min(sent.tries - 1, 8));
  }
  const Instant due = sent.at + wait_ms * kNsPerMs;
  if (now_ < due) {
    Wake(due);
    return sent;
  }
  // The application ignores ids at or below the last it saw, so a command that was overtaken needs a new one.
  if (sent.done || sent.tries % 2 == 0) sent.command.id = static_cast<int64_t>((term_ << 32) + ++commands_);
  sent.done = false;
  ++sent.tries;
  Emit(node, &sent);
  Wake(sent.at + retry_ms * kNsPerMs);
  return sent;
}

void Core::Forget(NodeState& node, const std::string& service, CommandKind kind) { node.sent.erase({service, kind}); }

void Core::OnResults(NodeState& node, const std::vector<CommandResult>& results) {
  for (const CommandResult& result : results) {
    for (auto it = node.sent.begin(); it != node.sent.end(); ++it) {
      SentCommand& sent = it->second;
      if (sent.command.id != result.id || sent.done) continue;
      sent.done = true;
      sent.code = result.code;
      sent.detail = result.detail;
      sent.at = now_;
      const bool busy = result.code == StatusCode::kAlreadyExists || result.code == StatusCode::kFailedPrecondition;
      if (sent.command.kind == CommandKind::kStartApp && result.code != StatusCode::kOk && !busy) {
        const std::string program = sent.command.program;
        node.sent.erase(it);
        StartFailed(node, program, result.detail);
      }
      break;
    }
  }
}

}  // namespace understudy::coordinator
