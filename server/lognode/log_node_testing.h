// One log server in a test's own process: a LogNode on a loop of its own, and a client of it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "log/env/file.h"
#include "log/env/random.h"
#include "log/format/batch.h"
#include "log/metadata/metadata_store.h"
#include "log/rpc/await.h"
#include "log/rpc/clients.h"
#include "server/lognode/log_node.h"

namespace understudy::testing {

inline constexpr int64_t kTimeoutMs = 10'000;
inline constexpr AttemptId kAttempt{7, 7};

inline BatchRef MakeBatch(uint64_t log, uint64_t epoch, uint64_t first, const std::vector<std::string>& records) {
  BatchBuilder builder;
  for (const std::string& record : records) builder.Add(record, 1);
  return std::make_shared<const std::string>(builder.Finish(LogId(log), Epoch(epoch), Lsn(first)));
}

// Appended, not added up: g++ 12 has a false alarm about `"r" + std::to_string(n)` in optimised builds.
inline std::string Numbered(std::string name, uint64_t number) {
  name += std::to_string(number);
  return name;
}

// One disk and the loop that serves it.
class Server {
 public:
  using Change = std::function<void(LogNodeOptions*)>;
  Server(const std::string& data_dir, MetadataStore* metadata, FileSystem* files = SystemFileSystem(),
         const Change& change = nullptr) {
    LogNodeOptions options;
    options.cluster = "test";
    options.node = "here";
    options.data_dir = data_dir;
    options.listen = "127.0.0.1:0";
    options.segment_bytes = 1u << 20;
    options.boot_count_interval_ms = 50;
    if (change) change(&options);
    Result<std::unique_ptr<LogNode>> node = LogNode::Open(&loop_, SystemRandom(), files, metadata, options);
    EXPECT_TRUE(node.ok()) << node.status().ToString();
    if (!node.ok()) std::abort();
    node_ = std::move(node).value();
    node_->SetOnFatal([this](Status why) { fatal_ = std::move(why); });
    node_->SetOnReplaceable([this] { replaceable_ = true; });
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { loop_.Run(); });
    const Result<bool> started = Await<bool>(&loop_, [&](auto done) {
      node_->Start([done](Status status) { done(status.ok() ? Result<bool>(true) : Result<bool>(status)); });
    });
    started_ = started.ok() ? Status::Ok() : started.status();
    if (!started.ok()) return;
    const EventLoop::Section section(&loop_);
    RpcClientOptions client;
    client.cluster = "test";
    client_ = LogServiceClient::Create(&loop_, client, node_->address());
  }
  ~Server() {
    {
      const EventLoop::Section section(&loop_);
      client_.reset();
      node_->Close();
    }
    loop_.Stop();
    for (std::thread& thread : threads_) thread.join();
  }

  template <class Response, class Request>
  Response Call(void (LogServiceClient::*method)(const Request&, int64_t, Done<Response>), const Request& request) {
    Result<Response> answer =
        Await<Response>(&loop_, [&](auto done) { (client_.get()->*method)(request, kTimeoutMs, std::move(done)); });
    EXPECT_TRUE(answer.ok()) << answer.status().ToString();
    return answer.ok() ? std::move(answer).value() : Response();
  }
  AppendResponse Append(uint64_t log, uint64_t epoch, uint64_t first, const std::vector<std::string>& records,
                        uint64_t commit = 0) {
    return Call(&LogServiceClient::Append,
                AppendRequest{LogId(log), disk(), Epoch(epoch), kAttempt, Lsn(1), Lsn(commit),
                              records.empty() ? nullptr : MakeBatch(log, epoch, first, records)});
  }
  // Nobody waits for its acknowledgement; the answer to what follows says that it has been taken.
  void AppendUnheard(uint64_t log, uint64_t epoch, uint64_t first, const std::vector<std::string>& records) {
    const AppendRequest request{
        LogId(log), disk(), Epoch(epoch), kAttempt, Lsn(1), Lsn(), MakeBatch(log, epoch, first, records)};
    {
      const EventLoop::Section section(&loop_);
      client_->Append(request, kTimeoutMs, [](Result<AppendResponse>) {});
    }
    const Result<bool> durable = Await<bool>(
        &loop_, [&](auto done) { UntilTail(LogId(log), Lsn(first + records.size() - 1), std::move(done)); });
    EXPECT_TRUE(durable.ok()) << durable.status().ToString();
  }
  ReadResponse Read(uint64_t log, uint64_t epoch, uint64_t from, uint64_t to) {
    return Call(&LogServiceClient::Read,
                ReadRequest{LogId(log), disk(), Epoch(epoch), Lsn(from), Lsn(to), kReadBytesMax, 0});
  }
  SealResponse Seal(uint64_t log, uint64_t epoch) {
    return Call(&LogServiceClient::Seal, SealRequest{LogId(log), disk(), Epoch(epoch)});
  }
  DiskId disk() const { return node_->disk(); }
  std::string address() const { return node_->address(); }
  const Status& started() const { return started_; }
  EventLoop* loop() { return &loop_; }
  Status fatal() {
    const EventLoop::Section section(&loop_);
    return fatal_;
  }
  bool replaceable() {
    const EventLoop::Section section(&loop_);
    return replaceable_;
  }

 private:
  // Strand held. Asks until the tail is there.
  void UntilTail(LogId log, Lsn tail, std::function<void(Result<bool>)> done) {
    client_->ReplicaStatus({log, disk()}, kTimeoutMs, [this, log, tail, done](Result<ReplicaStatusResponse> answer) {
      if (!answer.ok()) return done(answer.status());
      if (answer->tail >= tail) return done(true);
      UntilTail(log, tail, done);
    });
  }

  EventLoop loop_{SystemClock()};
  std::unique_ptr<LogNode> node_;
  std::vector<std::thread> threads_;
  std::unique_ptr<LogServiceClient> client_;
  Status started_;
  Status fatal_;
  bool replaceable_ = false;
};

}  // namespace understudy::testing
