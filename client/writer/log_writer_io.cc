// What the Writer core asks for, carried out: sends, chain operations, the mirror stream, timers.
#include <algorithm>
#include <memory>
#include <utility>

#include "client/writer/log_writer_impl.h"
#include "log/env/logging.h"
#include "understudy/check.h"

namespace understudy {
namespace {

constexpr int64_t kMirrorPauseNsMin = 20 * kNsPerMs;
constexpr int64_t kMirrorPauseNsMax = 1000 * kNsPerMs;

}  // namespace

void LogWriter::Impl::Step(WriterInput input) {
  inbox.push_back(std::move(input));
  Pump();
}

// Inputs that arrive while effects are being performed wait for their turn; then what callbacks and other threads have
// staged meanwhile goes out.
void LogWriter::Impl::Pump() {
  if (stepping || !writer) return;
  stepping = true;
  do {
    while (!inbox.empty()) {
      const WriterInput next = std::move(inbox.front());
      inbox.pop_front();
      effects.Clear();
      writer->Step(next, runtime->Now(), &effects);
      Perform();
    }
  } while (SendOneStaged(draining));
  stepping = false;
}

void LogWriter::Impl::Perform() {
  if (writer->epoch() != replicas_epoch) {  // the first step, or a Move to other disks
    replicas_epoch = writer->epoch();
    if (open) epoch = replicas_epoch.value();
    replicas.clear();
    for (const ReplicaRef& disk : writer->disks()) replicas.push_back({disk, nullptr});
  }
  PublishServeUntil();
  for (const SendAppend& send : effects.appends) SendTo(send);
  for (const SendBarrier& send : effects.barrier_sends) SendTo(send);
  for (const MirrorPush& push : effects.mirror) Push(push);
  for (const ChainOp& op : effects.chain_ops) {
    auto into = [this, generation = this->generation](const auto& done) {
      if (generation == this->generation) Step(done);
    };
    chains->Perform(op, into, into);
  }
  if (effects.commit) Complete(*effects.commit);
  for (const BarrierDone& done : effects.barriers) {
    const Runtime::CallbackScope scope;
    const auto found = barriers.find(done.token);
    if (found == barriers.end()) continue;
    auto [upto, callback] = std::move(found->second);
    barriers.erase(found);
    if (done.code == StatusCode::kOk) {
      commit_waiters.Wait(upto, std::move(callback));
    } else {
      callback(Status(done.code, "the barrier did not complete"));
    }
  }
  for (const ReplicaDropped& dropped : effects.dropped) {
    LogWarning("writer", "log " + std::to_string(chains->log().value()) + " drops disk " +
                             ToHex(dropped.disk.disk).substr(0, 8) + " on " + dropped.disk.node + ": " +
                             dropped.reason.ToString());
    if (dropped.reason.code() != StatusCode::kResourceExhausted) shunned.insert(dropped.disk.disk);
  }
  if (effects.seal_without_owner && events.seal_without_owner) events.seal_without_owner(*effects.seal_without_owner);
  ArmTimer(effects.wake_at);

  std::function<void(Status)> moved;
  Status move_status;
  if (effects.move) {
    moved = std::exchange(handover_done, nullptr);
    move_status = effects.move->status;
    if (moved && !move_status.ok() && !effects.fenced) staging.Readmit();
    if (std::exchange(moving, false)) {
      if (move_status.ok() && !effects.fenced) Moved(*effects.move->chain.chain.last());
      MoveEnded(move_status);
    }
  }
  std::optional<FencedReport> fenced = std::move(effects.fenced);
  if (fenced) {
    if (!moved) moved = std::exchange(handover_done, nullptr);
    if (!effects.move) move_status = fenced->reason;
    Over(Status(StatusCode::kFenced, fenced->reason.message()));
    // No push comes any more: its spare need not wait for one. After a handover the last one is still on its way.
    if (!(moved && move_status.ok())) EndMirror();
  }
  if (moved) moved(move_status);
  if (fenced && !(moved && move_status.ok()) && events.fenced) events.fenced(*fenced);
}

// The replica's connection; found anew after it failed, since a server may come back at another address.
void LogWriter::Impl::WithClient(uint32_t index, std::function<void(Result<LogServiceClient*>)> fn) {
  Replica& replica = replicas[index];
  if (replica.client != nullptr) return fn(replica.client);
  cluster->AddressOf(replica.disk.disk, [this, index, of = replicas_epoch, generation = this->generation,
                                         fn = std::move(fn)](Result<std::string> address) {
    if (!address.ok()) return fn(address.status());
    LogServiceClient* client = cluster->LogServer(*address, Traffic::kAppend);
    if (generation == this->generation && of == replicas_epoch) replicas[index].client = client;
    fn(client);
  });
}

void LogWriter::Impl::SendTo(const SendAppend& send) {
  auto answer = [this, generation = this->generation, tag = send.tag,
                 disk = send.request.disk](Result<AppendResponse> response) {
    if (generation != this->generation) return;
    AppendAnswered answered;
    answered.tag = tag;
    if (response.ok()) {
      answered.response = std::move(response).value();
    } else {
      answered.response.code = response.status().code();
      answered.response.detail = response.status().message();
    }
    if (!response.ok() || answered.response.code == StatusCode::kWrongDisk) {
      cluster->Forget(disk);
      if (tag.epoch == replicas_epoch) replicas[tag.replica].client = nullptr;
    }
    Step(std::move(answered));
  };
  if (LogServiceClient* client = replicas[send.tag.replica].client) {
    client->Append(send.request, kNoTimeout, std::move(answer));
    return;
  }
  WithClient(send.tag.replica, [request = send.request, answer](Result<LogServiceClient*> client) {
    if (!client.ok()) return answer(client.status());
    (*client)->Append(request, kNoTimeout, answer);
  });
}

void LogWriter::Impl::SendTo(const SendBarrier& send) {
  auto answer = [this, generation = this->generation, tag = send.tag](Result<BarrierResponse> response) {
    if (generation != this->generation) return;
    BarrierAnswered answered;
    answered.tag = tag;
    if (response.ok()) {
      answered.response = std::move(response).value();
    } else {
      answered.response.code = response.status().code();
      answered.response.detail = response.status().message();
    }
    Step(std::move(answered));
  };
  WithClient(send.tag.replica, [this, request = send.request, answer](Result<LogServiceClient*> client) {
    if (!client.ok()) return answer(client.status());
    (*client)->Barrier(request, cluster->rpc_timeout_ms(), answer);
  });
}

// ---- the stream to a spare

void LogWriter::Impl::RetryMirror() {
  if (mirror_retry_set) runtime->loop()->Cancel(mirror_retry);
  mirror_retry_set = false;
  if (mirror) {
    mirror->SetOnBroken(nullptr);
    mirror->Close();
    old_mirrors.push_back(std::move(mirror));
    runtime->loop()->Post([this] { old_mirrors.clear(); });
    if (open) Step(WriterMirror{false});
  }
  if (mirror_address.empty() || !open) return;
  RpcClientOptions client;
  client.cluster = cluster->name();
  client.role = "application";
  client.name = "primary";
  mirror = MirrorServiceClient::Create(runtime->loop(), client, mirror_address);
  mirror->SetOnBroken([this] { MirrorBroke(); });
  Step(WriterMirror{true});
}

void LogWriter::Impl::EndMirror() {
  mirror_address.clear();
  RetryMirror();
}

void LogWriter::Impl::Push(const MirrorPush& push) {
  if (!mirror) return;
  if (!mirror->Mirror(push)) MirrorBroke();
}

// Tries again after a growing pause, for as long as the spare is wanted.
void LogWriter::Impl::MirrorBroke() {
  if (!open || !mirror || mirror_retry_set) return;
  Step(understudy::MirrorBroken{});
  mirror_pause_ns = std::clamp(mirror_pause_ns * 2, kMirrorPauseNsMin, kMirrorPauseNsMax);
  mirror_retry_set = true;
  mirror_retry = runtime->loop()->At(runtime->Now() + mirror_pause_ns, [this] {
    mirror_retry_set = false;
    RetryMirror();
  });
}

// ---- time

// Early ticks do no harm, so a timer that is due soon enough is left as it is.
void LogWriter::Impl::ArmTimer(Instant at) {
  if (at == Instant::Never() || (timer_set && timer_at <= at)) return;
  if (timer_set) runtime->loop()->Cancel(timer);
  timer_set = true;
  timer_at = at;
  timer = runtime->loop()->At(at, [this] {
    timer_set = false;
    Step(Tick{});
  });
}

void LogWriter::Impl::PublishServeUntil() {
  serve_until_ns.store(open ? writer->serve_until().ns() : INT64_MIN, std::memory_order_release);
}

}  // namespace understudy
