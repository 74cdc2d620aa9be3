// The clients of metadata, agents and coordinators.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gen/AgentService.h"
#include "gen/CoordinatorService.h"
#include "gen/MetadataService.h"
#include "log/rpc/client_base.h"

namespace understudy {

namespace rpc_internal {

namespace {

// Beyond the wait of a long poll: an answer that has not come by then is lost.
constexpr int64_t kPollGraceMs = 5000;

MetadataEntry FromItem(wire::MetadataItem&& item) {
  return {std::move(item.key), std::move(item.value), static_cast<uint64_t>(item.version)};
}

// An answer whose code is OK becomes a value, any other its Status.
template <class WireResult, class Value, class Convert>
class MetadataCall : public PendingCall {
 public:
  MetadataCall(std::function<void(Result<Value>)> done, Convert convert, bool changes)
      : done_(std::move(done)), convert_(convert), changes_(changes) {}
  void Answer(tp::TProtocol* in) override {
    WireResult result;
    result.read(in);
    in->readMessageEnd();
    if (!result.__isset.success) {
      done_(Status(StatusCode::kInternal, "an answer without a result"));
    } else if (result.success.code != 0) {
      done_(Status(CodeFromWire(result.success.code), std::move(result.success.detail)));
    } else {
      done_(convert_(std::move(result.success)));
    }
  }
  void Fail(const Status& status) override {
    const bool unknown = changes_ && status.code() == StatusCode::kDeadlineExceeded;
    done_(unknown ? Status(StatusCode::kOutcomeUnknown, status.message()) : status);
  }

 private:
  std::function<void(Result<Value>)> done_;
  Convert convert_;
  const bool changes_;  // an answer that is missing leaves it open whether it happened
};

template <class WireResult, class Value, class Convert>
std::shared_ptr<PendingCall> MakeMetadataCall(std::function<void(Result<Value>)> done, Convert convert, bool changes) {
  return std::make_shared<MetadataCall<WireResult, Value, Convert>>(std::move(done), convert, changes);
}

class MetadataClient final : public ClientBase<MetadataServiceClient> {
 public:
  MetadataClient(EventLoop* loop, RpcClientOptions options, std::string address)
      : ClientBase(loop, std::move(options), std::move(address)), loop_(loop) {}

  void Get(const std::string& key, int64_t timeout_ms, MetadataStore::GetCallback done) override {
    wire::MetadataService_metadata_get_pargs args;
    args.key = &key;
    channel_->Call(
        "metadata_get", timeout_ms, nullptr, [&args](tp::TProtocol* out) { args.write(out); },
        MakeMetadataCall<wire::MetadataService_metadata_get_result, std::optional<MetadataEntry>>(
            std::move(done),
            [](wire::MetadataGetReply&& reply) {
              return reply.found ? std::optional(FromItem(std::move(reply.item))) : std::nullopt;
            },
            false));
  }

  void List(const std::string& prefix, size_t limit, int64_t timeout_ms, MetadataStore::ListCallback done) override {
    const auto wire_limit = static_cast<int32_t>(std::min<size_t>(limit, INT32_MAX));
    wire::MetadataService_metadata_list_pargs args;
    args.prefix = &prefix;
    args.limit = &wire_limit;
    channel_->Call(
        "metadata_list", timeout_ms, nullptr, [&args](tp::TProtocol* out) { args.write(out); },
        MakeMetadataCall<wire::MetadataService_metadata_list_result, std::vector<MetadataEntry>>(
            std::move(done),
            [](wire::MetadataListReply&& reply) {
              std::vector<MetadataEntry> entries;
              entries.reserve(reply.items.size());
              for (auto& item : reply.items) {
                entries.push_back(FromItem(std::move(item)));
              }
              return entries;
            },
            false));
  }

  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, int64_t timeout_ms,
                      MetadataStore::CasCallback done) override {
    if (value.empty()) {  // would delete on the wire
      loop_->Post([done = std::move(done)] { done(Status(StatusCode::kInvalidArgument, "an empty value")); });
      return;
    }
    Cas(key, expected, value, timeout_ms, std::move(done));
  }

  void CompareAndDelete(const std::string& key, uint64_t expected, int64_t timeout_ms,
                        MetadataStore::CasCallback done) override {
    Cas(key, expected, std::string(), timeout_ms, std::move(done));
  }

 private:
  void Cas(const std::string& key, uint64_t expected, const std::string& value, int64_t timeout_ms,
           MetadataStore::CasCallback done) {
    const auto wire_expected = static_cast<int64_t>(expected);
    wire::MetadataService_metadata_cas_pargs args;
    args.key = &key;
    args.expected = &wire_expected;
    args.value = &value;
    channel_->Call(
        "metadata_cas", timeout_ms, nullptr, [&args](tp::TProtocol* out) { args.write(out); },
        MakeMetadataCall<wire::MetadataService_metadata_cas_result, uint64_t>(
            std::move(done), [](wire::MetadataCasReply&& reply) { return static_cast<uint64_t>(reply.version); },
            true));
  }

