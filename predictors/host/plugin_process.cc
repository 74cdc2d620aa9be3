#include "predictors/host/plugin_process.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <utility>

#include "log/env/clock.h"
#include "log/env/process.h"
#include "log/env/small_files.h"

namespace understudy {

Result<std::unique_ptr<PluginProcess>> PluginProcess::Start(const Options& options) {
  std::error_code error;
  if (!std::filesystem::exists(options.plugin, error)) {
    return Status(StatusCode::kNotFound, options.plugin + ": no such plugin");
  }
  std::unique_ptr<PluginProcess> process(new PluginProcess());
  process->workers_ = NewProcessWorkers(options.helper, options.memory_bytes_max);
  Result<std::unique_ptr<Worker>> worker = process->workers_->Start(options.plugin);
  if (!worker.ok()) return worker.status();
  process->worker_ = std::move(worker).value();
  Result<std::string> frame = process->Receive(options.start_deadline_ms);
  if (!frame.ok()) return frame.status().WithContext("while it was loaded");
  WorkerReply& greeting = process->greeting_;
  if (!DecodeReply(*frame, &greeting) || greeting.results.size() != 1) {
    return Status(StatusCode::kInternal, "its greeting is malformed");
  }
  const WorkerResult& loaded = greeting.results[0];
  if (loaded.code != static_cast<int32_t>(StatusCode::kOk)) {
    return Status(static_cast<StatusCode>(loaded.code), loaded.text);
  }
  return process;
}

PluginProcess::~PluginProcess() {
  if (worker_) worker_->End(false);
}

Result<WorkerReply> PluginProcess::Call(std::vector<WorkerOp> ops, int64_t deadline_ms) {
  if (!worker_) return Status(StatusCode::kUnavailable, "its process has ended");
  WorkerBatch batch;
  batch.id = ++batches_;
  batch.ops = std::move(ops);
  Status sent = worker_->Send(EncodeBatch(batch));
  if (sent.code() == StatusCode::kResourceExhausted) return sent;
  Result<std::string> frame = Receive(deadline_ms);
  if (!frame.ok()) return frame.status();
  WorkerReply reply;
  if (!DecodeReply(*frame, &reply) || reply.id != batch.id || reply.results.size() != batch.ops.size()) {
    worker_->End(false);
    worker_.reset();
    return Status(StatusCode::kInternal, "its answer does not fit what it was asked");
  }
  return reply;
}

Result<std::string> PluginProcess::Receive(int64_t deadline_ms) {
  const Instant deadline = SystemClock()->Now() + deadline_ms * kNsPerMs;
  Status status;
  while (frames_.empty() && status.ok()) {
    const int64_t left_ms = (deadline - SystemClock()->Now() + kNsPerMs - 1) / kNsPerMs;
    pollfd entry = {worker_->fd(), static_cast<short>(POLLIN | (worker_->wants_write() ? POLLOUT : 0)), 0};
    const int ready = left_ms <= 0 ? 0 : poll(&entry, 1, static_cast<int>(std::min<int64_t>(left_ms, 1 << 30)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      worker_->End(false);
      worker_.reset();
      return Status(StatusCode::kDeadlineExceeded, "no answer within " + std::to_string(deadline_ms) + " ms");
    }
    status = worker_->Pump(&frames_);
  }
  if (frames_.empty()) {
    const std::string ending = worker_->End(true);
    worker_.reset();
    return Status(StatusCode::kInternal, ending == "was ended" ? status.message() : ending);
  }
  std::string frame = std::move(frames_.front());
  frames_.erase(frames_.begin());
  return frame;
}

ProcessFacts PluginProcess::Facts() const {
  ProcessFacts facts;
  if (!worker_ || worker_->pid() <= 0) return facts;
  const std::string folder = "/proc/" + std::to_string(worker_->pid());
  const Result<std::string> page = ReadSmallFile(folder + "/status");
  std::istringstream status(page.ok() ? *page : "");
  for (std::string line; std::getline(status, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon), value = line.substr(colon + 1);
    if (name == "VmRSS") facts.resident_bytes = std::strtoll(value.c_str(), nullptr, 10) * 1024;
    if (name == "Threads") facts.threads = std::strtoll(value.c_str(), nullptr, 10);
    if (name == "SigCgt") facts.signals_caught = std::strtoull(value.c_str(), nullptr, 16);
  }
  if (const Result<uint64_t> count = CountDescriptors(folder + "/fd"); count.ok()) {
    facts.open_files = static_cast<int64_t>(*count);
  }
  return facts;
}

}  // namespace understudy
