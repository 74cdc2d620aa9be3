#include "tests/chaos/client/service_client.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace understudy::chaos {

namespace {

using Json = nlohmann::json;
using resp_check::Reply;

constexpr auto kAfterFailure = std::chrono::milliseconds(2);

// Whether an error says that the command was not executed. Of any other error nothing is known.
bool SaysNotDone(const std::string& error) { return error.starts_with("MOVED ") || error.starts_with("CLUSTERDOWN"); }

// What the history calls the answer.
Json Answer(const std::string& operation, const Reply& reply) {
  if (operation == "get") {
    return reply.kind == Reply::Kind::kNull ? Json() : Json(reply.text);
  }
  if (operation == "cas") {
    return reply.kind != Reply::Kind::kNull;
  }
  if (operation == "read") {
    return reply.items;
  }
  if (reply.kind == Reply::Kind::kInteger) {
    return std::stoll(reply.text);
  }
  return reply.text;
}

}  // namespace

struct ServiceClient::Worker {
  Worker(uint64_t seed, int64_t number, size_t first_endpoint)
      : random(seed), process(number), endpoint_index(first_endpoint) {}
  SeededRandom random;
  int64_t process;
  size_t endpoint_index;
  std::string moved_to;  // tried before the list
  resp_check::RespConnection connection;
  uint64_t values = 0;
  bool failed = false;
  Instant next;
  std::thread thread;
};

ServiceClient::ServiceClient(ClientOptions options, Clock* clock, HistoryLog* history)
    : options_(std::move(options)), clock_(clock), history_(history), pool_(options_.service + ":") {}

ServiceClient::~ServiceClient() { Stop(); }

void ServiceClient::Start() {
  for (int i = 0; i < options_.connections; ++i) {
    workers_.push_back(std::make_unique<Worker>(options_.seed * 1000 + static_cast<uint64_t>(i),
                                                options_.first_process + i, static_cast<size_t>(i)));
    Worker* worker = workers_.back().get();
    worker->thread = std::thread([this, worker] { Run(worker); });
  }
}

void ServiceClient::Stop() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) {
      worker->thread.join();
    }
  }
}

std::map<std::string, uint64_t> ServiceClient::reasons() const {
  const std::lock_guard guard(mutex_);
  return reasons_;
}

void ServiceClient::Reason(const std::string& text) {
  const std::lock_guard guard(mutex_);
  ++reasons_[text.substr(0, text.find(' '))];
}

void ServiceClient::Run(Worker* worker) {
  worker->next = clock_->Now();
  while (WaitForTurn(worker)) {
    OperateOnce(worker);
  }
}

bool ServiceClient::WaitForTurn(Worker* worker) {
  std::unique_lock lock(mutex_);
  if (worker->failed) {
    changed_.wait_for(lock, kAfterFailure, [this] { return stopping_; });
  } else {
    const Instant now = clock_->Now();
    const auto wait = std::chrono::nanoseconds(std::max<int64_t>(worker->next - now, 0));
    changed_.wait_for(lock, wait, [this] { return stopping_; });
    worker->next = std::max(worker->next, now) + kNsPerSecond / options_.rate;
  }
  return !stopping_;
}

bool ServiceClient::EnsureConnected(Worker* worker) {
  if (worker->connection.connected()) {
    return true;
  }
  const std::string endpoint = worker->moved_to.empty()
                                   ? options_.endpoints[worker->endpoint_index % options_.endpoints.size()]
                                   : std::exchange(worker->moved_to, {});
  const int connect_ms = std::min(500, options_.timeout_ms);
  if (worker->connection.Connect(endpoint, connect_ms).ok()) {
    const Result<Reply> bound = worker->connection.Ask({"AUTH", options_.service, "-"}, connect_ms);
    if (bound.ok() && bound->kind == Reply::Kind::kText) {
      return true;
    }
  }
  worker->connection.Close();
  ++worker->endpoint_index;
  return false;
}

