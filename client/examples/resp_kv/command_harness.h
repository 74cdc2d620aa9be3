// For tests: runs commands on a store as the server does, keeping the records.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "client/examples/resp_kv/command.h"
#include "client/examples/resp_kv/request_parser.h"

namespace understudy::resp_kv {

struct CommandHarness {
  Store store;
  int64_t now_ms = 1'000'000;
  uint64_t random_state = 1;
  std::vector<std::pair<uint64_t, std::string>> records;  // conflict key and payload

  std::string RunWords(const std::vector<std::string>& words) {
    const std::vector<std::string_view> args(words.begin(), words.end());
    const CommandSpec* spec = FindCommand(args[0]);
    if (spec == nullptr || !ArityFits(*spec, args.size())) {
      return "(refused)";
    }
    EffectWriter effects;
    std::string reply;
    CommandContext context(args, store, now_ms, &effects, &reply, &random_state);
    spec->handler(context);
    if (!effects.empty()) {
      records.emplace_back(effects.conflict_key(), effects.payload());
      const Status applied = ApplyRecord(effects.payload(), &store);
      EXPECT_TRUE(applied.ok()) << applied.ToString();
    }
    return reply;
  }
  // A line as typed into redis-cli. The reply's line breaks become blanks: "*2 $1 a $1 b ".
  std::string Line(const std::string& line) {
    std::vector<std::string> words;
    EXPECT_TRUE(SplitInline(line, &words));
    std::string reply = RunWords(words);
    std::string flat;
    for (size_t i = 0; i < reply.size(); ++i) {
      if (reply.compare(i, 2, "\r\n") == 0) {
        flat.push_back(' ');
        ++i;
      } else {
        flat.push_back(reply[i]);
      }
    }
    return flat;
  }
};

}  // namespace understudy::resp_kv
