/*
 * fd_growth, a predictor in C99: forecasts that a process runs out of file descriptors, from the growth of proc.fds
 * over the last minute and the limit the process has. Keeps a state, so that a restart of the predictor forgets
 * nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <understudy/predictor.h>

#define SLOTS 12 /* one every 5 s: a minute */

static const int64_t kSlotNs = 5000000000;
static const int64_t kStaleNs = 30000000000;
static const char *const kMetrics[] = {"proc.fds", "proc.fds_limit"};

/* All that predict depends on, in one piece without padding, so that it can be saved as it stands. */
struct memory {
  int64_t count; /* values kept, at most SLOTS; the newest is at (next - 1) % SLOTS */
  int64_t next;
  int64_t last_ns;
  double limit; /* 0: not known */
  double last;
  int64_t at_ns[SLOTS];
  double fds[SLOTS];
};

struct understudy_predictor {
  const understudy_host *host;
  struct memory memory;
};

/* The configuration is the JSON of the service file; this plugin has none. One with fields names the wrong one. */
static int32_t Create(const understudy_host *host, const char *config, size_t size, understudy_predictor **out) {
  understudy_predictor *self;
  if (size != 2 || memcmp(config, "{}", 2) != 0) {
    host->explain(host->context, "config: fd_growth has no fields, give {}");
    return UNDERSTUDY_BAD_CONFIG;
  }
  self = calloc(1, sizeof *self);
  if (self == NULL) {
    host->explain(host->context, "out of memory");
    return UNDERSTUDY_FAILED;
  }
  self->host = host;
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
  struct memory *m = &self->memory;
  size_t i;
  for (i = 0; i < count; ++i) {
    const int64_t newest = (m->next + SLOTS - 1) % SLOTS;
    if (samples[i].present[1] && samples[i].values[1] > 0) m->limit = samples[i].values[1];
    if (!samples[i].present[0]) continue; /* missing is not zero: it changes nothing */
    m->last = samples[i].values[0];
    m->last_ns = samples[i].time_ns;
    if (m->count > 0 && m->last_ns - m->at_ns[newest] < kSlotNs) continue;
    m->fds[m->next] = m->last;
    m->at_ns[m->next] = m->last_ns;
    m->next = (m->next + 1) % SLOTS;
    if (m->count < SLOTS) m->count++;
  }
  return UNDERSTUDY_OK;
}

static int32_t Predict(understudy_predictor *self, int64_t now_ns, understudy_forecast *forecasts, size_t count) {
  const struct memory *m = &self->memory;
  const int64_t oldest = (m->next + SLOTS - m->count) % SLOTS;
  double seconds, slope, left_s;
  size_t i;
  if (m->count < 4) {
    self->host->explain(self->host->context, "fewer than 20 s of proc.fds");
    return UNDERSTUDY_WARMING;
  }
  if (m->limit <= 0 || now_ns - m->last_ns > kStaleNs) {
    self->host->explain(self->host->context, m->limit <= 0 ? "proc.fds_limit is not known" : "proc.fds is stale");
    return UNDERSTUDY_ABSTAIN;
  }
  seconds = (double)(m->last_ns - m->at_ns[oldest]) * 1e-9;
  slope = seconds > 0 ? (m->last - m->fds[oldest]) / seconds : 0;
  left_s = m->last >= m->limit ? 0 : slope > 0 ? (m->limit - m->last) / slope : -1;
  for (i = 0; i < count; ++i) {
    const double share = left_s < 0 ? 0 : (double)forecasts[i].horizon_ns * 1e-9 / (left_s > 1e-3 ? left_s : 1e-3);
    forecasts[i].probability = share >= 1 ? 0.9 : share > 0 ? 0.9 * share : 0.005;
    if (forecasts[i].probability < 0.005) forecasts[i].probability = 0.005;
    forecasts[i].confidence = (double)m->count / SLOTS;
    if (left_s >= 0 && left_s < 86400) {
      forecasts[i].has_ttf = 1;
      forecasts[i].ttf_p10_s = 0.6 * left_s;
      forecasts[i].ttf_p50_s = left_s;
      forecasts[i].ttf_p90_s = 2 * left_s;
    }
    snprintf(forecasts[i].reason, sizeof forecasts[i].reason, "%g of %g descriptors are open, %+.1f a second", m->last,
             m->limit, slope);
  }
  return UNDERSTUDY_OK;
}

/* Another process: what was observed no longer counts. */
static int32_t Reset(understudy_predictor *self, int32_t why) {
  (void)why;
  memset(&self->memory, 0, sizeof self->memory);
  return UNDERSTUDY_OK;
}

static int32_t Save(understudy_predictor *self, understudy_state_sink sink, void *context) {
  return sink(context, &self->memory, sizeof self->memory) == 0 ? UNDERSTUDY_OK : UNDERSTUDY_FAILED;
}

/* A state may come from a disk that lied: what it says is checked before it is believed. */
static int32_t Restore(understudy_predictor *self, const void *bytes, size_t size) {
  struct memory m;
  int64_t i;
  if (size != sizeof m) return UNDERSTUDY_BAD_STATE;
  memcpy(&m, bytes, sizeof m);
  if (m.count < 0 || m.count > SLOTS || m.next < 0 || m.next >= SLOTS || m.last_ns < 0) return UNDERSTUDY_BAD_STATE;
  if (!(m.limit >= 0 && m.limit < 1e18) || m.last - m.last != 0) return UNDERSTUDY_BAD_STATE;
  for (i = 0; i < SLOTS; ++i) {
    if (m.fds[i] - m.fds[i] != 0 || m.at_ns[i] < 0 || m.at_ns[i] > m.last_ns) return UNDERSTUDY_BAD_STATE;
  }
  self->memory = m;
  return UNDERSTUDY_OK;
}

static const understudy_predictor_api kApi = {
    .struct_size = sizeof kApi,
    .abi = UNDERSTUDY_PREDICTOR_ABI,
    .name = "fd_growth",
    .version = "0.1.0",
    .create = Create,
    .destroy = Destroy,
    .metrics = Metrics,
    .observe = Observe,
    .predict = Predict,
    .reset = Reset,
    .save = Save,
    .restore = Restore,
};

const understudy_predictor_api *understudy_predictor_entry(uint32_t host_abi) {
  return host_abi >> 16 == UNDERSTUDY_PREDICTOR_ABI_MAJOR ? &kApi : NULL;
}
