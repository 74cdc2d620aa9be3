#include "log/epoch/testing/describe.h"

#include "log/format/batch.h"

namespace understudy::testing {
namespace {

std::string Number(Lsn lsn) { return std::to_string(lsn.value()); }
std::string Name(Epoch epoch) { return "e" + std::to_string(epoch.value()); }
std::string Range(Lsn from, Lsn to) { return "[" + Number(from) + ".." + Number(to) + "]"; }
std::string Range(std::string_view batch) {
  const BatchHeader header = *PeekBatch(batch);
  return Range(header.first_lsn, header.last_lsn());
}
std::string Refused(StatusCode code) { return std::string(StatusCodeName(code)); }

}  // namespace

std::string DiskName(const DiskId& disk) { return "d" + std::to_string((disk.hi >> 56) & 0xF); }
DiskId DiskNamed(const std::string& name) { return {(0xD0ull + std::stoull(name.substr(1))) << 56, 1}; }

std::string Describe(const AppendRequest& m) {
  const std::string what = m.batch == nullptr ? "(empty)" : Range(*m.batch);
  return "Append " + Name(m.epoch) + " " + what + " commit=" + Number(m.commit);
}
std::string Describe(const AppendResponse& m) {
  if (m.code == StatusCode::kOk) return "ok durable=" + Number(m.durable_tail);
  if (m.code == StatusCode::kGap) return "kGap tail=" + Number(m.durable_tail);
  return Refused(m.code);
}
std::string Describe(const SealRequest& m) { return "Seal " + Name(m.epoch); }
std::string Describe(const SealResponse& m) {
  if (m.code != StatusCode::kOk) return Refused(m.code);
  return "sealed tail=" + Number(m.tail) + " highest=" + Name(m.highest_epoch);
}
std::string Describe(const BarrierRequest& m) { return "Barrier " + Name(m.epoch); }
std::string Describe(const BarrierResponse& m) { return m.code == StatusCode::kOk ? "not sealed" : Refused(m.code); }
std::string Describe(const ReadRequest& m) {
  return "Read " + Name(m.epoch) + " from=" + Number(m.from) + (m.to == Lsn(0) ? " to=commit" : " to=" + Number(m.to));
}
std::string Describe(const ReadResponse& m) {
  if (m.code != StatusCode::kOk) return Refused(m.code);
  std::string text;
  std::string_view rest = m.batches;
  while (!rest.empty()) {
    const uint32_t length = PeekBatch(rest)->length;
    text += Range(rest.substr(0, length)) + " ";
    rest.remove_prefix(length);
  }
  return (text.empty() ? "nothing new " : text) + "commit=" + Number(m.commit);
}
std::string Describe(const FetchRequest& m) {
  std::string text = "Fetch " + Name(m.epoch) + " " + Range(m.from, m.to) + " sources";
  for (const FetchSource& source : m.sources) text += " " + DiskName(source.disk);
  return text;
}
std::string Describe(const FetchResponse& m) {
  return m.code == StatusCode::kOk ? "fetched tail=" + Number(m.tail) : Refused(m.code);
}
std::string Describe(const TrimRequest& m) { return "Trim up to " + Number(m.lsn); }
std::string Describe(const TrimResponse& m) { return m.code == StatusCode::kOk ? "trimmed" : Refused(m.code); }
std::string Describe(const ReplicaStatusRequest&) { return "status?"; }
std::string Describe(const ReplicaStatusResponse& m) {
  return m.code == StatusCode::kOk ? "status tail=" + Number(m.tail) : Refused(m.code);
}
std::string Describe(const MirrorPush& m) {
  std::string text =
      "Mirror " + Name(m.epoch) + (m.batch == nullptr ? "" : " " + Range(*m.batch)) + " commit=" + Number(m.commit);
  if (!m.next_owner.none()) text += " next owner is attempt " + std::to_string(m.next_owner.lo);
  return text;
}
std::string Describe(const EpochEntry& entry) {
  std::string text = Name(entry.epoch) + " " + entry.owner.node + " [" + Number(entry.first_lsn) + ".." +
                     (entry.closed() ? Number(*entry.last_lsn) : "") + "]";
  for (const ReplicaRef& disk : entry.disks) text += " " + DiskName(disk.disk);
  return text + " A=" + std::to_string(entry.ack_quorum);
}
std::string Describe(const Chain& chain) {
  std::string text;
  for (const EpochEntry& entry : chain.epochs) text += (text.empty() ? "" : "; ") + Describe(entry);
  return text.empty() ? "no epoch" : text;
}

}  // namespace understudy::testing
