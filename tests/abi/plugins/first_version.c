/*
 * A plugin of the first version of the interface: compiled against tests/abi/v1_0, never against today's header. Says
 * what it saw of the host, so that the test can tell whether both sides mean the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/abi/v1_0/understudy/predictor.h"

#if UNDERSTUDY_PREDICTOR_ABI_MAJOR != 1u || UNDERSTUDY_PREDICTOR_ABI_MINOR != 0u
#error "this must be compiled against the frozen header of version 1.0"
#endif

struct understudy_predictor {
  const understudy_host *host;
  int64_t observed, missing, last_ns, resets, outcomes;
  double sum;
};

static const char *const kMetrics[] = {"a", "b"};

static int32_t Create(const understudy_host *host, const char *config, size_t size, understudy_predictor **out) {
  understudy_predictor *self;
  if (host->struct_size < sizeof *host || host->abi >> 16 != 1 || strlen(config) != size) return UNDERSTUDY_FAILED;
  if (strstr(config, "refuse") != NULL) {
    host->explain(host->context, "refuse: as asked");
    return UNDERSTUDY_BAD_CONFIG;
  }
  self = calloc(1, sizeof *self);
  self->host = host;
  host->log(host->context, UNDERSTUDY_LOG_INFO, "of the first version");
  *out = self;
  return UNDERSTUDY_OK;
}

static void Destroy(understudy_predictor *self) { free(self); }

static int32_t Metrics(understudy_predictor *self, const char *const **names, size_t *count) {
  (void)self;
  *names = kMetrics;
  *count = 2;
  return UNDERSTUDY_OK;
}

static int32_t Observe(understudy_predictor *self, const understudy_sample *samples, size_t count) {
  size_t i, m;
  for (i = 0; i < count; ++i) {
    self->observed++;
    if (samples[i].time_ns <= self->last_ns) return UNDERSTUDY_FAILED;
    self->last_ns = samples[i].time_ns;
    for (m = 0; m < 2; ++m) {
      if (samples[i].present[m]) {
        self->sum += samples[i].values[m];
      } else {
        self->missing++;
      }
    }
  }
  return UNDERSTUDY_OK;
}

static int32_t Predict(understudy_predictor *self, int64_t now_ns, understudy_forecast *forecasts, size_t count) {
  size_t i;
  if (self->observed == 0) {
    self->host->explain(self->host->context, "nothing yet");
    return UNDERSTUDY_WARMING;
  }
  for (i = 0; i < count; ++i) {
    forecasts[i].probability = 0.125 * (double)(i + 1);
    forecasts[i].confidence = 0.5;
    forecasts[i].has_ttf = 1;
    forecasts[i].ttf_p10_s = 10;
    forecasts[i].ttf_p50_s = 20;
    forecasts[i].ttf_p90_s = (double)forecasts[i].horizon_ns * 1e-9;
    snprintf(forecasts[i].reason, sizeof forecasts[i].reason,
             "seed %lu now %ld observed %ld missing %ld sum %g resets %ld outcomes %ld",
             (unsigned long)self->host->seed, (long)now_ns, (long)self->observed, (long)self->missing, self->sum,
             (long)self->resets, (long)self->outcomes);
  }
  return UNDERSTUDY_OK;
}

static int32_t Reset(understudy_predictor *self, int32_t why) {
  self->resets += why;
  return UNDERSTUDY_OK;
}

static int32_t Feedback(understudy_predictor *self, const understudy_outcome *outcome) {
  self->outcomes += outcome->kind * 100 + (int64_t)outcome->lead_s;
  return UNDERSTUDY_OK;
}

static int32_t Save(understudy_predictor *self, understudy_state_sink sink, void *context) {
  return sink(context, &self->sum, sizeof self->sum) == 0 ? UNDERSTUDY_OK : UNDERSTUDY_FAILED;
}

static int32_t Restore(understudy_predictor *self, const void *bytes, size_t size) {
  if (size != sizeof self->sum) return UNDERSTUDY_BAD_STATE;
  memcpy(&self->sum, bytes, size);
  return UNDERSTUDY_OK;
}

static const understudy_predictor_api kApi = {sizeof kApi,     UNDERSTUDY_PREDICTOR_ABI,
                                              "first_version", "1.0",
                                              Create,          Destroy,
                                              Metrics,         Observe,
                                              Predict,         Reset,
                                              Feedback,        Save,
                                              Restore};

const understudy_predictor_api *understudy_predictor_entry(uint32_t host_abi) {
  return host_abi >> 16 == UNDERSTUDY_PREDICTOR_ABI_MAJOR ? &kApi : NULL;
}
