// Fetch: a receiver-driven copy of batches, byte for byte, onto this disk. For takeovers that need A disks to hold the
// old epoch in full, and for repair.
#include <algorithm>
#include <string>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/replica_impl.h"

namespace understudy {
namespace {
constexpr size_t kFetchSourcesMax = 16;

// The disk has answered, and will not answer otherwise when it is asked again. All else may be a matter of the moment.
bool Denies(StatusCode code) {
  return code == StatusCode::kShort || code == StatusCode::kDataUnknown || code == StatusCode::kWrongDisk;
}
}  // namespace

void Replica::Impl::Fetch(const ReplicaFetch& input, ReplicaEffects* out) {
  const FetchRequest& request = input.request;
  const auto refuse = [&](StatusCode code, std::string why) {
    out->fetches.push_back({input.token, {code, std::move(why), {}}});
  };
  const Status refusal = Refusal(request.disk);
  if (!refusal.ok()) {
    const bool wrong = refusal.code() == StatusCode::kWrongDisk;
    return refuse(wrong ? StatusCode::kWrongDisk : StatusCode::kDataUnknown, refusal.message());
  }
  if (request.epoch.value() == 0 || request.from.value() == 0 || request.sources.empty() ||
      request.sources.size() > kFetchSourcesMax) {
    return refuse(StatusCode::kInvalidArgument, "a fetch needs an epoch, its first LSN and 1 to 16 sources");
  }
  if (fetches.size() >= options.fetches_max) return refuse(StatusCode::kResourceExhausted, "too many fetches at once");
  std::string why_not;
  LogState* log = FindOrCreate(request.log, &why_not);
  EpochState* epoch = log == nullptr ? nullptr : FindOrCreateEpoch(log, request.epoch, request.from, &why_not);
  if (epoch == nullptr) return refuse(StatusCode::kResourceExhausted, std::move(why_not));

  auto fetch = std::make_unique<FetchState>();
  fetch->token = input.token;
  fetch->request = request;
  fetch->background = input.background;
  fetch->log = log;
  fetch->epoch = epoch;
  ++epoch->fetches;
  PutSealInForce(log, request.epoch, out);
  Pending waiting;
  waiting.log = log;
  if (log->durable_sealed < request.epoch) {
    PersistEntry entry;
    entry.kind = PersistEntry::Kind::kSeal;
    entry.log = request.log;
    entry.sealed_epoch = waiting.sealed_epoch = log->sealed;
    fetch->begin_seq = Emit(std::move(entry), waiting, out);
    waiting.sealed_epoch = Epoch();
  }
  if (epoch->tail < request.trim && log->trim < request.trim) {  // what is trimmed need not be copied
    PersistEntry entry;
    entry.kind = PersistEntry::Kind::kTrim;
    entry.log = request.log;
    entry.trim_lsn = waiting.trim = request.trim;
    fetch->begin_seq = Emit(std::move(entry), waiting, out);
  }
  fetches.push_back(std::move(fetch));
  ContinueFetch(fetches.back().get(), out);
}

void Replica::Impl::EndFetch(FetchState* fetch, StatusCode code, std::string detail, ReplicaEffects* out) {
  out->fetches.push_back({fetch->token, {code, std::move(detail), fetch->epoch->durable}});
  --fetch->epoch->fetches;
  std::erase_if(fetches, [&](const auto& other) { return other.get() == fetch; });
}

void Replica::Impl::ContinueFetches(ReplicaEffects* out) {
  for (size_t i = fetches.size(); i-- > 0;) ContinueFetch(fetches[i].get(), out);
}

// One read at a time, the next once what the last one brought is durable: that bounds memory.
void Replica::Impl::ContinueFetch(FetchState* fetch, ReplicaEffects* out) {
  if (fetch->read_token != 0 || durable_seq < fetch->begin_seq) return;
  if (fetch->Held() >= fetch->request.to) {
    out->fetches.push_back({fetch->token, {StatusCode::kOk, {}, fetch->Held()}});
    --fetch->epoch->fetches;
    std::erase_if(fetches, [&](const auto& other) { return other.get() == fetch; });
    return;
  }
  if (!fetch->epoch->in_flight.empty()) return;
  const FetchRequest& request = fetch->request;
  fetch->read_token = next_fetch_read++;
  const FetchSource& source = request.sources[fetch->source % request.sources.size()];
  ReadRequest read;
  read.log = request.log;
  read.disk = source.disk;
  read.epoch = request.epoch;
  read.from = fetch->Held() + 1;
  read.to = request.to;
  read.bytes_max = fetch->background ? options.background_read_bytes : options.fetch_read_bytes;
  out->fetch_reads.push_back({fetch->read_token, source, std::move(read), fetch->background});
}

void Replica::Impl::OnFetchRead(const FetchReadDone& input, ReplicaEffects* out) {
  const auto found =
      std::find_if(fetches.begin(), fetches.end(), [&](const auto& fetch) { return fetch->read_token == input.token; });
  if (input.token == 0 || found == fetches.end()) return;
  FetchState* fetch = found->get();
  fetch->read_token = 0;
  bool progress = false;
  Status taken(input.response.code, input.response.detail);
  if (MutantOn(Mutant::kRepairFromShort) && taken.code() == StatusCode::kShort) {
    out->fetches.push_back({fetch->token, {StatusCode::kOk, {}, fetch->request.to}});
    --fetch->epoch->fetches;
    fetches.erase(found);
    return;
  }
  if (taken.ok()) taken = TakeFetched(fetch, input.response.batches, &progress, out);
  if (progress) {
    fetch->failures = 0;
    fetch->denials = 0;
  } else if (fetch->epoch->in_flight.empty() && fetch->Held() < fetch->request.to) {  // else another copy brought it
    ++fetch->failures;
    ++fetch->source;
    fetch->denials = Denies(input.response.code) ? fetch->denials + 1 : 0;
    if (fetch->failures >= options.fetch_rounds * static_cast<int>(fetch->request.sources.size())) {
      const std::string why = taken.ok() ? "the sources have nothing more" : taken.ToString();
      const bool nobody = fetch->denials >= fetch->request.sources.size();
      return EndFetch(fetch, nobody ? StatusCode::kNotFound : StatusCode::kUnavailable, why, out);
    }
  }
  ContinueFetch(fetch, out);
}

Status Replica::Impl::TakeFetched(FetchState* fetch, std::string_view bytes, bool* progress, ReplicaEffects* out) {
  EpochState* epoch = fetch->epoch;
  while (!bytes.empty()) {
    const Result<BatchHeader> peeked = PeekBatch(bytes);
    if (!peeked.ok()) return peeked.status();
    const std::string_view batch = bytes.substr(0, peeked->length);
    bytes.remove_prefix(peeked->length);
    const Result<BatchHeader> header = VerifyBatch(batch);
    if (!header.ok()) return header.status();
    if (header->log != fetch->request.log || header->epoch != epoch->epoch) {
      return {StatusCode::kCorruption, "the source sent a batch of another log or epoch"};
    }
    if (header->last_lsn() <= std::max(epoch->tail, fetch->request.trim)) continue;
    if (header->last_lsn() > fetch->request.to) return {StatusCode::kCorruption, "the source sent more than was asked"};
    const Lsn wanted = std::max(epoch->tail, fetch->request.trim) + 1;
    // Below a trim LSN the cut need not lie between two batches; elsewhere it must, framing never changes.
    if (header->first_lsn > wanted || header->first_lsn <= epoch->tail) {
      return {StatusCode::kCorruption, "the source sent LSN " + std::to_string(header->first_lsn.value()) + " where " +
                                           std::to_string(wanted.value()) + " comes next"};
    }
    EmitBatch(PersistEntry::Kind::kFetched, *header, std::make_shared<const std::string>(batch), 0, epoch, out);
    *progress = true;
  }
  return Status::Ok();
}

}  // namespace understudy
