#include "predictors/host/serve.h"

#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <memory>

#include "log/format/coding.h"
#include "predictors/host/plugin_library.h"
#include "predictors/host/wire.h"

namespace understudy {
namespace {

constexpr size_t kLogLinesMax = 100;  // of one batch

bool ReceiveAll(int fd, char* at, size_t size) {
  while (size > 0) {
    const ssize_t n = recv(fd, at, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool ReceiveFrame(int fd, std::string* body) {
  char head[4];
  if (!ReceiveAll(fd, head, sizeof head)) return false;
  const uint32_t size = Load32(head);
  if (size > kWorkerFrameBytesMax) return false;
  body->resize(size);
  return ReceiveAll(fd, body->data(), size);
}

bool SendFrame(int fd, const std::string& body) {
  std::string frame;
  Append32(&frame, static_cast<uint32_t>(body.size()));
  frame += body;
  size_t sent = 0;
  while (sent < frame.size()) {
    const ssize_t n = send(fd, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

using Instances = std::map<uint64_t, std::unique_ptr<PluginInstance>>;

void Fill(const PluginAnswer& answer, WorkerResult* result) {
  result->code = answer.code;
  result->text = answer.text;
}

void Create(const PluginLibrary* library, WorkerOp& op, Instances* instances, WorkerResult* result) {
  PluginAnswer answer;
  std::unique_ptr<PluginInstance> instance = PluginInstance::Create(library, op.config, op.seed, &answer);
  // A state that does not fit leaves a new instance, by the ABI's word; one whose restore failed is made anew.
  if (instance && !op.state.empty() && instance->Restore(op.state).code == UNDERSTUDY_FAILED) {
    instance.reset();
    instance = PluginInstance::Create(library, op.config, op.seed, &answer);
  }
  if (instance) {
    result->metrics = instance->metrics();
    (*instances)[op.instance] = std::move(instance);
  }
  Fill(answer, result);
}

void Execute(const PluginLibrary* library, WorkerOp& op, Instances* instances, WorkerReply* reply) {
  WorkerResult& result = reply->results.emplace_back();
  if (op.kind == OpKind::kCreate) return Create(library, op, instances, &result);
  const auto found = instances->find(op.instance);
  if (found == instances->end()) {
    result.code = UNDERSTUDY_FAILED;
    result.text = "no such instance";
    return;
  }
  PluginInstance& instance = *found->second;
  PluginAnswer answer;
  switch (op.kind) {
    case OpKind::kReset:
      answer = instance.Reset(op.code);
      break;
    case OpKind::kFeedback:
      answer = instance.Feedback(op.time_ns, op.code, op.lead_s);
      break;
    case OpKind::kObserve:
      answer = instance.Observe(op.samples);
      break;
    case OpKind::kPredict:
      answer = instance.Predict(op.time_ns, op.horizons_ms, &result.forecasts);
      break;
    case OpKind::kSave:
      answer = instance.Save(&result.state);
      break;
    case OpKind::kCreate:
    case OpKind::kDestroy:
      break;
  }
  Fill(answer, &result);
  for (std::string& line : instance.TakeLog()) {
    if (reply->log.size() < kLogLinesMax) reply->log.push_back(std::move(line));
  }
  const bool gone = op.kind == OpKind::kDestroy || (op.kind == OpKind::kReset && !answer.ok());
  if (gone) instances->erase(found);
}

class OptionalLock {
 public:
  explicit OptionalLock(std::mutex* mutex) : mutex_(mutex) {
    if (mutex_ != nullptr) mutex_->lock();
  }
  ~OptionalLock() {
    if (mutex_ != nullptr) mutex_->unlock();
  }
  OptionalLock(const OptionalLock&) = delete;
  OptionalLock& operator=(const OptionalLock&) = delete;

 private:
  std::mutex* mutex_;
};

}  // namespace

void ServePlugin(int fd, const std::string& plugin_path, std::mutex* turn) {
  std::unique_ptr<PluginLibrary> library;
  WorkerReply greeting;
  {
    OptionalLock lock(turn);
    Result<std::unique_ptr<PluginLibrary>> loaded = PluginLibrary::Load(plugin_path);
    WorkerResult& result = greeting.results.emplace_back();
    if (loaded.ok()) {
      library = std::move(loaded).value();
      greeting.name = library->name();
      greeting.version = library->version();
      const understudy_predictor_api& api = library->api();
      greeting.abi = api.abi;
      greeting.slots = (api.reset != nullptr ? kSlotReset : 0u) | (api.feedback != nullptr ? kSlotFeedback : 0u) |
                       (api.save != nullptr ? kSlotSave : 0u) | (api.restore != nullptr ? kSlotRestore : 0u);
    } else {
      result.code = static_cast<int32_t>(loaded.status().code());
      result.text = loaded.status().message();
    }
  }
  if (!SendFrame(fd, EncodeReply(greeting)) || !library) return;

  Instances instances;
  std::string body;
  while (ReceiveFrame(fd, &body)) {
    WorkerBatch batch;
    if (!DecodeBatch(body, &batch)) break;
    WorkerReply reply;
    reply.id = batch.id;
    {
      OptionalLock lock(turn);
      for (WorkerOp& op : batch.ops) Execute(library.get(), op, &instances, &reply);
    }
    body = EncodeReply(reply);
    if (body.size() > kWorkerFrameBytesMax || !SendFrame(fd, body)) break;
  }
  OptionalLock lock(turn);
  instances.clear();
}

}  // namespace understudy
