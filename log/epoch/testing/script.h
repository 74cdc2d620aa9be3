// Plays a conversation written as text (tests/golden/log/*.txt): lines that begin with "> " are commands to a
// SimCluster, the indented lines behind them are what it said. Other lines are for the reader.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "log/epoch/testing/sim_cluster.h"

namespace understudy::testing {

// Commands (names of programs are free, disks are d1, d2, ...; a trailing "..." starts without waiting for the end):
//   log E=3 A=2 disks=4            a log without an epoch
//   takeover P expect=N            P seals, settles, opens an epoch
//   append P N                     one batch of N records
//   barrier P                      ReadBarrier
//   follow P from=N                P replays, and follows
//   mirror P Q                     P pushes to Q as well
//   handover P Q                   Q draws an attempt, P drains and closes for it
//   adopt Q expect=N               Q takes over with the attempt that it drew
//   move P disks=d1,d2 [A=2]       replica change
//   hold X Y | release X Y         messages from X to Y wait (* is anybody)
//   overtake X Y                   later messages pass by those that wait; release brings them then
//   cut X Y | heal                 messages from X to Y are lost
//   crash X | restart X | retire X | full X | space X | hang X | unhang X
//   cas lost-reply | cas late | cas land
//   run [MS]                       until nothing is under way, or for so long
//   heartbeats P MS                from the next writer on: with heartbeats; self-fence after 4
//   show                           the chain and the disks
//   check                          that nothing acknowledged is lost
class Script {
 public:
  // The text with the answers that the cluster gives now in the place of those that stood there.
  std::string Play(const std::string& text);

 private:
  void Run(const std::vector<std::string>& words);
  void Say(const std::string& line) { output_ += "  " + line + "\n"; }
  void Show();

  std::unique_ptr<SimCluster> cluster_;
  std::map<std::string, AttemptId> drawn_;
  std::string output_;
};

}  // namespace understudy::testing
