/* A whole plugin in C: the probability is the share of the last metric "load" in 100. Keeps a state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "understudy/predictor.h"

struct understudy_predictor {
  const understudy_host *host;
  double last;
  int32_t known;
  int64_t observed, resets, outcomes;
};

static const char *const kNames[] = {"load", "app.queue"};

static int32_t Create(const understudy_host *host, const char *config, size_t size, understudy_predictor **out) {
  understudy_predictor *self;
  if (size != 2 || strcmp(config, "{}") != 0) {
    host->explain(host->context, "config: has no fields");
    return UNDERSTUDY_BAD_CONFIG;
  }
  self = calloc(1, sizeof *self);
  if (self == NULL) return UNDERSTUDY_FAILED;
  self->host = host;
  host->log(host->context, UNDERSTUDY_LOG_INFO, "made");
  *out = self;
  return UNDERSTUDY_OK;
}

static void Destroy(understudy_predictor *self) { free(self); }

static int32_t Metrics(understudy_predictor *self, const char *const **names, size_t *count) {
  (void)self;
  *names = kNames;
  *count = 2;
  return UNDERSTUDY_OK;
}

static int32_t Observe(understudy_predictor *self, const understudy_sample *samples, size_t count) {
  size_t i;
  for (i = 0; i < count; ++i) {
    self->observed++;
    if (samples[i].present[0]) {
      self->last = samples[i].values[0];
      self->known = 1;
    }
  }
  return UNDERSTUDY_OK;
}

static int32_t Predict(understudy_predictor *self, int64_t now_ns, understudy_forecast *forecasts, size_t count) {
  size_t i;
  (void)now_ns;
  if (!self->known) {
    self->host->explain(self->host->context, "no load yet");
    return UNDERSTUDY_WARMING;
  }
  for (i = 0; i < count; ++i) {
    forecasts[i].probability = self->last / 100;
    forecasts[i].confidence = 1;
    forecasts[i].has_ttf = 1;
    forecasts[i].ttf_p10_s = 1;
    forecasts[i].ttf_p50_s = 2;
    forecasts[i].ttf_p90_s = 3;
    snprintf(forecasts[i].reason, sizeof forecasts[i].reason, "load %g, observed %ld, resets %ld, outcomes %ld",
             self->last, (long)self->observed, (long)self->resets, (long)self->outcomes);
  }
  return UNDERSTUDY_OK;
}

#ifndef OLDER
static int32_t Reset(understudy_predictor *self, int32_t why) {
  (void)why;
  self->known = 0;
  self->resets++;
  return UNDERSTUDY_OK;
}

static int32_t Feedback(understudy_predictor *self, const understudy_outcome *outcome) {
  if (outcome->kind == UNDERSTUDY_OUTCOME_FAILED) self->outcomes++;
  return UNDERSTUDY_OK;
}

static int32_t Save(understudy_predictor *self, understudy_state_sink sink, void *context) {
  if (sink(context, &self->last, sizeof self->last) != 0) return UNDERSTUDY_FAILED;
  return sink(context, &self->known, sizeof self->known) == 0 ? UNDERSTUDY_OK : UNDERSTUDY_FAILED;
}

static int32_t Restore(understudy_predictor *self, const void *bytes, size_t size) {
  const char *at = bytes;
  if (size != sizeof self->last + sizeof self->known) return UNDERSTUDY_BAD_STATE;
  memcpy(&self->last, at, sizeof self->last);
  memcpy(&self->known, at + sizeof self->last, sizeof self->known);
  return UNDERSTUDY_OK;
}
#endif

static const understudy_predictor_api kApi = {
#if defined(OLDER) /* made before the optional slots were appended */
    offsetof(understudy_predictor_api, reset),
#elif defined(WRONG_SIZE)
    40,
#else
    sizeof(understudy_predictor_api),
#endif
#if defined(WRONG_ABI)
    7u << 16,
#else
    UNDERSTUDY_PREDICTOR_ABI,
#endif
    "plain",
    "2.1",
    Create,
    Destroy,
    Metrics,
    Observe,
    Predict,
#ifndef OLDER
    Reset,
    Feedback,
    Save,
    Restore,
#else
    /* What lies behind an older table is not a table: whoever reads it crashes. */
    (int32_t (*)(understudy_predictor *, int32_t))1,
    (int32_t(*)(understudy_predictor *, const understudy_outcome *))1,
    (int32_t(*)(understudy_predictor *, understudy_state_sink, void *))1,
    (int32_t(*)(understudy_predictor *, const void *, size_t))1,
#endif
};

#ifdef NO_ENTRY
const understudy_predictor_api *understudy_predictor_other(void) { return &kApi; }
#else
const understudy_predictor_api *understudy_predictor_entry(uint32_t host_abi) {
#ifdef REFUSES
  return host_abi == 0 ? &kApi : NULL;
#else
  return host_abi >> 16 == UNDERSTUDY_PREDICTOR_ABI_MAJOR ? &kApi : NULL;
#endif
}
#endif
