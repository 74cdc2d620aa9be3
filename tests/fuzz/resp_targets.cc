// The example key-value server: what its clients may send, and what its log and its checkpoints may hold.
#include <algorithm>
#include <string>
#include <vector>

#include "client/examples/resp_kv/command.h"
#include "client/examples/resp_kv/request_parser.h"
#include "client/examples/resp_kv/snapshot.h"
#include "tests/fuzz/targets.h"
#include "understudy/check.h"

namespace understudy::fuzz {
namespace {

using resp_kv::RequestParser;
using Requests = std::vector<std::vector<std::string>>;

// All requests in `bytes`, which arrive in pieces of `piece`; the error that ends them as the last one.
Requests Parse(std::string_view bytes, size_t piece) {
  RequestParser parser;
  Requests requests;
  std::string buffer;
  while (!bytes.empty()) {
    buffer += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (bool more = true; more;) {
      size_t consumed = 0;
      switch (parser.Next(buffer, &consumed)) {
        case RequestParser::Outcome::kNeedMore:
          UNDERSTUDY_CHECK(consumed == 0);
          more = false;
          break;
        case RequestParser::Outcome::kRequest:
          UNDERSTUDY_CHECK(consumed > 0 && consumed <= buffer.size() && !parser.args().empty());
          requests.emplace_back(parser.args().begin(), parser.args().end());
          break;
        case RequestParser::Outcome::kEmpty:
          UNDERSTUDY_CHECK(consumed > 0 && consumed <= buffer.size());
          break;
        case RequestParser::Outcome::kError:
          requests.push_back({parser.error()});
          return requests;
      }
      buffer.erase(0, consumed);
    }
  }
  return requests;
}

class Reader : public CheckpointReader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  Result<size_t> Read(char* buffer, size_t size) override {
    const size_t part = bytes_.copy(buffer, size);
    bytes_.remove_prefix(part);
    return part;
  }

 private:
  std::string_view bytes_;
};

}  // namespace

void Resp(std::string_view input) {
  if (input.empty()) {
    return;
  }
  const size_t piece = 1 + static_cast<unsigned char>(input[0]) % 64;
  input.remove_prefix(1);
  const Requests requests = Parse(input, input.size());
  UNDERSTUDY_CHECK(Parse(input, piece) == requests);
  // Made once: a store of 1,024 shards costs more to make than most inputs to run.
  static resp_kv::Store primary;
  static resp_kv::Store spare;
  primary.Clear();
  spare.Clear();
  uint64_t random = 1;
  for (const std::vector<std::string>& request : requests) {
    const std::vector<std::string_view> args(request.begin(), request.end());
    const resp_kv::CommandSpec* spec = resp_kv::FindCommand(args[0]);
    if (spec == nullptr || spec->handler == nullptr || !resp_kv::ArityFits(*spec, args.size())) {
      continue;
    }
    resp_kv::EffectWriter effects;
    std::string reply;
    resp_kv::CommandContext context(args, primary, 1'000'000, &effects, &reply, &random);
    spec->handler(context);
    UNDERSTUDY_CHECK(reply.ends_with("\r\n"));
    if (!effects.empty()) {
      UNDERSTUDY_CHECK(resp_kv::ApplyRecord(effects.payload(), &primary).ok());
      UNDERSTUDY_CHECK(resp_kv::ApplyRecord(effects.payload(), &spare).ok());
    }
  }
  UNDERSTUDY_CHECK(resp_kv::CanonicalDump(primary) == resp_kv::CanonicalDump(spare));
  UNDERSTUDY_CHECK(primary.bytes() == spare.bytes());
}

void RespRecord(std::string_view input) {
  static resp_kv::Store store;
  store.Clear();
  const Status status = resp_kv::ApplyRecord(input, &store);
  UNDERSTUDY_CHECK(status.ok() || status.code() == StatusCode::kCorruption);
}

void RespCheckpoint(std::string_view input) {
  static resp_kv::Store store;  // loading clears it
  Reader reader(input);
  const Status status = resp_kv::LoadSnapshot(reader, &store);
  UNDERSTUDY_CHECK(status.ok() || status.code() == StatusCode::kCorruption);
}

}  // namespace understudy::fuzz
