// Reasons of moves that decide something later on; they are in the plan, so the next leader knows them too.
#pragma once

namespace understudy::coordinator {

inline constexpr char kStoppedServing[] = "it has stopped serving";  // no failure of the process: it became useless
inline constexpr char kRejuvenation[] = "rejuvenation";

}  // namespace understudy::coordinator
