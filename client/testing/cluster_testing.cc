#include "client/testing/cluster_testing.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <utility>

#include "gtest/gtest.h"
#include "log/env/file.h"
#include "log/env/random.h"
#include "understudy/check.h"

namespace understudy::testing {
namespace {

constexpr std::chrono::seconds kPatience(30);

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "understudy-XXXXXX").string();
  UNDERSTUDY_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void LoopThreads::Start(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { loop_.Run(); });
}

void LoopThreads::Stop() {
  if (threads_.empty()) return;
  loop_.Stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

TestCluster::TestCluster(int log_servers, std::vector<std::string> zones) : zones_(std::move(zones)) {
  Result<std::unique_ptr<MetadataStore>> store =
      OpenEmbeddedMetadataStore(directory_.path() + "/metadata", {}, SystemFileSystem());
  UNDERSTUDY_CHECK(store.ok());
  store_ = std::move(store).value();
  metadata_loop_ = std::make_unique<LoopThreads>(1);
  StartMetadata();
  log_servers_.resize(static_cast<size_t>(log_servers));
  for (int i = 0; i < log_servers; ++i) StartLogServer(i);
}

void TestCluster::StartMetadata() {
  const EventLoop::Section strand(metadata_loop_->loop());
  RpcServerOptions options;
  options.cluster = kClusterName;
  metadata_server_ = std::make_unique<RpcServer>(metadata_loop_->loop(), options);
  metadata_server_->Serve(store_.get());
  UNDERSTUDY_CHECK(metadata_server_->Listen(metadata_address_.empty() ? "127.0.0.1:0" : metadata_address_).ok());
  metadata_address_ = metadata_server_->address();
}

void TestCluster::StopMetadata() {
  const EventLoop::Section strand(metadata_loop_->loop());
  metadata_server_.reset();
}

void TestCluster::EditChain(LogId log, const std::function<void(Chain*)>& change) {
  const std::string key = LogKey(kClusterName, log.value());
  while (true) {  // until no write of another's comes between
    std::promise<Result<std::optional<MetadataEntry>>> read;
    store_->Get(key, [&](Result<std::optional<MetadataEntry>> entry) { read.set_value(std::move(entry)); });
    const Result<std::optional<MetadataEntry>> entry = read.get_future().get();
    UNDERSTUDY_CHECK(entry.ok() && entry->has_value());
    Chain chain = DecodeChain((*entry)->value).value();
    change(&chain);
    std::promise<bool> written;
    store_->CompareAndSwap(key, (*entry)->version, EncodeChain(chain),
                           [&](const Result<uint64_t>& done) { written.set_value(done.ok()); });
    if (written.get_future().get()) return;
  }
}

void TestCluster::EditDisk(int index, const std::function<void(DiskEntry*)>& change) {
  while (true) {  // until no write of the log server's own comes between
    std::promise<Result<std::vector<MetadataEntry>>> listed;
    store_->List(DiskKey(kClusterName, ""), 1000,
                 [&](Result<std::vector<MetadataEntry>> found) { listed.set_value(std::move(found)); });
    const Result<std::vector<MetadataEntry>> entries = listed.get_future().get();
    UNDERSTUDY_CHECK(entries.ok());
    for (const MetadataEntry& item : *entries) {
      DiskEntry entry = DecodeDiskEntry(item.value).value();
      if (entry.node != node_of(index)) continue;
      change(&entry);
      std::promise<bool> written;
      store_->CompareAndSwap(item.key, item.version, EncodeDiskEntry(entry),
                             [&](const Result<uint64_t>& done) { written.set_value(done.ok()); });
      if (written.get_future().get()) return;
    }
  }
}

void TestCluster::DestroyLogServer(int index) {
  StopLogServer(index);
  std::filesystem::remove_all(data_dir(index));
}

int TestCluster::AddLogServer() {
  log_servers_.emplace_back();
  const int index = static_cast<int>(log_servers_.size()) - 1;
  StartLogServer(index);
  return index;
}

TestCluster::~TestCluster() {
  for (size_t i = 0; i < log_servers_.size(); ++i) StopLogServer(static_cast<int>(i));
  metadata_loop_->Stop();
  metadata_server_.reset();
  store_.reset();  // its thread may still be answering into the loops
}

LogOptions TestCluster::log_options(const std::string& node) const {
  LogOptions options;
  options.cluster = kClusterName;
  options.coordinators = {metadata_address_};
  options.node = node;
  options.endpoint = node + ":1";
  return options;
}

Chain TestCluster::ChainOf(LogId log) const {
  std::promise<Chain> promise;
  store_->Get(LogKey(kClusterName, log.value()), [&](Result<std::optional<MetadataEntry>> entry) {
    UNDERSTUDY_CHECK(entry.ok() && entry->has_value());
    promise.set_value(DecodeChain((*entry)->value).value());
  });
  return promise.get_future().get();
}

void TestCluster::StartLogServer(int index) {
  LogServer& server = log_servers_[static_cast<size_t>(index)];
  LogNodeOptions options;
  options.cluster = kClusterName;
  options.node = node_of(index);
  if (static_cast<size_t>(index) < zones_.size()) options.zone = zones_[static_cast<size_t>(index)];
  options.data_dir = data_dir(index);
  options.listen = server.address.empty() ? "127.0.0.1:0" : server.address;
  options.segment_bytes = 16u << 20;  // the largest batch fits in one
  if (change_) change_(&options);
  auto loop = std::make_unique<LoopThreads>(0);
  Result<std::unique_ptr<LogNode>> node =
      LogNode::Open(loop->loop(), SystemRandom(), SystemFileSystem(), store_.get(), options);
  UNDERSTUDY_CHECK(node.ok());
  server.node = std::move(node).value();
  server.loop = std::move(loop);
  server.loop->Start(2);
  std::promise<Status> started;
  server.loop->loop()->Post([&] { server.node->Start([&](const Status& status) { started.set_value(status); }); });
  const Status status = started.get_future().get();
  if (!status.ok()) ADD_FAILURE() << status.ToString();
  UNDERSTUDY_CHECK(status.ok());
  server.address = server.node->address();
  server.disk = server.node->disk();
}

void TestCluster::StopLogServer(int index) {
  LogServer& server = log_servers_[static_cast<size_t>(index)];
  if (!server.node) return;
  server.loop->Stop();
  server.node.reset();
  old_loops_.push_back(std::move(server.loop));
}

FakeAgent::FakeAgent(const TestCluster& cluster)
    : coordinator_(cluster.coordinator()), address_("unix:" + directory_.path() + "/agent.sock"), loop_(1) {
  Return();
}

FakeAgent::~FakeAgent() {
  loop_.Stop();
  server_.reset();
}

void FakeAgent::Return() {
  const EventLoop::Section strand(loop_.loop());
  RpcServerOptions options;
  options.cluster = kClusterName;
  server_ = std::make_unique<RpcServer>(loop_.loop(), options);
  server_->Serve(this);
  const Status status = server_->Listen(address_);
  if (!status.ok()) ADD_FAILURE() << status.ToString();
}

void FakeAgent::GoAway() {
  const EventLoop::Section strand(loop_.loop());
  poll_ = nullptr;
  server_.reset();
}

int64_t FakeAgent::Send(Command command) {
  const EventLoop::Section strand(loop_.loop());
  command.id = next_id_++;
  command.cluster = kClusterName;
  command.coordinators = {coordinator_};
  commands_.push_back(command);
  Answer();
  return command.id;
}

Status FakeAgent::ResultOf(int64_t id) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [&] { return results_.contains(id); })) {
    return {StatusCode::kDeadlineExceeded, "the application never reported a result"};
  }
  return results_[id];
}

