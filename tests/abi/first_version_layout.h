/* Sizes, offsets and constants of one version of understudy/predictor.h, as numbers another one can be held against. */
#ifndef TESTS_ABI_FIRST_VERSION_LAYOUT_H
#define TESTS_ABI_FIRST_VERSION_LAYOUT_H

#include <stddef.h>

struct layout_entry {
  const char *what;
  long long number;
};

/* Of the frozen header; ends with a NULL. */
#ifdef __cplusplus
extern "C"
#endif
    const struct layout_entry *
    first_version_layout(void);

#define LAYOUT_FIELD(type, field) \
  { #type "." #field, (long long)offsetof(type, field) }
#define LAYOUT_SIZE(type) \
  { "sizeof " #type, (long long)sizeof(type) }
#define LAYOUT_CONSTANT(name) \
  { #name, (long long)(name) }

/* Tables may grow: their sizes are not in here, the offsets of their slots are. */
#define LAYOUT_OF_VERSION_1_0                                                                                          \
  LAYOUT_FIELD(understudy_host, struct_size), LAYOUT_FIELD(understudy_host, abi),                                      \
      LAYOUT_FIELD(understudy_host, context), LAYOUT_FIELD(understudy_host, seed), LAYOUT_FIELD(understudy_host, log), \
      LAYOUT_FIELD(understudy_host, explain), LAYOUT_FIELD(understudy_predictor_api, struct_size),                     \
      LAYOUT_FIELD(understudy_predictor_api, abi), LAYOUT_FIELD(understudy_predictor_api, name),                       \
      LAYOUT_FIELD(understudy_predictor_api, version), LAYOUT_FIELD(understudy_predictor_api, create),                 \
      LAYOUT_FIELD(understudy_predictor_api, destroy), LAYOUT_FIELD(understudy_predictor_api, metrics),                \
      LAYOUT_FIELD(understudy_predictor_api, observe), LAYOUT_FIELD(understudy_predictor_api, predict),                \
      LAYOUT_FIELD(understudy_predictor_api, reset), LAYOUT_FIELD(understudy_predictor_api, feedback),                 \
      LAYOUT_FIELD(understudy_predictor_api, save), LAYOUT_FIELD(understudy_predictor_api, restore),                   \
      LAYOUT_SIZE(understudy_sample), LAYOUT_FIELD(understudy_sample, time_ns),                                        \
      LAYOUT_FIELD(understudy_sample, values), LAYOUT_FIELD(understudy_sample, present),                               \
      LAYOUT_FIELD(understudy_sample, reserved), LAYOUT_SIZE(understudy_forecast),                                     \
      LAYOUT_FIELD(understudy_forecast, horizon_ns), LAYOUT_FIELD(understudy_forecast, probability),                   \
      LAYOUT_FIELD(understudy_forecast, confidence), LAYOUT_FIELD(understudy_forecast, has_ttf),                       \
      LAYOUT_FIELD(understudy_forecast, reserved0), LAYOUT_FIELD(understudy_forecast, ttf_p10_s),                      \
      LAYOUT_FIELD(understudy_forecast, ttf_p50_s), LAYOUT_FIELD(understudy_forecast, ttf_p90_s),                      \
      LAYOUT_FIELD(understudy_forecast, reserved1), LAYOUT_FIELD(understudy_forecast, reason),                         \
      LAYOUT_SIZE(understudy_outcome), LAYOUT_FIELD(understudy_outcome, time_ns),                                      \
      LAYOUT_FIELD(understudy_outcome, kind), LAYOUT_FIELD(understudy_outcome, lead_s),                                \
      LAYOUT_FIELD(understudy_outcome, reserved1), LAYOUT_SIZE(understudy_state_sink),                                 \
      LAYOUT_CONSTANT(UNDERSTUDY_PREDICTOR_ABI_MAJOR), LAYOUT_CONSTANT(UNDERSTUDY_OK),                                 \
      LAYOUT_CONSTANT(UNDERSTUDY_WARMING), LAYOUT_CONSTANT(UNDERSTUDY_ABSTAIN), LAYOUT_CONSTANT(UNDERSTUDY_FAILED),    \
      LAYOUT_CONSTANT(UNDERSTUDY_BAD_CONFIG), LAYOUT_CONSTANT(UNDERSTUDY_BAD_STATE),                                   \
      LAYOUT_CONSTANT(UNDERSTUDY_RESET_RESTARTED), LAYOUT_CONSTANT(UNDERSTUDY_RESET_MOVED),                            \
      LAYOUT_CONSTANT(UNDERSTUDY_RESET_GAP), LAYOUT_CONSTANT(UNDERSTUDY_OUTCOME_FAILED),                               \
      LAYOUT_CONSTANT(UNDERSTUDY_OUTCOME_DEGRADED), LAYOUT_CONSTANT(UNDERSTUDY_OUTCOME_MOVED),                         \
      LAYOUT_CONSTANT(UNDERSTUDY_OUTCOME_QUIET), LAYOUT_CONSTANT(UNDERSTUDY_LOG_INFO),                                 \
      LAYOUT_CONSTANT(UNDERSTUDY_LOG_WARNING), LAYOUT_CONSTANT(UNDERSTUDY_METRICS_MAX),                                \
      LAYOUT_CONSTANT(UNDERSTUDY_METRIC_NAME_MAX), LAYOUT_CONSTANT(UNDERSTUDY_HORIZONS_MAX),                           \
      LAYOUT_CONSTANT(UNDERSTUDY_REASON_MAX), LAYOUT_CONSTANT(UNDERSTUDY_STATE_MAX)

#endif
