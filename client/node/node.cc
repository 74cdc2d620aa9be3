#include "understudy/node.h"

#include <cmath>
#include <cstdlib>
#include <utility>

#include "client/node/node_impl.h"
#include "client/writer/append_state.h"

namespace understudy {
namespace {

constexpr int64_t kCheckpointIntervalMsDefault = 30'000;
constexpr size_t kGaugesMax = 256;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Status NotPrimary() { return {StatusCode::kFailedPrecondition, "this instance is not the primary"}; }

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kWarm:
      return "WARM";
    case Role::kLoading:
      return "LOADING";
    case Role::kReplaying:
      return "REPLAYING";
    case Role::kMirroring:
      return "MIRRORING";
    case Role::kPromoting:
      return "PROMOTING";
    case Role::kPrimary:
      return "PRIMARY";
  }
  return "INVALID_ROLE";
}

Result<std::unique_ptr<Node>> Node::Start(NodeOptions options, StateMachine* state_machine, RoleListener* listener) {
  if (state_machine == nullptr || listener == nullptr) {
    return Status(StatusCode::kInvalidArgument, "Node::Start needs a state machine and a listener");
  }
  if (options.replay_lanes < 1 || options.replay_lanes > 64) {
    return Status(StatusCode::kInvalidArgument, "replay_lanes must be 1 to 64");
  }
  std::string agent = options.agent.empty() ? Environment("UNDERSTUDY_AGENT") : options.agent;
  if (agent.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  "no agent: set NodeOptions::agent or UNDERSTUDY_AGENT, or let understudyd start this program");
  }
  if (agent.front() == '/') agent = "unix:" + agent;
  std::string name = options.node.empty() ? Environment("UNDERSTUDY_NODE") : options.node;
  if (name.empty()) name = options.endpoint;
  if (options.cluster.empty()) options.cluster = Environment("UNDERSTUDY_CLUSTER");
  if (options.cluster.empty()) options.cluster = "understudy";
  auto node =
      std::make_unique<NodeImpl>(std::move(options), std::move(name), std::move(agent), state_machine, listener);
  node->Start();
  return std::unique_ptr<Node>(std::move(node));
}

NodeImpl::NodeImpl(NodeOptions options, std::string node_name, std::string agent, StateMachine* state_machine,
                   RoleListener* listener)
    : options_(std::move(options)),
      node_name_(std::move(node_name)),
      state_machine_(state_machine),
      listener_(listener),
      runtime_(SystemClock()),
      checkpoint_interval_ms_(kCheckpointIntervalMsDefault) {
  agent_ = std::make_unique<AgentLink>(
      &runtime_, options_.cluster, agent, [this] { return Report(); },
      [this](const Command& command) { OnCommand(command); });
}

void NodeImpl::Start() {
  runtime_.Run([this] { agent_->Start(); });
}

NodeImpl::~NodeImpl() {
  closing_ = true;
  {
    const std::lock_guard<std::mutex> lock(shared_mutex_);
    frozen_.notify_all();
  }
  // Under the strand: nothing new begins, and everything that waits for the network is let go.
  runtime_.Call<bool>([this](std::function<void(bool)> done) {
    agent_->Close();
    if (writer_) writer_->Close();
    replayer_.reset();
    takeover_.reset();
    if (cluster_) cluster_->Close();
    done(true);
  });
  checkpoint_thread_.Stop();
  listener_thread_.Stop();
  if (queue_) queue_->Stop();
  runtime_.Stop();
}

AppendFuture NodeImpl::Append(std::string_view payload, uint64_t key) {
  LogWriter* writer = writer_view_.load(std::memory_order_acquire);
  if (writer == nullptr) return AppendFuture(std::make_shared<AppendFuture::State>(NotPrimary()));
  return writer->Append(payload, key);
}

Result<Lsn> NodeImpl::Append(std::string_view payload, uint64_t key, AppendCallback callback) {
  LogWriter* writer = writer_view_.load(std::memory_order_acquire);
  if (writer == nullptr) return NotPrimary();
  return writer->Append(payload, key, std::move(callback));
}

void NodeImpl::WhenCommitted(std::function<void(Status)> callback) {
  LogWriter* writer = writer_view_.load(std::memory_order_acquire);
  if (writer == nullptr) return callback(NotPrimary());
  writer->WhenCommitted(std::move(callback));
}

Status NodeImpl::ReadBarrier() {
  LogWriter* writer = writer_view_.load(std::memory_order_acquire);
  if (writer == nullptr) return NotPrimary();
  if (Runtime::InCallback()) {
    return {StatusCode::kFailedPrecondition, "a blocking call inside a callback of the library would wait for itself"};
  }
  return runtime_.Call<Status>([writer](std::function<void(Status)> done) { writer->ReadBarrier(std::move(done)); });
}

void NodeImpl::ReadBarrier(std::function<void(Status)> callback) {
  LogWriter* writer = writer_view_.load(std::memory_order_acquire);
  if (writer == nullptr) return callback(NotPrimary());
  writer->ReadBarrier(std::move(callback));
}

bool NodeImpl::MayServe() const {
  const LogWriter* writer = writer_view_.load(std::memory_order_acquire);
  return writer != nullptr && role() == Role::kPrimary && writer->MayServe();
}

Lsn NodeImpl::applied() const {
  const LogWriter* writer = writer_view_.load(std::memory_order_acquire);
  if (writer == nullptr) return Lsn(0);
  return role() == Role::kPrimary ? writer->commit() : queue_->applied();
}

std::string NodeImpl::owner_endpoint() const {
  const std::lock_guard<std::mutex> lock(shared_mutex_);
  return owner_endpoint_;
}

void NodeImpl::SetGauge(const std::string& name, double value) {
  const std::lock_guard<std::mutex> lock(shared_mutex_);
  if (std::isnan(value)) {
    gauges_.erase(name);
  } else if (gauges_.size() < kGaugesMax || gauges_.contains(name)) {
    gauges_[name] = value;
  }
}

}  // namespace understudy
