#include "log/epoch/testing/script.h"

#include <sstream>

#include "log/epoch/testing/describe.h"
#include "understudy/check.h"

namespace understudy::testing {
namespace {

// "key=value" among `words`; `missing` when it is not there.
std::string Option(const std::vector<std::string>& words, const std::string& key, const std::string& missing) {
  for (const std::string& word : words) {
    if (word.starts_with(key + "=")) return word.substr(key.size() + 1);
  }
  return missing;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

}  // namespace

std::string Script::Play(const std::string& text) {
  std::string played;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("  ")) continue;  // an old answer
    played += line + "\n";
    if (!line.starts_with("> ")) continue;
    output_.clear();
    Run(Split(line.substr(2), ' '));
    played += output_;
  }
  return played;
}

void Script::Show() {
  const VersionedChain& chain = cluster_->metadata.value;
  Say("version " + std::to_string(chain.version) + ": " + Describe(chain.chain));
  for (auto& disk : cluster_->disks()) {
    Say(disk->name() + (disk->up() ? "" : " (down)") + (disk->retired() ? " (retired)" : "") + "  " +
        disk->Summary(kLog));
  }
}

void Script::Run(const std::vector<std::string>& words) {
  UNDERSTUDY_CHECK(!words.empty());
  const std::string& verb = words[0];
  const auto word = [&](size_t i) {
    UNDERSTUDY_CHECK(i < words.size());
    return words[i];
  };
  if (verb == "log") {
    cluster_ = std::make_unique<SimCluster>(std::stoi(Option(words, "disks", "3")), std::stoi(Option(words, "E", "3")),
                                            std::stoi(Option(words, "A", "2")));
    cluster_->network.trace = [this](const std::string& line) { Say(line); };
    return;
  }
  UNDERSTUDY_CHECK(cluster_ != nullptr);
  SimNetwork& network = cluster_->network;
  const Epoch expect = Epoch(std::stoull(Option(words, "expect", "0")));
  if (verb == "takeover") {
    cluster_->program(word(1)).TakeOver(expect);
  } else if (verb == "accept-loss") {
    cluster_->program(word(1)).AcceptLoss();
  } else if (verb == "adopt") {
    cluster_->program(word(1)).TakeOver(expect, drawn_.at(word(1)));
  } else if (verb == "append") {
    if (!cluster_->program(word(1)).Append(std::stoi(word(2)))) Say(word(1) + "  refuses: not the writer");
  } else if (verb == "barrier") {
    cluster_->program(word(1)).Barrier();
  } else if (verb == "follow") {
    cluster_->program(word(1)).Follow(Lsn(std::stoull(Option(words, "from", "1"))));
  } else if (verb == "mirror") {
    cluster_->program(word(1)).MirrorTo(&cluster_->program(word(2)));
  } else if (verb == "handover") {
    WriterMove move;
    move.handover = true;
    move.owner = {word(2), ""};
    move.attempt = drawn_[word(2)] = cluster_->DrawAttempt();
    move.disks = cluster_->program(word(1)).writer()->disks();
    move.ack_quorum = cluster_->metadata.value.chain.ack_quorum;
    cluster_->program(word(1)).Move(move);
  } else if (verb == "move") {
    WriterMove move;
    move.owner = {word(1), ""};
    move.attempt = cluster_->DrawAttempt();
    for (const std::string& disk : Split(Option(words, "disks", ""), ','))
      move.disks.push_back(cluster_->disk(disk).ref());
    move.ack_quorum = std::stoi(Option(words, "A", "2"));
    cluster_->program(word(1)).Move(move);
  } else if (verb == "hold") {
    return network.Hold(word(1), word(2));
  } else if (verb == "overtake") {
    return network.Overtake(word(1), word(2));
  } else if (verb == "release") {
    network.Release(word(1), word(2));
  } else if (verb == "cut") {
    return network.Cut(word(1), word(2));
  } else if (verb == "heal") {
    network.Heal();
  } else if (verb == "crash") {
    if (word(1)[0] == 'd') {
      cluster_->disk(word(1)).Crash();
    } else {
      cluster_->program(word(1)).Crash();
    }
  } else if (verb == "restart") {
    cluster_->disk(word(1)).Restart();
  } else if (verb == "retire") {
    cluster_->disk(word(1)).Retire();
  } else if (verb == "full" || verb == "space") {
    cluster_->disk(word(1)).RefuseAppends(verb == "full");
  } else if (verb == "hang") {
    cluster_->disk(word(1)).StopSync();
  } else if (verb == "unhang") {
    cluster_->disk(word(1)).ResumeSync();
  } else if (verb == "cas") {
    if (word(1) == "land") {
      cluster_->metadata.LandLate();
    } else {
      cluster_->metadata.next_cas = word(1) == "late" ? SimMetadata::Fault::kLate : SimMetadata::Fault::kReplyLost;
      return;
    }
  } else if (verb == "heartbeats") {
    WriterOptions& options = cluster_->program(word(1)).writer_options;
    options.heartbeat_ms = std::stoll(word(2));
    options.self_fence_ms = 4 * options.heartbeat_ms;
    return;
  } else if (verb == "run") {
    if (words.size() > 1) network.RunUntil(network.now() + std::stoll(word(1)) * kNsPerMs);
  } else if (verb == "show") {
    return Show();
  } else if (verb == "check") {
    const std::string broken = cluster_->Check();
    return Say(broken.empty() ? "all " + std::to_string(cluster_->acked.size()) + " acknowledged records are in the log"
                              : "VIOLATED: " + broken);
  } else {
    Say("unknown command " + verb);
    UNDERSTUDY_CHECK(false);
  }
  const bool wait = words.back() != "..." && !(verb == "run" && words.size() > 1);
  if (wait) network.RunUntilIdle();
}

}  // namespace understudy::testing
