#include <fmt/format.h>

#include "log/metadata/metadata_store.h"

namespace understudy {

std::string LogKey(std::string_view cluster, uint64_t log_id) {
  return fmt::format("/understudy/{}/logs/{}", cluster, log_id);
}
std::string ServiceKey(std::string_view cluster, std::string_view service) {
  return fmt::format("/understudy/{}/services/{}", cluster, service);
}
std::string NodeKey(std::string_view cluster, std::string_view node) {
  return fmt::format("/understudy/{}/nodes/{}", cluster, node);
}
std::string DiskKey(std::string_view cluster, std::string_view disk_hex) {
  return fmt::format("/understudy/{}/disks/{}", cluster, disk_hex);
}
std::string PlanKey(std::string_view cluster, std::string_view service) {
  return fmt::format("/understudy/{}/plans/{}", cluster, service);
}
std::string EventKey(std::string_view cluster, uint64_t seq) {
  return fmt::format("/understudy/{}/events/{:020}", cluster, seq);
}
std::string PredictorKey(std::string_view cluster, std::string_view name) {
  return fmt::format("/understudy/{}/predictors/{}", cluster, name);
}

}  // namespace understudy
