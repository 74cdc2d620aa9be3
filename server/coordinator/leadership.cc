#include "server/coordinator/leadership.h"

#include <optional>
#include <utility>

namespace understudy::coordinator {

Leadership::Leadership(EventLoop* loop, MetadataStore* store, std::string key, ElectionOptions options,
                       std::function<void(const std::string& why)> changed)
    : loop_(loop), store_(store), key_(std::move(key)), election_(std::move(options)), changed_(std::move(changed)) {}

void Leadership::Start() {
  Do([](Election* election, Instant now, ElectionEffects* out) { election->Tick(now, out); });
}

void Leadership::Stop() {
  if (stopped_) return;
  stopped_ = true;
  loop_->Cancel(timer_);
  timer_ = 0;
  if (const auto done = std::exchange(resigned_, nullptr)) done();
}

void Leadership::Changed(const std::string& value, uint64_t version) {
  Do([&](Election* election, Instant now, ElectionEffects* out) { election->Changed(value, version, now, out); });
}

void Leadership::Resign(std::function<void()> done) {
  if (stopped_) return done();
  resigned_ = std::move(done);
  Do([](Election* election, Instant now, ElectionEffects* out) { election->Resign(now, out); });
}

void Leadership::Do(const Call& call) {
  if (stopped_) return;
  ElectionEffects out;
  call(&election_, loop_->clock()->Now(), &out);
  if (out.changed && leads()) won_version_ = election_.version();
  if (out.read != 0) Read(out.read);
  if (out.cas) Cas(*out.cas);
  Arm(out.wake_at);
  if (out.changed) changed_(out.why);
  if (resigned_ && election_.settled()) std::exchange(resigned_, nullptr)();
}

void Leadership::Arm(Instant at) {
  loop_->Cancel(timer_);
  timer_ = 0;
  if (at == Instant::Never() || stopped_) return;
  timer_ = loop_->At(at, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr || self->stopped_) return;
    self->timer_ = 0;
    self->Start();
  });
}

// The store may answer before the call returns, or on a thread of its own.
void Leadership::Read(uint64_t id) {
  store_->Get(key_, [weak = weak_from_this(), loop = loop_, id](Result<std::optional<MetadataEntry>> read) {
    loop->Post([weak, id, read = std::move(read)] {
      auto self = weak.lock();
      if (self == nullptr) return;
      const bool there = read.ok() && read->has_value();
      self->Do([&](Election* election, Instant now, ElectionEffects* out) {
        election->ReadDone(id, read.status(), there ? (*read)->value : "", there ? (*read)->version : 0, now, out);
      });
    });
  });
}

void Leadership::Cas(const ElectionEffects::Cas& cas) {
  store_->CompareAndSwap(key_, cas.expected, cas.value,
                         [weak = weak_from_this(), loop = loop_, id = cas.id](Result<uint64_t> written) {
                           loop->Post([weak, id, written = std::move(written)] {
                             auto self = weak.lock();
                             if (self == nullptr) return;
                             self->Do([&](Election* election, Instant now, ElectionEffects* out) {
                               election->CasDone(id, written.status().code(), written.ok() ? *written : 0, now, out);
                             });
                           });
                         });
}

}  // namespace understudy::coordinator