Status FakeAgent::Carry(Command command) { return ResultOf(Send(std::move(command))); }

AppReport FakeAgent::WaitFor(const std::function<bool(const AppReport&)>& condition) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [&] { return condition(report_); })) {
    ADD_FAILURE() << "no such report came; last: role " << static_cast<int>(report_.role) << ", applied "
                  << report_.applied.value() << ", commit " << report_.commit.value();
    return {};
  }
  return report_;
}

AppReport FakeAgent::last_report() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return report_;
}

void FakeAgent::Take(const AppReport& report) {
  const std::lock_guard<std::mutex> lock(mutex_);
  report_ = report;
  for (const CommandResult& result : report.done) {
    results_.emplace(result.id, Status(result.code, result.detail));
  }
  changed_.notify_all();
}

void FakeAgent::AppNextCommand(uint64_t, AppReport report, uint32_t wait_ms, Reply<NextCommandResponse> reply) {
  Take(report);
  poll_ = std::move(reply);
  loop_.loop()->Cancel(poll_timer_);
  poll_timer_ = loop_.loop()->At(SystemClock()->Now() + wait_ms * kNsPerMs, [this] {
    if (poll_) std::exchange(poll_, nullptr)({});
  });
  Answer();
}

void FakeAgent::AppReported(uint64_t, AppReport report, Reply<NextCommandResponse> reply) {
  Take(report);
  reply({});
}

void FakeAgent::OnDisconnect(uint64_t) { poll_ = nullptr; }

void FakeAgent::Answer() {
  if (!poll_ || commands_.empty()) return;
  NextCommandResponse response;
  response.command = std::move(commands_.front());
  commands_.pop_front();
  std::exchange(poll_, nullptr)(std::move(response));
}

}  // namespace understudy::testing