  EventLoop* const loop_;
};

class AgentClient final : public ClientBase<AgentServiceClient> {
 public:
  using ClientBase::ClientBase;
  void AppNextCommand(const AppReport& report, uint32_t wait_ms, Done<NextCommandResponse> done) override {
    const auto wire_report = ToWire(report);
    const auto wire_wait = static_cast<int32_t>(std::min(wait_ms, kReadWaitMsMax));
    wire::AgentService_app_next_command_pargs args;
    args.report = &wire_report;
    args.wait_ms = &wire_wait;
    Call<wire::AgentService_app_next_command_result>("app_next_command", args, wire_wait + kPollGraceMs,
                                                     std::move(done));
  }
  void AppReported(const AppReport& report, int64_t timeout_ms, Done<NextCommandResponse> done) override {
    const auto wire_report = ToWire(report);
    wire::AgentService_app_report_pargs args;
    args.report = &wire_report;
    Call<wire::AgentService_app_report_result>("app_report", args, timeout_ms, std::move(done));
  }
};

class CoordinatorClient final : public ClientBase<CoordinatorServiceClient> {
 public:
  using ClientBase::ClientBase;
  void AgentNextCommand(const AgentReport& report, uint32_t wait_ms, Done<NextCommandResponse> done) override {
    const auto wire_report = ToWire(report);
    const auto wire_wait = static_cast<int32_t>(std::min(wait_ms, kReadWaitMsMax));
    wire::CoordinatorService_agent_next_command_pargs args;
    args.report = &wire_report;
    args.wait_ms = &wire_wait;
    Call<wire::CoordinatorService_agent_next_command_result>("agent_next_command", args, wire_wait + kPollGraceMs,
                                                             std::move(done));
  }
  void AgentReported(const AgentReport& report, int64_t timeout_ms, Done<NextCommandResponse> done) override {
    const auto wire_report = ToWire(report);
    wire::CoordinatorService_agent_report_pargs args;
    args.report = &wire_report;
    Call<wire::CoordinatorService_agent_report_result>("agent_report", args, timeout_ms, std::move(done));
  }
  void ServiceApply(const std::string& document, int64_t timeout_ms, Done<DocumentResponse> done) override {
    wire::CoordinatorService_service_apply_pargs args;
    args.document = &document;
    Call<wire::CoordinatorService_service_apply_result>("service_apply", args, timeout_ms, std::move(done));
  }
  void ServiceRemove(const std::string& service, int64_t timeout_ms, Done<DocumentResponse> done) override {
    wire::CoordinatorService_service_remove_pargs args;
    args.service_name = &service;
    Call<wire::CoordinatorService_service_remove_result>("service_remove", args, timeout_ms, std::move(done));
  }
  void GetStatus(int64_t timeout_ms, Done<DocumentResponse> done) override {
    Call<wire::CoordinatorService_status_result>("status", wire::CoordinatorService_status_pargs(), timeout_ms,
                                                 std::move(done));
  }
  void Events(uint64_t after, uint32_t limit, uint32_t wait_ms, Done<DocumentResponse> done) override {
    const auto wire_after = static_cast<int64_t>(after);
    const auto wire_limit = static_cast<int32_t>(std::min<uint32_t>(limit, INT32_MAX));
    const auto wire_wait = static_cast<int32_t>(std::min(wait_ms, kReadWaitMsMax));
    wire::CoordinatorService_events_pargs args;
    args.after = &wire_after;
    args.limit = &wire_limit;
    args.wait_ms = &wire_wait;
    Call<wire::CoordinatorService_events_result>("events", args, wire_wait + kPollGraceMs, std::move(done));
  }
  void Switchover(const std::string& service, const std::string& to_node, int64_t timeout_ms,
                  Done<DocumentResponse> done) override {
    wire::CoordinatorService_switchover_pargs args;
    args.service_name = &service;
    args.to_node = &to_node;
    Call<wire::CoordinatorService_switchover_result>("switchover", args, timeout_ms, std::move(done));
  }
  void SetPaused(bool paused, int64_t timeout_ms, Done<DocumentResponse> done) override {
    wire::CoordinatorService_set_paused_pargs args;
    args.paused = &paused;
    Call<wire::CoordinatorService_set_paused_result>("set_paused", args, timeout_ms, std::move(done));
  }
  void LogsRequest(const std::string& document, int64_t timeout_ms, Done<DocumentResponse> done) override {
    wire::CoordinatorService_logs_request_pargs args;
    args.document = &document;
    Call<wire::CoordinatorService_logs_request_result>("logs_request", args, timeout_ms, std::move(done));
  }
  void PolicyRequest(const std::string& document, int64_t timeout_ms, Done<DocumentResponse> done) override {
    wire::CoordinatorService_policy_request_pargs args;
    args.document = &document;
    Call<wire::CoordinatorService_policy_request_result>("policy_request", args, timeout_ms, std::move(done));
  }
};

}  // namespace

}  // namespace rpc_internal

std::unique_ptr<MetadataServiceClient> MetadataServiceClient::Create(EventLoop* loop, RpcClientOptions options,
                                                                     std::string address) {
  return std::make_unique<rpc_internal::MetadataClient>(loop, std::move(options), std::move(address));
}

std::unique_ptr<AgentServiceClient> AgentServiceClient::Create(EventLoop* loop, RpcClientOptions options,
                                                               std::string address) {
  return std::make_unique<rpc_internal::AgentClient>(loop, std::move(options), std::move(address));
}

std::unique_ptr<CoordinatorServiceClient> CoordinatorServiceClient::Create(EventLoop* loop, RpcClientOptions options,
                                                                           std::string address) {
  return std::make_unique<rpc_internal::CoordinatorClient>(loop, std::move(options), std::move(address));
}

}  // namespace understudy
