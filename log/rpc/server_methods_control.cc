// MetadataService, AgentService and CoordinatorService on an RpcServer.
#include <algorithm>
#include <optional>
#include <utility>

#include "gen/AgentService.h"
#include "gen/CoordinatorService.h"
#include "gen/MetadataService.h"
#include "log/rpc/server_impl.h"

namespace understudy::rpc_internal {

namespace {

constexpr size_t kListLimitMax = 10'000;

uint32_t WaitMs(int32_t wait_ms) { return static_cast<uint32_t>(std::clamp(wait_ms, 0, int32_t{kReadWaitMsMax})); }

wire::MetadataItem ToItem(MetadataEntry&& entry) {
  wire::MetadataItem item;
  item.key = std::move(entry.key);
  item.value = std::move(entry.value);
  item.version = static_cast<int64_t>(entry.version);
  return item;
}

Status CheckKey(const std::string& key) {
  if (key.empty() || key.size() > kMetadataKeyBytesMax) {
    return {StatusCode::kInvalidArgument, "a key has 1 to " + std::to_string(kMetadataKeyBytesMax) + " bytes"};
  }
  return Status::Ok();
}

// Stores call back on any thread, now or later; answers are given under the strand.
template <class Answer>
auto OnStrand(EventLoop* loop, Call call, void (*reply)(const Call&, Answer)) {
  return [loop, call = std::move(call), reply](Answer answer) {
    loop->Post([call, reply, answer = std::move(answer)]() mutable { reply(call, std::move(answer)); });
  };
}

void ReplyGet(const Call& call, Result<std::optional<MetadataEntry>> answer) {
  if (!answer.ok()) {
    ReplyError(call, answer.status());
    return;
  }
  wire::MetadataGetReply reply;
  reply.found = answer->has_value();
  if (answer->has_value()) {
    reply.item = ToItem(std::move(**answer));
  }
  ReplyResult<wire::MetadataService_metadata_get_result>(call, std::move(reply), true);
}

void ReplyList(const Call& call, Result<std::vector<MetadataEntry>> answer) {
  if (!answer.ok()) {
    ReplyError(call, answer.status());
    return;
  }
  wire::MetadataListReply reply;
  for (MetadataEntry& entry : *answer) {
    reply.items.push_back(ToItem(std::move(entry)));
  }
  ReplyResult<wire::MetadataService_metadata_list_result>(call, std::move(reply), true);
}

void ReplyCas(const Call& call, Result<uint64_t> answer) {
  if (!answer.ok()) {
    ReplyError(call, answer.status());
    return;
  }
  wire::MetadataCasReply reply;
  reply.version = static_cast<int64_t>(*answer);
  ReplyResult<wire::MetadataService_metadata_cas_result>(call, std::move(reply), false);
}

void RunCas(MetadataStore* store, EventLoop* loop, Call call, tp::TProtocol* in) {
  wire::MetadataService_metadata_cas_args args;
  args.read(in);
  in->readMessageEnd();
  Status status = CheckKey(args.key);
  if (status.ok() && args.value.size() > kMetadataValueBytesMax) {
    status = Status(StatusCode::kInvalidArgument,
                    "a value has at most " + std::to_string(kMetadataValueBytesMax) + " bytes");
  }
  if (!status.ok()) {
    ReplyError(call, status);
    return;
  }
  const auto expected = static_cast<uint64_t>(args.expected);
  auto done = OnStrand(loop, std::move(call), ReplyCas);
  if (args.value.empty()) {
    store->CompareAndDelete(args.key, expected, std::move(done));
  } else {
    store->CompareAndSwap(args.key, expected, std::move(args.value), std::move(done));
  }
}

template <class Result>
Reply<NextCommandResponse> ReplyCommand(Call call) {
  return [call = std::move(call)](NextCommandResponse response) {
    ReplyResult<Result>(call, ToWire(std::move(response)), false);
  };
}

template <class Result>
Reply<DocumentResponse> ReplyDocument(Call call) {
  return [call = std::move(call)](DocumentResponse response) {
    ReplyResult<Result>(call, ToWire(std::move(response)), true);
  };
}

// Reads `Args`, of which `report` is a field; answers itself and returns nothing when that makes no sense.
template <class Args, class Report>
bool ReadReport(const Call& call, tp::TProtocol* in, Args* args, Report* report) {
  args->read(in);
  in->readMessageEnd();
  const Status status = FromWire(std::move(args->report), report);
  if (!status.ok()) {
    ReplyError(call, status);
  }
  return status.ok();
}

template <class Args>
Args ReadArgs(tp::TProtocol* in) {
  Args args;
  args.read(in);
  in->readMessageEnd();
  return args;
}

}  // namespace

std::vector<Method> MetadataServiceMethods(MetadataStore* store, EventLoop* loop) {
  std::vector<Method> methods;
  methods.push_back({"metadata_get", kSmallFrameBytesMax,
                     [store, loop](Call call, tp::TProtocol* in) {
                       const auto args = ReadArgs<wire::MetadataService_metadata_get_args>(in);
                       if (Status status = CheckKey(args.key); !status.ok()) {
                         ReplyError(call, status);
                         return;
                       }
                       store->Get(args.key, OnStrand(loop, std::move(call), ReplyGet));
                     },
                     store});
  methods.push_back({"metadata_list", kSmallFrameBytesMax,
                     [store, loop](Call call, tp::TProtocol* in) {
                       const auto args = ReadArgs<wire::MetadataService_metadata_list_args>(in);
                       if (args.prefix.size() > kMetadataKeyBytesMax || args.limit <= 0) {
                         ReplyError(call,
                                    Status(StatusCode::kInvalidArgument, "prefix too long, or limit not above 0"));
                         return;
                       }
                       const size_t limit = std::min(static_cast<size_t>(args.limit), kListLimitMax);
                       store->List(args.prefix, limit, OnStrand(loop, std::move(call), ReplyList));
                     },
                     store});
  methods.push_back({"metadata_cas", 2 * kSmallFrameBytesMax,
                     [store, loop](Call call, tp::TProtocol* in) { RunCas(store, loop, std::move(call), in); }, store});
  return methods;
}

std::vector<Method> AgentServiceMethods(AgentServiceHandler* handler) {
  std::vector<Method> methods;
  methods.push_back({"app_next_command", kSmallFrameBytesMax,
                     [handler](Call call, tp::TProtocol* in) {
                       wire::AgentService_app_next_command_args args;
                       AppReport report;
                       if (ReadReport(call, in, &args, &report)) {
                         const uint64_t id = ConnectionId(call);
                         handler->AppNextCommand(
                             id, std::move(report), WaitMs(args.wait_ms),
                             ReplyCommand<wire::AgentService_app_next_command_result>(std::move(call)));
                       }
                     },
                     handler});
  methods.push_back({"app_report", kSmallFrameBytesMax,
                     [handler](Call call, tp::TProtocol* in) {
                       wire::AgentService_app_report_args args;
                       AppReport report;
                       if (ReadReport(call, in, &args, &report)) {
                         const uint64_t id = ConnectionId(call);
                         handler->AppReported(id, std::move(report),
                                              ReplyCommand<wire::AgentService_app_report_result>(std::move(call)));
                       }
                     },
                     handler});
  return methods;
}

std::vector<Method> CoordinatorServiceMethods(CoordinatorServiceHandler* handler) {
  std::vector<Method> methods;
  const auto add = [&methods, handler](const char* name, std::function<void(Call, tp::TProtocol*)> run) {
    methods.push_back({name, kSmallFrameBytesMax, std::move(run), handler});
  };
  add("agent_next_command", [handler](Call call, tp::TProtocol* in) {
    wire::CoordinatorService_agent_next_command_args args;
    AgentReport report;
    if (ReadReport(call, in, &args, &report)) {
      handler->AgentNextCommand(std::move(report), WaitMs(args.wait_ms),
                                ReplyCommand<wire::CoordinatorService_agent_next_command_result>(std::move(call)));
    }
  });
  add("agent_report", [handler](Call call, tp::TProtocol* in) {
    wire::CoordinatorService_agent_report_args args;
    AgentReport report;
    if (ReadReport(call, in, &args, &report)) {
      handler->AgentReported(std::move(report),
                             ReplyCommand<wire::CoordinatorService_agent_report_result>(std::move(call)));
    }
  });
  add("service_apply", [handler](Call call, tp::TProtocol* in) {
    auto args = ReadArgs<wire::CoordinatorService_service_apply_args>(in);
    handler->ServiceApply(std::move(args.document),
                          ReplyDocument<wire::CoordinatorService_service_apply_result>(std::move(call)));
  });
  add("service_remove", [handler](Call call, tp::TProtocol* in) {
    auto args = ReadArgs<wire::CoordinatorService_service_remove_args>(in);
    handler->ServiceRemove(std::move(args.service_name),
                           ReplyDocument<wire::CoordinatorService_service_remove_result>(std::move(call)));
  });
  add("status", [handler](Call call, tp::TProtocol* in) {
    ReadArgs<wire::CoordinatorService_status_args>(in);
    handler->GetStatus(ReplyDocument<wire::CoordinatorService_status_result>(std::move(call)));
  });
  add("events", [handler](Call call, tp::TProtocol* in) {
    const auto args = ReadArgs<wire::CoordinatorService_events_args>(in);
    handler->Events(static_cast<uint64_t>(args.after), static_cast<uint32_t>(std::max(args.limit, 0)),
                    WaitMs(args.wait_ms), ReplyDocument<wire::CoordinatorService_events_result>(std::move(call)));
  });
  add("switchover", [handler](Call call, tp::TProtocol* in) {
    auto args = ReadArgs<wire::CoordinatorService_switchover_args>(in);
    handler->Switchover(std::move(args.service_name), std::move(args.to_node),
                        ReplyDocument<wire::CoordinatorService_switchover_result>(std::move(call)));
  });
  add("set_paused", [handler](Call call, tp::TProtocol* in) {
    const auto args = ReadArgs<wire::CoordinatorService_set_paused_args>(in);
    handler->SetPaused(args.paused, ReplyDocument<wire::CoordinatorService_set_paused_result>(std::move(call)));
  });
  add("logs_request", [handler](Call call, tp::TProtocol* in) {
    auto args = ReadArgs<wire::CoordinatorService_logs_request_args>(in);
    handler->LogsRequest(std::move(args.document),
                         ReplyDocument<wire::CoordinatorService_logs_request_result>(std::move(call)));
  });
  add("policy_request", [handler](Call call, tp::TProtocol* in) {
    auto args = ReadArgs<wire::CoordinatorService_policy_request_args>(in);
    handler->PolicyRequest(std::move(args.document),
                           ReplyDocument<wire::CoordinatorService_policy_request_result>(std::move(call)));
  });
  return methods;
}

}  // namespace understudy::rpc_internal
