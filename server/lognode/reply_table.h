// Replies that wait for the core's answer, found again by the token under which the core knows the request.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "log/epoch/core.h"
#include "log/rpc/services.h"
#include "understudy/check.h"

namespace understudy {

// Tokens of tables with different `kind`s never meet. Slots are used again, so memory is that of the most requests that
// ever waited at one time, which the server's bounds on requests in flight limit. One thread at a time.
template <class Response>
class ReplyTable {
 public:
  explicit ReplyTable(uint8_t kind) : kind_(uint64_t{kind} << 56) {}

  Token Add(Reply<Response> reply) {
    uint64_t slot = 0;
    if (free_.empty()) {
      slot = replies_.size();
      replies_.push_back(std::move(reply));
    } else {
      slot = free_.back();
      free_.pop_back();
      replies_[slot] = std::move(reply);
    }
    return kind_ | (slot + 1);
  }

  // Exactly once a token.
  void Answer(Token token, Response response) {
    const uint64_t slot = (token & ~kind_) - 1;
    UNDERSTUDY_CHECK(slot < replies_.size() && replies_[slot] != nullptr);
    const Reply<Response> reply = std::exchange(replies_[slot], nullptr);
    free_.push_back(slot);
    reply(std::move(response));
  }

  size_t waiting() const { return replies_.size() - free_.size(); }

 private:
  uint64_t kind_;
  std::vector<Reply<Response>> replies_;
  std::vector<uint64_t> free_;
};

}  // namespace understudy
