#include "server/coordinator/node_polls.h"

#include <algorithm>
#include <utility>

namespace understudy::coordinator {

void NodePolls::Answer(Node& node, NextCommandResponse response) {
  auto it = node.polls.begin();
  Waiting waiting = std::move(it->second);
  node.polls.erase(it);
  if (waiting.timer != 0) loop_->Cancel(waiting.timer);
  waiting.reply(std::move(response));
}

void NodePolls::Supersede(const std::string& name) {
  Node& node = nodes_[name];
  while (!node.polls.empty()) Answer(node, idle_);
}

void NodePolls::Poll(const std::string& name, uint32_t wait_ms, Reply<NextCommandResponse> reply) {
  Supersede(name);
  Node& node = nodes_[name];
  if (!node.queue.empty()) {
    NextCommandResponse response;
    response.command = std::move(node.queue.front());
    node.queue.pop_front();
    reply(std::move(response));
    return;
  }
  const uint64_t id = ++next_poll_;
  Waiting& waiting = node.polls[id];
  waiting.reply = std::move(reply);
  const int64_t wait_ns = int64_t{std::min(wait_ms, kWaitMsMax)} * kNsPerMs;
  waiting.timer = loop_->At(loop_->clock()->Now() + wait_ns, [this, name, id] {
    Node& late = nodes_[name];
    auto it = late.polls.find(id);
    if (it == late.polls.end()) return;
    it->second.timer = 0;
    Answer(late, idle_);
  });
}

void NodePolls::Send(const std::string& name, Command command) {
  Node& node = nodes_[name];
  if (!node.polls.empty()) {
    NextCommandResponse response;
    response.command = std::move(command);
    Answer(node, std::move(response));
    return;
  }
  for (Command& queued : node.queue) {
    if (queued.id == command.id) {
      queued = std::move(command);
      return;
    }
  }
  if (node.queue.size() >= kQueueMax) node.queue.pop_front();
  node.queue.push_back(std::move(command));
}

bool NodePolls::Waits(const std::string& name) const {
  auto it = nodes_.find(name);
  return it != nodes_.end() && !it->second.polls.empty();
}

void NodePolls::AnswerAll(const NextCommandResponse& response) {
  for (auto& [name, node] : nodes_) {
    while (!node.polls.empty()) Answer(node, response);
  }
}

void NodePolls::ForgetCommands() {
  for (auto& [name, node] : nodes_) node.queue.clear();
}

void NodePolls::Stop() {
  NextCommandResponse gone;
  gone.code = StatusCode::kUnavailable;
  gone.detail = "the coordinator is stopping";
  AnswerAll(gone);
  ForgetCommands();
}

}  // namespace understudy::coordinator
