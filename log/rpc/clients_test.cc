// Every method of every service, from the client to a server and back.
#include "log/rpc/clients.h"

#include <gtest/gtest.h>

#include "log/rpc/clients_testing.h"
#include "log/rpc/convert.h"

namespace understudy {
namespace {

using rpc_internal::ToWire;
using rpc_test::ClientsTest;
using rpc_test::SomeAppend;

// The two messages that the client writes itself, without Thrift's structs, must be what Thrift's would be.
TEST_F(ClientsTest, AppendAndMirrorAreWrittenAsTheGeneratedCodeWould) {
  auto client = Make<LogServiceClient>();
  auto mirror = Make<MirrorServiceClient>();
  wire::AppendRequest got;
  logs_.on_append = [&](const AppendRequest& request) {
    got = ToWire(request);
    return AppendResponse();
  };
  const auto response =
      Await<AppendResponse>(&loop_, [&](auto done) { client->Append(SomeAppend(), kNoTimeout, std::move(done)); });
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ(got, ToWire(SomeAppend()));

  MirrorPush push;
  push.log = LogId(1);
  push.epoch = Epoch(2);
  push.attempt = {3, 4};
  push.commit = Lsn(5);
  push.batch = std::make_shared<const std::string>(100'000, 'm');
  push.next_owner = {6, 7};
  {
    EventLoop::Section section(&loop_);
    EXPECT_TRUE(mirror->Mirror(push));
    EXPECT_TRUE(mirror->Mirror(MirrorPush()));
  }
  ASSERT_TRUE(Until([&] { return mirrors_.pushes.size() == 2; }));
  EXPECT_EQ(ToWire(mirrors_.pushes[0]), ToWire(push));
  EXPECT_EQ(mirrors_.pushes[1].batch, nullptr);
  EXPECT_TRUE(mirrors_.pushes[1].next_owner.none());
}

// Calls `method` with a request whose fields are set by `set`, and answers with `respond`.
template <class Request, class Response, class Client>
void RoundTrip(EventLoop* loop, Client* client, void (Client::*method)(const Request&, int64_t, Done<Response>),
               std::function<Response(const Request&)>* handler, const Request& request, const Response& response) {
  Request got;
  *handler = [&](const Request& r) {
    got = r;
    return response;
  };
  auto answer = Await<Response>(loop, [&](auto done) { (client->*method)(request, kNoTimeout, std::move(done)); });
  ASSERT_TRUE(answer.ok()) << answer.status().ToString();
  EXPECT_EQ(ToWire(got), ToWire(request));
  EXPECT_EQ(ToWire(std::move(*answer)), ToWire(Response(response)));
}

TEST_F(ClientsTest, EveryMethodOfALogServer) {
  auto owned = Make<LogServiceClient>();
  LogServiceClient* c = owned.get();
  using C = LogServiceClient;
  const LogId log(9);
  const DiskId disk{1, 2};
  RoundTrip<SealRequest, SealResponse>(&loop_, c, &C::Seal, &logs_.on_seal, {log, disk, Epoch(3)},
                                       {StatusCode::kDataUnknown, "seal", Lsn(4), Epoch(5)});
  RoundTrip<BarrierRequest, BarrierResponse>(&loop_, c, &C::Barrier, &logs_.on_barrier, {log, disk, Epoch(3)},
                                             {StatusCode::kFenced, "barrier"});
  RoundTrip<ReadRequest, ReadResponse>(&loop_, c, &C::Read, &logs_.on_read, {log, disk, Epoch(3), Lsn(4), Lsn(5), 6, 7},
                                       {StatusCode::kOk, "read", std::string(100'000, 'r'), Lsn(8), Lsn(9)});
  RoundTrip<FetchRequest, FetchResponse>(&loop_, c, &C::Fetch, &logs_.on_fetch,
                                         {log, disk, Epoch(3), Lsn(4), Lsn(5), Lsn(6), {{{7, 8}, "a:1"}}},
                                         {StatusCode::kShort, "fetch", Lsn(9)});
  RoundTrip<TrimRequest, TrimResponse>(&loop_, c, &C::Trim, &logs_.on_trim, {log, disk, Lsn(3)},
                                       {StatusCode::kNotFound, "trim"});
  RoundTrip<ReplicaStatusRequest, ReplicaStatusResponse>(
      &loop_, c, &C::ReplicaStatus, &logs_.on_replica_status, {log, disk},
      {StatusCode::kOk, "status", Epoch(3), Epoch(4), Lsn(5), Lsn(6), 7, 8});
  RoundTrip<CheckpointChunk, CheckpointWriteResponse>(&loop_, c, &C::CheckpointWrite, &logs_.on_checkpoint_write,
                                                      {log, disk, 3, 4, std::string(100'000, 'c'), 5, true},
                                                      {StatusCode::kIoError, "checkpoint_write"});
  RoundTrip<CheckpointReadRequest, CheckpointReadResponse>(
      &loop_, c, &C::CheckpointRead, &logs_.on_checkpoint_read, {log, disk, 3, 4, 5},
      {StatusCode::kOk, "checkpoint_read", std::string(100'000, 'c'), 6, 7});
  RoundTrip<CheckpointDeleteRequest, CheckpointWriteResponse>(&loop_, c, &C::CheckpointDelete,
                                                              &logs_.on_checkpoint_delete, {log, disk, 3},
                                                              {StatusCode::kNotFound, "checkpoint_delete"});
  RoundTrip<LogServerStatusRequest, LogServerStatusResponse>(
      &loop_, c, &C::LogServerStatus, &logs_.on_log_server_status, {9}, {StatusCode::kOk, "", "{}"});
}

TEST_F(ClientsTest, EveryMethodOfAgentsAndCoordinators) {
  auto agent = Make<AgentServiceClient>();
  auto coordinator = Make<CoordinatorServiceClient>();
  const auto command = [&](const std::function<void(Done<NextCommandResponse>)>& call) {
    const auto answer = Await<NextCommandResponse>(&loop_, call);
    return answer.ok() ? answer->command.arguments.at(1) : answer.status().ToString();
  };
  const auto document = [&](const std::function<void(Done<DocumentResponse>)>& call) {
    const auto answer = Await<DocumentResponse>(&loop_, call);
    EXPECT_TRUE(!answer.ok() || answer->code == StatusCode::kNotFound);
    return answer.ok() ? answer->document : answer.status().ToString();
  };
  AppReport app;
  app.service = "kv1";
  app.gauges["rss"] = 2.5;
  EXPECT_EQ(command([&](auto done) { agent->AppNextCommand(app, 17, done); }), "app_next 17");
  EXPECT_EQ(control_.app.gauges, app.gauges);
  EXPECT_EQ(control_.connections.size(), 1U);
  EXPECT_EQ(command([&](auto done) { agent->AppReported(app, kNoTimeout, done); }), "app_reported");
  EXPECT_EQ(control_.connections.size(), 1U) << "one connection, one application";
  agent = nullptr;
  EXPECT_TRUE(Until([&] { return control_.connections.empty(); }));

  AgentReport report;
  report.node = "n1";
  report.labels = {"a=b"};
  EXPECT_EQ(command([&](auto done) { coordinator->AgentNextCommand(report, 18, done); }), "agent_next 18");
  EXPECT_EQ(control_.agent.labels, report.labels);
  EXPECT_EQ(command([&](auto done) { coordinator->AgentReported(report, kNoTimeout, done); }), "agent_reported");
  EXPECT_EQ(document([&](auto done) { coordinator->ServiceApply("doc", kNoTimeout, done); }), "apply doc");
  EXPECT_EQ(document([&](auto done) { coordinator->ServiceRemove("kv1", kNoTimeout, done); }), "remove kv1");
  EXPECT_EQ(document([&](auto done) { coordinator->GetStatus(kNoTimeout, done); }), "status");
  EXPECT_EQ(document([&](auto done) { coordinator->Events(1, 2, 3, done); }), "events 1 2 3");
  EXPECT_EQ(document([&](auto done) { coordinator->Switchover("kv1", "n2", kNoTimeout, done); }), "switchover kv1 n2");
  EXPECT_EQ(document([&](auto done) { coordinator->SetPaused(true, kNoTimeout, done); }), "paused");
  EXPECT_EQ(document([&](auto done) { coordinator->SetPaused(false, kNoTimeout, done); }), "not paused");
  EXPECT_EQ(document([&](auto done) { coordinator->LogsRequest("drain", kNoTimeout, done); }), "logs drain");
  EXPECT_EQ(document([&](auto done) { coordinator->PolicyRequest("explain", kNoTimeout, done); }), "policy explain");
}

TEST_F(ClientsTest, EveryMethodOfTheMetadata) {
  auto client = Make<MetadataServiceClient>();
  const auto cas = [&](const std::string& key, uint64_t expected, const std::string& value) {
    return Await<uint64_t>(
        &loop_, [&](auto done) { client->CompareAndSwap(key, expected, value, kNoTimeout, std::move(done)); });
  };
  EXPECT_EQ(*cas("a/1", 0, "one"), 1U);
  EXPECT_EQ(*cas("a/2", 0, "two"), 2U);
  EXPECT_EQ(*cas("b", 0, std::string(kMetadataValueBytesMax, 'v')), 3U);
  EXPECT_EQ(cas("a/1", 0, "again").status().code(), StatusCode::kConflict);
  EXPECT_EQ(cas("a/1", 1, "").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cas("b", 3, std::string(kMetadataValueBytesMax + 1, 'v')).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cas(std::string(kMetadataKeyBytesMax + 1, 'k'), 0, "v").status().code(), StatusCode::kInvalidArgument);
  const auto get = [&](const std::string& key) {
    return Await<std::optional<MetadataEntry>>(&loop_,
                                               [&](auto done) { client->Get(key, kNoTimeout, std::move(done)); });
  };
  const auto found = get("a/2");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->key, "a/2");
  EXPECT_EQ((*found)->value, "two");
  EXPECT_EQ((*found)->version, 2U);
  EXPECT_FALSE(get("none")->has_value());
  const auto list = [&](const std::string& prefix, size_t limit) {
    return Await<std::vector<MetadataEntry>>(
        &loop_, [&](auto done) { client->List(prefix, limit, kNoTimeout, std::move(done)); });
  };
  ASSERT_EQ(list("a/", 10)->size(), 2U);
  EXPECT_EQ(list("a/", 10)->at(1).value, "two");
  EXPECT_EQ(list("a/", 1)->size(), 1U);
  const auto remove = [&](const std::string& key, uint64_t expected) {
    return Await<uint64_t>(&loop_,
                           [&](auto done) { client->CompareAndDelete(key, expected, kNoTimeout, std::move(done)); });
  };
  EXPECT_EQ(remove("a/2", 1).status().code(), StatusCode::kConflict);
  EXPECT_TRUE(remove("a/2", 2).ok());
  EXPECT_FALSE(get("a/2")->has_value());
}

}  // namespace
}  // namespace understudy
