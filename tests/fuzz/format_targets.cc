#include <string>
#include <string_view>

#include "log/format/batch.h"
#include "log/format/chain.h"
#include "log/format/coding.h"
#include "log/format/crc32c.h"
#include "tests/fuzz/targets.h"
#include "understudy/check.h"

namespace understudy::fuzz {

void Batch(std::string_view input) {
  if (input.empty()) {
    return;
  }
  std::string bytes(input.substr(1));
  if (input[0] == 1 && bytes.size() >= 8) {
    Store32(bytes.data() + 4, Crc32c(std::string_view(bytes).substr(8)));
  }
  const auto peeked = PeekBatch(bytes);
  const auto verified = VerifyBatch(bytes);
  if (!verified.ok()) {
    UNDERSTUDY_CHECK(verified.status().code() == StatusCode::kCorruption ||
                     verified.status().code() == StatusCode::kShort);
    return;
  }
  UNDERSTUDY_CHECK(peeked.ok());
  UNDERSTUDY_CHECK(verified->length == bytes.size());

  // What was verified can be walked to its end, and is what the builder would make of its records.
  BatchIterator iterator(bytes);
  BatchBuilder builder;
  Record record;
  Lsn next = verified->first_lsn;
  while (iterator.Next(&record)) {
    UNDERSTUDY_CHECK(record.lsn == next);
    next = next + 1;
    builder.Add(record.payload, record.key);
  }
  UNDERSTUDY_CHECK(next - verified->first_lsn == verified->count);
  UNDERSTUDY_CHECK(builder.Finish(verified->log, verified->epoch, verified->first_lsn) == bytes);
  UNDERSTUDY_CHECK(VerifyBatch(RestampBatch(bytes, verified->epoch + 1)).ok());
}

void Chain(std::string_view input) {
  const auto chain = DecodeChain(input);
  if (!chain.ok()) {
    UNDERSTUDY_CHECK(chain.status().code() == StatusCode::kCorruption);
    return;
  }
  UNDERSTUDY_CHECK(ValidateChain(*chain).ok());
  const auto again = DecodeChain(EncodeChain(*chain));
  UNDERSTUDY_CHECK(again.ok());
  UNDERSTUDY_CHECK(*again == *chain);
}

}  // namespace understudy::fuzz