ServiceClient::Outcome ServiceClient::Ask(Worker* worker, const KeyUse& use, const std::vector<std::string>& words,
                                          Json operation, Reply* reply) {
  const std::string name = operation.at("op");
  const bool looks = name == "get" || name == "read";
  operation["key"] = use.key;
  const int64_t invoked_ns = clock_->Now().ns();
  Result<Reply> answer = worker->connection.Ask(words, options_.timeout_ms);
  const int64_t completed_ns = clock_->Now().ns();
  if (answer.ok() && answer->kind != Reply::Kind::kError) {
    operation["result"] = Answer(name, *answer);
    history_->Add(std::move(operation), worker->process, invoked_ns, completed_ns);
    gaps_.Success(Instant(completed_ns));
    ++(looks ? reads_ : writes_acked_);
    *reply = std::move(answer).value();
    return Outcome::kAnswered;
  }
  const std::string text = answer.ok() ? answer->text : answer.status().message();
  if (answer.ok() && SaysNotDone(text)) {
    Reason(text);
    ++refused_;
    worker->connection.Close();
    if (text.starts_with("MOVED ")) {
      worker->moved_to = text.substr(text.rfind(' ') + 1);
    } else {
      ++worker->endpoint_index;
    }
    if (name == "append") {
      operation["failed"] = true;  // should it be read, the refusal was a lie
      history_->Add(std::move(operation), worker->process, invoked_ns, completed_ns);
    }
    return Outcome::kRefused;
  }
  Reason(answer.ok() ? text : "connection");
  worker->connection.Close();
  ++worker->endpoint_index;
  if (!looks) {
    ++unknown_;
    pool_.Unknown(use);
    history_->Add(std::move(operation), worker->process, invoked_ns, std::nullopt);
  }
  return Outcome::kUnknown;
}

ServiceClient::Outcome ServiceClient::ReadKey(Worker* worker, const KeyUse& use) {
  Reply reply;
  if (use.kind == KeyKind::kList) {
    return Ask(worker, use, {"LRANGE", use.key, "0", "-1"}, {{"op", "read"}}, &reply);
  }
  const Outcome outcome = Ask(worker, use, {"GET", use.key}, {{"op", "get"}}, &reply);
  if (outcome == Outcome::kAnswered && reply.kind == Reply::Kind::kText) {
    pool_.Seen(use, reply.text);
  }
  return outcome;
}

void ServiceClient::OperateOnce(Worker* worker) {
  worker->failed = true;
  if (!EnsureConnected(worker)) {
    return;
  }
  const KeyUse use = pool_.Pick(worker->random.Next64());
  const uint64_t dice = worker->random.Below(100);
  const std::string value = std::to_string(worker->process) + "." + std::to_string(++worker->values);
  Reply reply;
  Outcome outcome = Outcome::kUnknown;
  if (dice < 45) {
    outcome = ReadKey(worker, use);
  } else if (use.kind == KeyKind::kList) {
    outcome = Ask(worker, use, {"RPUSH", use.key, value}, {{"op", "append"}, {"arg", value}}, &reply);
  } else if (use.kind == KeyKind::kCounter) {
    outcome = Ask(worker, use, {"INCR", use.key}, {{"op", "incr"}, {"arg", 1}}, &reply);
  } else if (dice < 65 && !use.last_seen.empty()) {
    outcome = Ask(worker, use, {"SET", use.key, value, "IFEQ", use.last_seen},
                  {{"op", "cas"}, {"arg", Json::array({use.last_seen, value})}}, &reply);
  } else if (dice < 70) {
    outcome = Ask(worker, use, {"DEL", use.key}, {{"op", "del"}}, &reply);
  } else {
    outcome = Ask(worker, use, {"SET", use.key, value}, {{"op", "set"}, {"arg", value}}, &reply);
    if (outcome == Outcome::kAnswered) {
      pool_.Seen(use, value);
    }
  }
  worker->failed = outcome != Outcome::kAnswered;
}

size_t ServiceClient::ReadAll(int give_up_after_ms) {
  size_t unread = 0;
  Worker reader(options_.seed, options_.first_process + options_.connections, 0);
  Instant deadline = clock_->Now() + give_up_after_ms * kNsPerMs;
  for (const KeyUse& use : pool_.AllKeys()) {
    bool answered = false;
    while (!answered && clock_->Now() < deadline) {
      answered = EnsureConnected(&reader) && ReadKey(&reader, use) == Outcome::kAnswered;
      if (!answered) {
        // tidy: allow(sleep): between two attempts.
        std::this_thread::sleep_for(kAfterFailure);
      }
    }
    unread += answered ? 0 : 1;
    deadline = answered ? clock_->Now() + give_up_after_ms * kNsPerMs : deadline;
  }
  return unread;
}

}  // namespace understudy::chaos
