#include "client/replay/tailer.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>

namespace understudy {
namespace {

// Above a read's own wait at the tail: then the server is taken for dead and another disk is asked.
constexpr int64_t kReadGraceMs = 2000;

}  // namespace

struct Tailer::Impl : std::enable_shared_from_this<Tailer::Impl> {
  Impl(Cluster* cluster, ChainStore* chains, FollowerOptions options, TailerSink sink)
      : cluster(cluster), chains(chains), sink(std::move(sink)), follower(options) {}

  // Inputs that arrive while the core's effects are being performed wait for their turn.
  void Step(FollowerInput input) {
    inbox.push_back(std::move(input));
    if (stepping) return;
    stepping = true;
    const std::shared_ptr<Impl> alive = shared_from_this();
    while (!inbox.empty() && !closed) {
      const FollowerInput next = std::move(inbox.front());
      inbox.pop_front();
      effects.Clear();
      follower.Step(next, Now(), &effects);
      Perform();
    }
    stepping = false;
    if (!closed && sink.stepped) sink.stepped();
  }

  void Perform() {
    const uint64_t version = follower.chain().version;
    if (version != chain_version) {
      chain_version = version;
      if (sink.chain) sink.chain(follower.chain());
    }
    if (!effects.released.empty()) sink.released(std::move(effects.released));
    if (effects.trimmed && sink.trimmed) sink.trimmed(*effects.trimmed);
    if (effects.next_owner_hint && sink.next_owner) sink.next_owner(*effects.next_owner_hint);
    if (effects.mirror_lost && sink.mirror_lost) sink.mirror_lost(*effects.mirror_lost);
    for (const ChainOp& op : effects.chain_ops) {
      chains->Perform(
          op, [self = shared_from_this()](const ChainReadDone& done) { self->Step(done); }, nullptr);
    }
    for (const FollowerRead& read : effects.reads) Read(read);
    ArmTimer(effects.wake_at);
  }

  void Read(const FollowerRead& read) {
    auto answer = [self = shared_from_this(), token = read.token](ReadResponse response) {
      ReadAnswered answered;
      answered.token = token;
      if (!response.batches.empty()) {
        answered.batches = std::make_shared<const std::string>(std::move(response.batches));
        response.batches.clear();
      }
      answered.response = std::move(response);
      self->Step(std::move(answered));
    };
    auto fail = [answer](const Status& why) {
      ReadResponse response;
      response.code = why.code();
      response.detail = why.message();
      answer(std::move(response));
    };
    cluster->AddressOf(read.request.disk, [self = shared_from_this(), request = read.request, answer,
                                           fail](Result<std::string> address) {
      if (!address.ok()) return fail(address.status());
      self->cluster->LogServer(*address, Traffic::kBulk)
          ->Read(request, request.wait_ms + kReadGraceMs, [self, request, answer, fail](Result<ReadResponse> response) {
            if (!response.ok() || response->code == StatusCode::kWrongDisk) {
              self->cluster->Forget(request.disk);
            }
            if (!response.ok()) return fail(response.status());
            answer(std::move(response).value());
          });
    });
  }

  // Early ticks do no harm, so a timer that is due soon enough is left as it is.
  void ArmTimer(Instant at) {
    if (at == Instant::Never() || (timer_set && timer_at <= at)) return;
    if (timer_set) cluster->loop()->Cancel(timer);
    timer_set = true;
    timer_at = at;
    timer = cluster->loop()->At(at, [self = shared_from_this()] {
      self->timer_set = false;
      self->Step(Tick{});
    });
  }

  Instant Now() { return cluster->loop()->clock()->Now(); }

  Cluster* const cluster;
  ChainStore* const chains;
  const TailerSink sink;
  Follower follower;
  FollowerEffects effects;
  std::deque<FollowerInput> inbox;
  bool stepping = false;
  bool closed = false;
  bool timer_set = false;
  Instant timer_at;
  EventLoop::TimerId timer = 0;
  uint64_t chain_version = 0;
};

Tailer::Tailer(Cluster* cluster, ChainStore* chains, FollowerOptions options, TailerSink sink)
    : impl_(std::make_shared<Impl>(cluster, chains, options, std::move(sink))) {}

Tailer::~Tailer() {
  impl_->closed = true;
  if (impl_->timer_set) impl_->cluster->loop()->Cancel(impl_->timer);
}

void Tailer::UseChain(const VersionedChain& chain) { impl_->Step(FollowerChain{chain}); }
void Tailer::Mirror(MirrorPush push) { impl_->Step(FollowerMirror{std::move(push)}); }
void Tailer::MirrorBroken() { impl_->Step(FollowerMirrorBroken{}); }
void Tailer::Applied(Lsn lsn) { impl_->Step(understudy::Applied{lsn}); }
const Follower& Tailer::follower() const { return impl_->follower; }

}  // namespace understudy
