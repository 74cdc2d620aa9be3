// Messages of the log protocol as short texts, for conversations that people read.
#pragma once

#include <string>

#include "log/epoch/messages.h"
#include "log/format/chain.h"

namespace understudy::testing {

std::string Describe(const AppendRequest& message);
std::string Describe(const AppendResponse& message);
std::string Describe(const SealRequest& message);
std::string Describe(const SealResponse& message);
std::string Describe(const BarrierRequest& message);
std::string Describe(const BarrierResponse& message);
std::string Describe(const ReadRequest& message);
std::string Describe(const ReadResponse& message);
std::string Describe(const FetchRequest& message);
std::string Describe(const FetchResponse& message);
std::string Describe(const TrimRequest& message);
std::string Describe(const TrimResponse& message);
std::string Describe(const ReplicaStatusRequest& message);
std::string Describe(const ReplicaStatusResponse& message);
std::string Describe(const MirrorPush& message);
std::string Describe(const EpochEntry& entry);  // "e1 w1 [1..3] d1 d2 d3 A=2"
std::string Describe(const Chain& chain);
std::string DiskName(const DiskId& disk);  // "d1"
DiskId DiskNamed(const std::string& name);

}  // namespace understudy::testing
