#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "log/env/logging.h"
#include "log/rpc/rpc_server.h"
#include "tests/fuzz/targets.h"
#include "understudy/check.h"

namespace understudy::fuzz {

namespace {

// Hands out the input in pieces, then the end of the stream. The eventfd is there for the loop to watch.
class InputTransport : public Transport {
 public:
  InputTransport(std::string input, size_t piece) : input_(std::move(input)), piece_(piece) {
    fd_ = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    UNDERSTUDY_CHECK(fd_ >= 0);
  }
  ~InputTransport() override { close(fd_); }
  int fd() const override { return fd_; }
  ssize_t Receive(char* into, size_t size) override {
    const size_t n = std::min({size, piece_, input_.size() - at_});
    std::memcpy(into, input_.data() + at_, n);
    at_ += n;
    return static_cast<ssize_t>(n);
  }
  ssize_t Send(const iovec* parts, int count) override {
    ssize_t total = 0;
    for (int i = 0; i < count; ++i) {
      total += static_cast<ssize_t>(parts[i].iov_len);
    }
    return total;
  }
  void EndOutput() override {}

 private:
  std::string input_;
  size_t piece_;
  size_t at_ = 0;
  int fd_;
};

// Answers everything at once, with something in every field that can be large.
class Services : public LogServiceHandler,
                 public AgentServiceHandler,
                 public CoordinatorServiceHandler,
                 public MirrorServiceHandler,
                 public MetadataStore {
 public:
  void Append(AppendRequest request, Reply<AppendResponse> reply) override {
    ++calls;
    AppendResponse response;
    if (request.batch != nullptr) {
      const auto header = VerifyBatch(*request.batch);
      response.code = header.ok() ? StatusCode::kOk : header.status().code();
      response.detail = header.status().message();
    }
    reply(std::move(response));
  }
  void Seal(SealRequest, Reply<SealResponse> reply) override {
    ++calls;
    reply({});
  }
  void Barrier(BarrierRequest, Reply<BarrierResponse> reply) override {
    ++calls;
    reply({});
  }
  void Read(ReadRequest request, Reply<ReadResponse> reply) override {
    ++calls;
    UNDERSTUDY_CHECK(request.bytes_max <= kReadBytesMax && request.wait_ms <= kReadWaitMsMax);
    ReadResponse response;
    response.batches.assign(std::min<size_t>(request.bytes_max, 100'000), 'r');
    reply(std::move(response));
  }
  void Fetch(FetchRequest, Reply<FetchResponse> reply) override {
    ++calls;
    reply({});
  }
  void Trim(TrimRequest, Reply<TrimResponse> reply) override {
    ++calls;
    reply({});
  }
  void ReplicaStatus(ReplicaStatusRequest, Reply<ReplicaStatusResponse> reply) override {
    ++calls;
    reply({});
  }
  void CheckpointWrite(CheckpointChunk chunk, Reply<CheckpointWriteResponse> reply) override {
    ++calls;
    UNDERSTUDY_CHECK(chunk.bytes.size() <= kCheckpointChunkBytesMax);
    reply({});
  }
  void CheckpointRead(CheckpointReadRequest request, Reply<CheckpointReadResponse> reply) override {
    ++calls;
    UNDERSTUDY_CHECK(request.bytes_max <= kCheckpointChunkBytesMax);
    reply({});
  }
  void CheckpointDelete(CheckpointDeleteRequest, Reply<CheckpointWriteResponse> reply) override {
    ++calls;
    reply({});
  }

  void AppNextCommand(uint64_t, AppReport report, uint32_t, Reply<NextCommandResponse> reply) override {
    ++calls;
    reply(Echo(report));
  }
  void AppReported(uint64_t, AppReport report, Reply<NextCommandResponse> reply) override {
    ++calls;
    reply(Echo(report));
  }
  void OnDisconnect(uint64_t) override {}

  void AgentNextCommand(AgentReport report, uint32_t, Reply<NextCommandResponse> reply) override {
    ++calls;
    reply(Echo(report.app));
  }
  void AgentReported(AgentReport report, Reply<NextCommandResponse> reply) override {
    ++calls;
    reply(Echo(report.app));
  }
  void ServiceApply(std::string document, Reply<DocumentResponse> reply) override {
    ++calls;
    reply({StatusCode::kOk, "", std::move(document)});
  }
  void ServiceRemove(std::string, Reply<DocumentResponse> reply) override {
    ++calls;
    reply({});
  }
  void GetStatus(Reply<DocumentResponse> reply) override {
    ++calls;
    reply({});
  }
  void Events(uint64_t, uint32_t, uint32_t wait_ms, Reply<DocumentResponse> reply) override {
    ++calls;
    UNDERSTUDY_CHECK(wait_ms <= kReadWaitMsMax);
    reply({});
  }
  void Switchover(std::string, std::string, Reply<DocumentResponse> reply) override {
    ++calls;
    reply({});
  }
  void SetPaused(bool, Reply<DocumentResponse> reply) override {
    ++calls;
    reply({});
  }
  void LogsRequest(std::string, Reply<DocumentResponse> reply) override {
    ++calls;
    reply({});
  }
  void PolicyRequest(std::string, Reply<DocumentResponse> reply) override {
    ++calls;
    reply({});
  }

  void Mirror(uint64_t, MirrorPush push) override {
    ++calls;
    UNDERSTUDY_CHECK(push.batch == nullptr || !push.batch->empty());
  }

  void Get(const std::string& key, GetCallback done) override {
    ++calls;
    done(std::optional(MetadataEntry{key, key, 1}));
  }
  void List(const std::string& prefix, size_t limit, ListCallback done) override {
    ++calls;
    done(std::vector<MetadataEntry>(std::min<size_t>(limit, 10), MetadataEntry{prefix, prefix, 1}));
  }
  void CompareAndSwap(const std::string& key, uint64_t, std::string value, CasCallback done) override {
    ++calls;
    UNDERSTUDY_CHECK(key.size() <= kMetadataKeyBytesMax && value.size() <= kMetadataValueBytesMax);
    done(uint64_t{1});
  }
  void CompareAndDelete(const std::string&, uint64_t, CasCallback done) override {
    ++calls;
    done(Status(StatusCode::kConflict, "fuzz"));
  }
  uint64_t calls = 0;

  uint64_t Watch(const std::string&, WatchCallback) override { return 0; }
  void Unwatch(uint64_t) override {}

 private:
  static NextCommandResponse Echo(const AppReport& report) {
    NextCommandResponse response;
    response.detail = report.service;
    response.command.endpoint = report.endpoint;
    response.command.attempt = report.attempt;
    return response;
  }
};

// One loop and server for all inputs: nothing of a connection may outlive it.
struct Harness {
  EventLoop loop{SystemClock()};
  Services services;
  RpcServer server{&loop, {.cluster = "fuzz"}};

  Harness() {
    SetLogSink([](LogLevel, std::string_view, std::string_view) {});
    EventLoop::Section section(&loop);
    server.Serve(static_cast<LogServiceHandler*>(&services));
    server.Serve(static_cast<MetadataStore*>(&services));
    server.Serve(static_cast<AgentServiceHandler*>(&services));
    server.Serve(static_cast<CoordinatorServiceHandler*>(&services));
    server.Serve(static_cast<MirrorServiceHandler*>(&services));
  }
};

Harness* TheHarness() {
  static auto* const harness = new Harness;  // never destroyed: inputs may come until the process ends
  return harness;
}

// `hello` of cluster "fuzz", versions 1 to 1, role and name empty; as a stock client sends it.
constexpr std::string_view kHelloBinary(
    "\0\0\0\x3d"
    "\x80\x01\0\x01\0\0\0\x05hello\0\0\0\x01"
    "\x0c\0\x01\x0b\0\x01\0\0\0\x04"
    "fuzz\x08\0\x02\0\0\0\x01\x08\0\x03\0\0\0\x01\x0b\0\x04\0\0\0\0\x0b\0\x05\0\0\0\0\0\0",
    65);
constexpr std::string_view kHelloCompact(
    "\0\0\0\x1a"
    "\x82!\x01\x05hello\x1c\x18\x04"
    "fuzz\x15\x02\x15\x02\x18\0\x18\0\0\0",
    30);

std::string Length(size_t size) {
  std::string bytes(4, '\0');
  for (int i = 0; i < 4; ++i) {
    bytes[static_cast<size_t>(i)] = static_cast<char>(size >> (24 - 8 * i));
  }
  return bytes;
}

}  // namespace

void Rpc(std::string_view input) {
  Harness* const harness = TheHarness();
  if (input.empty()) {
    return;
  }
  const int flags = input[0];
  input.remove_prefix(1);
  std::string stream;
  if ((flags & 1) != 0) {
    stream = (flags & 4) != 0 ? kHelloCompact : kHelloBinary;
  }
  if ((flags & 2) != 0) {
    stream += Length(input.size());
  }
  stream += input;
  const size_t piece = (flags & 8) != 0 ? stream.size() / 20 + 1 : stream.size() + 1;

  auto transport = std::make_unique<InputTransport>(std::move(stream), piece);
  const int fd = dup(transport->fd());
  UNDERSTUDY_CHECK(fd >= 0);
  {
    EventLoop::Section section(&harness->loop);
    harness->server.Adopt(std::move(transport), "fuzz");
  }
  for (int turn = 0; harness->server.connections() > 0; ++turn) {
    UNDERSTUDY_CHECK(turn < 100);
    UNDERSTUDY_CHECK(eventfd_write(fd, 1) == 0);
    harness->loop.RunOnce(0);
  }
  close(fd);
}

uint64_t RpcCallsServed() { return TheHarness()->services.calls; }

}  // namespace understudy::fuzz
