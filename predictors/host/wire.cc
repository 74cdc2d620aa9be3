#include "predictors/host/wire.h"

#include <bit>
#include <utility>

#include "log/format/coding.h"

namespace understudy {
namespace {

class Out {
 public:
  void U8(uint8_t v) { bytes.push_back(static_cast<char>(v)); }
  void U32(uint64_t v) { Append32(&bytes, static_cast<uint32_t>(v)); }
  void U64(uint64_t v) { Append64(&bytes, v); }
  void F64(double v) { U64(std::bit_cast<uint64_t>(v)); }
  void Text(const std::string& v) {
    U32(v.size());
    bytes += v;
  }
  std::string bytes;
};

// After a failure everything reads as zero and `ok` stays false.
class In {
 public:
  explicit In(std::string_view bytes) : left_(bytes) {}
  bool ok() const { return ok_; }
  bool done() const { return ok_ && left_.empty(); }
  uint8_t U8() { return Take(1) ? static_cast<uint8_t>(taken_[0]) : 0; }
  uint32_t U32() { return Take(4) ? Load32(taken_.data()) : 0; }
  uint64_t U64() { return Take(8) ? Load64(taken_.data()) : 0; }
  int64_t I64() { return static_cast<int64_t>(U64()); }
  double F64() { return std::bit_cast<double>(U64()); }
  std::string Text() { return Take(U32()) ? std::string(taken_) : std::string(); }
  // A number of items, each of at least `bytes_min` bytes: never more than could be there.
  size_t Count(size_t bytes_min) {
    const size_t n = U32();
    if (n > left_.size() / bytes_min) ok_ = false;
    return ok_ ? n : 0;
  }

 private:
  bool Take(size_t n) {
    if (n > left_.size()) ok_ = false;
    if (!ok_) return false;
    taken_ = left_.substr(0, n);
    left_.remove_prefix(n);
    return true;
  }
  std::string_view left_, taken_;
  bool ok_ = true;
};

}  // namespace

std::string EncodeBatch(const WorkerBatch& batch) {
  Out out;
  out.U64(batch.id);
  out.U32(batch.ops.size());
  for (const WorkerOp& op : batch.ops) {
    out.U8(static_cast<uint8_t>(op.kind));
    out.U64(op.instance);
    out.Text(op.config);
    out.Text(op.state);
    out.U64(op.seed);
    out.U32(static_cast<uint32_t>(op.code));
    out.U64(static_cast<uint64_t>(op.time_ns));
    out.F64(op.lead_s);
    out.U32(op.samples.size());
    for (const PluginSample& sample : op.samples) {
      out.U64(static_cast<uint64_t>(sample.time_ns));
      out.U32(sample.values.size());
      for (double value : sample.values) out.F64(value);
    }
    out.U32(op.horizons_ms.size());
    for (int64_t horizon : op.horizons_ms) out.U64(static_cast<uint64_t>(horizon));
  }
  return std::move(out.bytes);
}

bool DecodeBatch(std::string_view body, WorkerBatch* batch) {
  In in(body);
  batch->id = in.U64();
  batch->ops.resize(in.Count(45));
  for (WorkerOp& op : batch->ops) {
    op.kind = static_cast<OpKind>(in.U8());
    op.instance = in.U64();
    op.config = in.Text();
    op.state = in.Text();
    op.seed = in.U64();
    op.code = static_cast<int32_t>(in.U32());
    op.time_ns = in.I64();
    op.lead_s = in.F64();
    op.samples.resize(in.Count(12));
    for (PluginSample& sample : op.samples) {
      sample.time_ns = in.I64();
      sample.values.resize(in.Count(8));
      for (double& value : sample.values) value = in.F64();
    }
    op.horizons_ms.resize(in.Count(8));
    for (int64_t& horizon : op.horizons_ms) horizon = in.I64();
    if (!in.ok() || op.kind < OpKind::kCreate || op.kind > OpKind::kSave) return false;
  }
  return in.done();
}

std::string EncodeReply(const WorkerReply& reply) {
  Out out;
  out.U64(reply.id);
  out.Text(reply.name);
  out.Text(reply.version);
  out.U32(reply.abi);
  out.U32(reply.slots);
  out.U32(reply.results.size());
  for (const WorkerResult& result : reply.results) {
    out.U32(static_cast<uint32_t>(result.code));
    out.Text(result.text);
    out.U32(result.metrics.size());
    for (const std::string& name : result.metrics) out.Text(name);
    out.U32(result.forecasts.size());
    for (const Forecast& forecast : result.forecasts) {
      out.U64(static_cast<uint64_t>(forecast.horizon_ms));
      out.F64(forecast.probability);
      out.F64(forecast.confidence);
      out.U8(forecast.has_ttf ? 1 : 0);
      out.F64(forecast.ttf_p10_s);
      out.F64(forecast.ttf_p50_s);
      out.F64(forecast.ttf_p90_s);
      out.Text(forecast.reason);
    }
    out.Text(result.state);
  }
  out.U32(reply.log.size());
  for (const std::string& line : reply.log) out.Text(line);
  return std::move(out.bytes);
}

bool DecodeReply(std::string_view body, WorkerReply* reply) {
  In in(body);
  reply->id = in.U64();
  reply->name = SafeText(in.Text(), 64);
  reply->version = SafeText(in.Text(), 64);
  reply->abi = in.U32();
  reply->slots = in.U32();
  if (reply->abi > 0xFF'FFFF || reply->slots > 15) return false;
  reply->results.resize(in.Count(20));
  for (WorkerResult& result : reply->results) {
    result.code = static_cast<int32_t>(in.U32());
    result.text = SafeText(in.Text(), 600);
    result.metrics.resize(in.Count(4));
    for (std::string& name : result.metrics) name = SafeText(in.Text(), UNDERSTUDY_METRIC_NAME_MAX);
    result.forecasts.resize(in.Count(53));
    for (Forecast& forecast : result.forecasts) {
      forecast.status = ForecastStatus::kOk;
      forecast.horizon_ms = in.I64();
      forecast.probability = in.F64();
      forecast.confidence = in.F64();
      forecast.has_ttf = in.U8() != 0;
      forecast.ttf_p10_s = in.F64();
      forecast.ttf_p50_s = in.F64();
      forecast.ttf_p90_s = in.F64();
      forecast.reason = SafeText(in.Text(), UNDERSTUDY_REASON_MAX);
    }
    result.state = in.Text();
    if (!in.ok()) return false;
  }
  reply->log.resize(in.Count(4));
  for (std::string& line : reply->log) line = SafeText(in.Text(), 600);
  return in.done();
}

}  // namespace understudy
