#include "client/writer/takeover_runner.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "client/writer/disk_probe.h"

namespace understudy {
namespace {

constexpr int64_t kOthersNs = 50 * kNsPerMs;       // how long the first disk that answers waits for the others
constexpr int64_t kProbeAgainNs = 200 * kNsPerMs;  // while no disk at all answers
constexpr int64_t kFetchTimeoutMs = 600'000;

}  // namespace

struct TakeoverRunner::Impl : std::enable_shared_from_this<TakeoverRunner::Impl> {
  Impl(Cluster* cluster, ChainStore* chains, TakeoverOptions options, std::function<void(const TakeoverResult&)> done,
       std::function<void(const std::string&)> waiting)
      : cluster(cluster),
        chains(chains),
        log(options.log),
        done(std::move(done)),
        waiting(std::move(waiting)),
        core(std::move(options)) {}

  // The takeover begins when all disks have answered or failed, or a moment after the first answer, and then hears of
  // the others as they come.
  void Probe() {
    probe = std::make_unique<DiskProbe>(cluster, log, [this](const std::vector<CandidateDisk>& found, bool complete) {
      const bool first = alive.empty() && !found.empty();
      alive = found;
      if (started) return Step(TakeoverCandidates{alive, probe->listed()});
      if (complete) return alive.empty() ? ProbeAgainLater() : Begin();
      if (!first) return;
      cluster->loop()->At(Now() + kOthersNs, [self = shared_from_this()] {
        if (!self->closed) self->Begin();
      });
    });
  }

  void Begin() {
    if (started) return;
    started = true;
    Step(TakeoverStart{alive, probe->listed()});
    if (accept_loss) AcceptLoss(known_commit);
  }

  void AcceptLoss(Lsn known) {
    accept_loss = true;
    known_commit = std::max(known_commit, known);
    if (started) Step(TakeoverAcceptLoss{std::max(known_commit, probe->commit())});
  }

  void ProbeAgainLater() {
    if (waiting) waiting("no log server answers");
    cluster->loop()->At(Now() + kProbeAgainNs, [self = shared_from_this()] {
      if (!self->closed) self->Probe();
    });
  }

  // Inputs that arrive while effects are being performed wait for their turn.
  void Step(TakeoverInput input) {
    inbox.push_back(std::move(input));
    if (stepping) return;
    stepping = true;
    const std::shared_ptr<Impl> self = shared_from_this();
    while (!inbox.empty() && !closed) {
      const TakeoverInput next = std::move(inbox.front());
      inbox.pop_front();
      effects.Clear();
      core.Step(next, Now(), &effects);
      Perform();
    }
    stepping = false;
  }

  void Perform() {
    for (const SendSeal& send : effects.seals) Seal(send);
    for (const SendFetch& send : effects.fetches) Fetch(send);
    for (const ChainOp& op : effects.chain_ops) {
      auto into = [self = shared_from_this()](const auto& answer) { self->Step(answer); };
      chains->Perform(op, into, into);
    }
    if (effects.waiting && waiting) waiting(effects.waiting->text);
    if (effects.wake_at != Instant::Never() && (!timer_set || effects.wake_at < timer_at)) {
      if (timer_set) cluster->loop()->Cancel(timer);
      timer_set = true;
      timer_at = effects.wake_at;
      timer = cluster->loop()->At(timer_at, [self = shared_from_this()] {
        self->timer_set = false;
        self->Step(Tick{});
      });
    }
    if (effects.result) {
      closed = true;
      const TakeoverResult result = std::move(*effects.result);
      done(result);
    }
  }

  // A reply to a request on a disk, with errors of transport put into its code; the address is looked up again after.
  template <class Answered, class Response>
  std::function<void(Result<Response>)> Into(Token token, const DiskId& disk) {
    return [self = shared_from_this(), token, disk](Result<Response> response) {
      Answered answered;
      answered.token = token;
      if (response.ok()) {
        answered.response = std::move(response).value();
      } else {
        answered.response.code = response.status().code();
        answered.response.detail = response.status().message();
      }
      if (!response.ok() || answered.response.code == StatusCode::kWrongDisk) self->cluster->Forget(disk);
      if (token != 0) self->Step(std::move(answered));
    };
  }

  void Seal(const SendSeal& send) {
    auto answer = Into<SealAnswered, SealResponse>(send.token, send.request.disk);
    cluster->AddressOf(
        send.request.disk, [self = shared_from_this(), request = send.request, answer](Result<std::string> address) {
          if (!address.ok()) return answer(address.status());
          self->cluster->LogServer(*address, Traffic::kAppend)->Seal(request, self->cluster->rpc_timeout_ms(), answer);
        });
  }

  void Fetch(const SendFetch& send) {
    auto answer = Into<FetchAnswered, FetchResponse>(send.token, send.request.disk);
    ResolveSources(std::make_shared<FetchRequest>(send.request), 0,
                   [self = shared_from_this(), answer](const FetchRequest& request) {
                     self->cluster->AddressOf(request.disk, [self, request, answer](Result<std::string> address) {
                       if (!address.ok()) return answer(address.status());
                       self->cluster->LogServer(*address, Traffic::kBulk)->Fetch(request, kFetchTimeoutMs, answer);
                     });
                   });
  }

  // A source may have come back since the probe, at another address.
  void ResolveSources(std::shared_ptr<FetchRequest> request, size_t index,
                      std::function<void(const FetchRequest&)> then) {
    if (index == request->sources.size()) return then(*request);
    cluster->AddressOf(request->sources[index].disk, [self = shared_from_this(), request, index,
                                                      then = std::move(then)](Result<std::string> address) mutable {
      if (address.ok()) request->sources[index].address = *address;
      self->ResolveSources(request, index + 1, std::move(then));
    });
  }

  Instant Now() { return cluster->loop()->clock()->Now(); }

  Cluster* const cluster;
  ChainStore* const chains;
  const LogId log;
  const std::function<void(const TakeoverResult&)> done;
  const std::function<void(const std::string&)> waiting;
  Takeover core;
  TakeoverEffects effects;
  std::deque<TakeoverInput> inbox;
  std::vector<CandidateDisk> alive;
  std::unique_ptr<DiskProbe> probe;
  bool stepping = false;
  bool started = false;
  bool accept_loss = false;
  Lsn known_commit;
  bool closed = false;
  bool timer_set = false;
  Instant timer_at;
  EventLoop::TimerId timer = 0;
};

TakeoverRunner::TakeoverRunner(Cluster* cluster, ChainStore* chains, TakeoverOptions options,
                               std::function<void(const TakeoverResult&)> done,
                               std::function<void(const std::string&)> waiting)
    : impl_(std::make_shared<Impl>(cluster, chains, std::move(options), std::move(done), std::move(waiting))) {}

TakeoverRunner::~TakeoverRunner() {
  impl_->closed = true;
  impl_->probe.reset();
  if (impl_->timer_set) impl_->cluster->loop()->Cancel(impl_->timer);
}

void TakeoverRunner::Start() { impl_->Probe(); }
void TakeoverRunner::AcceptLoss(Lsn known_commit) { impl_->AcceptLoss(known_commit); }

}  // namespace understudy
