#include "tests/e2e/resp_check/service_load.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace understudy::resp_check {

namespace {

constexpr auto kAfterFailure = std::chrono::milliseconds(1);  // so that a gap is measured to about this

}  // namespace

struct ServiceLoad::Worker {
  Worker(std::string prefix, size_t keys, size_t first_endpoint)
      : book(std::move(prefix), keys), endpoint_index(first_endpoint) {}
  KeyBook book;
  RespConnection connection;
  size_t endpoint_index;
  std::string moved_to;  // tried before the list; empty: none
  bool failed = false;   // the last attempt did
  Instant next;          // of the schedule
  std::thread thread;
};

ServiceLoad::ServiceLoad(LoadOptions options, Clock* clock) : options_(std::move(options)), clock_(clock) {}

ServiceLoad::~ServiceLoad() { Stop(); }

void ServiceLoad::Start() {
  for (int i = 0; i < options_.connections; ++i) {
    workers_.push_back(std::make_unique<Worker>(options_.service + ":" + std::to_string(i) + ":", options_.keys,
                                                static_cast<size_t>(i)));
    Worker* worker = workers_.back().get();
    worker->thread = std::thread([this, worker] { Run(worker); });
  }
}

void ServiceLoad::Pause() {
  std::unique_lock lock(mutex_);
  paused_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return busy_ == 0; });
  gaps_.Pause();
}

void ServiceLoad::Resume() {
  const std::lock_guard guard(mutex_);
  paused_ = false;
  changed_.notify_all();
}

void ServiceLoad::Stop() {
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

std::string ServiceLoad::endpoint() const {
  const std::lock_guard guard(mutex_);
  return endpoint_;
}

std::vector<std::string> ServiceLoad::unknown_reasons() const {
  const std::lock_guard guard(mutex_);
  return unknown_reasons_;
}

void ServiceLoad::Run(Worker* worker) {
  worker->next = clock_->Now();
  while (WaitForTurn(worker)) {
    WriteOnce(worker);
    const std::lock_guard guard(mutex_);
    if (--busy_ == 0) {
      changed_.notify_all();
    }
  }
}

bool ServiceLoad::WaitForTurn(Worker* worker) {
  std::unique_lock lock(mutex_);
  if (worker->failed) {
    changed_.wait_for(lock, kAfterFailure, [this] { return stopping_; });
  } else if (options_.rate > 0) {
    const Instant now = clock_->Now();
    const auto wait = std::chrono::nanoseconds(std::max<int64_t>(worker->next - now, 0));
    changed_.wait_for(lock, wait, [this] { return stopping_; });
    // A worker that fell behind does not catch up: the offered rate stays the same.
    worker->next = std::max(worker->next, now) + kNsPerSecond / options_.rate;
  }
  changed_.wait(lock, [this] { return !paused_ || stopping_; });
  busy_ += stopping_ ? 0 : 1;
  return !stopping_;
}

bool ServiceLoad::EnsureConnected(Worker* worker) {
  if (worker->connection.connected()) {
    return true;
  }
  const std::string endpoint = worker->moved_to.empty()
                                   ? options_.endpoints[worker->endpoint_index % options_.endpoints.size()]
                                   : std::exchange(worker->moved_to, {});
  if (worker->connection.Connect(endpoint, options_.timeout_ms).ok()) {
    const Result<Reply> bound = worker->connection.Ask({"AUTH", options_.service, "-"}, options_.timeout_ms);
    if (bound.ok() && bound->kind == Reply::Kind::kText) {
      return true;
    }
  }
  TryNextEndpoint(worker);
  return false;
}

void ServiceLoad::TryNextEndpoint(Worker* worker) {
  worker->connection.Close();
  ++worker->endpoint_index;
}

void ServiceLoad::FollowMoved(Worker* worker, const std::string& error) {
  worker->connection.Close();
  worker->moved_to = error.substr(error.rfind(' ') + 1);
}

void ServiceLoad::WriteOnce(Worker* worker) {
  worker->failed = true;
  if (!EnsureConnected(worker)) {
    return;
  }
  const KeyBook::Write write = worker->book.Next();
  std::string value = std::to_string(write.value) + ":";
  value.resize(std::max(value.size(), options_.value_bytes), 'x');
  const Result<Reply> reply = worker->connection.Ask({"SET", write.key, value}, options_.timeout_ms);
  if (!reply.ok()) {
    OutcomeUnknown(worker, reply.status().message());
  } else if (reply->kind == Reply::Kind::kText) {
    worker->book.Acknowledged();
    ++acknowledged_;
    gaps_.Success(clock_->Now());
    worker->failed = false;
    const std::lock_guard guard(mutex_);
    if (endpoint_ != worker->connection.endpoint()) {
      endpoint_ = worker->connection.endpoint();
    }
  } else if (reply->text.starts_with("MOVED ")) {
    worker->book.Refused();
    ++refused_;
    FollowMoved(worker, reply->text);
  } else if (reply->text.starts_with("CLUSTERDOWN")) {
    worker->book.Refused();
    ++refused_;
    TryNextEndpoint(worker);
  } else {
    // Among these OUTCOMEUNKNOWN. An error that this client does not know may mean anything, too.
    OutcomeUnknown(worker, reply->text);
  }
}

void ServiceLoad::OutcomeUnknown(Worker* worker, const std::string& reason) {
  worker->book.Unknown();
  ++unknown_;
  TryNextEndpoint(worker);
  const std::lock_guard guard(mutex_);
  if (unknown_reasons_.size() < 10) {
    unknown_reasons_.push_back(reason);
  }
}

CheckResult ServiceLoad::Check(int unread_after_ms) {
  CheckResult result;
  Worker reader("", 1, 0);
  Instant deadline = clock_->Now() + unread_after_ms * kNsPerMs;
  const auto complain = [&result](const std::string& text) {
    if (result.complaints.size() < 10) {
      result.complaints.push_back(text);
    }
  };
  for (const auto& worker : workers_) {
    for (const KeyState& state : worker->book.AllKeys()) {
      ++result.keys;
      std::optional<Reply> answer;
      while (!answer.has_value() && clock_->Now() < deadline) {
        if (!EnsureConnected(&reader)) {
          // tidy: allow(sleep): between two attempts to connect.
          std::this_thread::sleep_for(kAfterFailure);
          continue;
        }
        Result<Reply> reply = reader.connection.Ask({"GET", state.key}, options_.timeout_ms);
        if (!reply.ok()) {
          TryNextEndpoint(&reader);
        } else if (reply->kind != Reply::Kind::kError) {
          answer = std::move(reply).value();
        } else if (reply->text.starts_with("MOVED ")) {
          FollowMoved(&reader, reply->text);
        } else {
          TryNextEndpoint(&reader);
        }
      }
      if (!answer.has_value()) {
        ++result.unread;
        complain(state.key + ": no server answers for it");
        continue;  // the deadline is over, so the others are not waited for
      }
      deadline = clock_->Now() + unread_after_ms * kNsPerMs;
      std::optional<uint64_t> value;
      if (answer->kind == Reply::Kind::kText) {
        value = std::strtoull(answer->text.c_str(), nullptr, 10);
      }
      const Verdict verdict = Judge(state, value);
      if (verdict != Verdict::kGood) {
        ++(verdict == Verdict::kLost ? result.lost : result.wrong);
        complain(state.key + ": acknowledged " + std::to_string(state.acknowledged) + ", maybe " +
                 std::to_string(state.maybe) + ", read " + (value.has_value() ? std::to_string(*value) : "nothing"));
      }
    }
  }
  return result;
}

}  // namespace understudy::resp_check
