/*
 * The predictor plugin interface of understudy, version 1. C99; the only header a plugin needs.
 *
 * A plugin is a shared object that exports one function, understudy_predictor_entry. It watches the metrics of one
 * primary per instance and forecasts its failure. A forecast is advice: it can cost time, never data.
 *
 * A predictor is a function of its configuration, its samples and `now`. It reads no clock, draws no randomness but
 * from understudy_host.seed, opens no file and no socket, starts no thread; so a recorded run replays to the same
 * forecasts bit by bit. By default it runs in a child process with bounded memory and a deadline for each call: when
 * it crashes, hangs, answers nonsense or is late three times, its forecasts become ABSTAIN and an alert is raised.
 *
 * Rules for all calls
 *  - Threads: the host never makes two calls into a plugin at once in one process.
 *  - Pointers: no argument and no result is NULL unless its comment says so. What the host passes is borrowed: valid
 *    until the call returns (the host table: until destroy returns). What the plugin returns by pointer stays its own
 *    and must live as long as the comment says.
 *  - Strings are UTF-8 and end with a zero byte, also where a length is given besides.
 *  - Times are nanoseconds of one monotonic clock of the host's choosing; only their differences mean anything. They
 *    never go back within the life of an instance.
 *  - No exception and no longjmp may leave a call.
 *
 * Versioning
 *  - Tables (understudy_predictor_api, understudy_host) begin with struct_size and only ever grow at the end. Each
 *    side reads a slot only when it lies wholly inside struct_size of the table it was given: use UNDERSTUDY_HAS_SLOT.
 *    A slot outside is as if NULL.
 *  - All other structures keep their size within a major version; `reserved` fields are zero when written, ignored
 *    when read, and may get a meaning in a later minor version whose zero means "as before".
 *  - Constants keep their values; unknown ones are treated as their comment says.
 *  - A change that breaks this raises the major version. A host loads plugins of its own major version only.
 */
#ifndef UNDERSTUDY_PREDICTOR_H
#define UNDERSTUDY_PREDICTOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UNDERSTUDY_PREDICTOR_ABI_MAJOR 1u
#define UNDERSTUDY_PREDICTOR_ABI_MINOR 0u
#define UNDERSTUDY_PREDICTOR_ABI ((UNDERSTUDY_PREDICTOR_ABI_MAJOR << 16) | UNDERSTUDY_PREDICTOR_ABI_MINOR)

/* What a call returns. Negative: the call failed, and the host takes any other negative value as FAILED. */
#define UNDERSTUDY_OK 0
#define UNDERSTUDY_WARMING 1       /* predict: too few samples yet; the forecasts are not looked at */
#define UNDERSTUDY_ABSTAIN 2       /* predict: cannot say (the metrics are missing or stale); likewise */
#define UNDERSTUDY_FAILED (-1)     /* broken; host.explain says why */
#define UNDERSTUDY_BAD_CONFIG (-2) /* create: host.explain names the field */
#define UNDERSTUDY_BAD_STATE (-3)  /* restore: not a state of this plugin and version; it goes on as if new */

/* Why an instance is reset. Unknown values: as RESTARTED. */
#define UNDERSTUDY_RESET_RESTARTED 1 /* the primary's process was started anew */
#define UNDERSTUDY_RESET_MOVED 2     /* the service now runs on another node */
#define UNDERSTUDY_RESET_GAP 3       /* samples were lost for long; what was learnt of the load may be kept */

/* What came of the primary, for plugins that learn. Unknown values are to be ignored. */
#define UNDERSTUDY_OUTCOME_FAILED 1   /* it failed by itself */
#define UNDERSTUDY_OUTCOME_DEGRADED 2 /* it became too slow to be useful */
#define UNDERSTUDY_OUTCOME_MOVED 3    /* it was moved before anything happened: nobody knows whether it would have */
#define UNDERSTUDY_OUTCOME_QUIET 4    /* a forecast was not acted on, its horizon passed, nothing happened */

#define UNDERSTUDY_LOG_INFO 1
#define UNDERSTUDY_LOG_WARNING 2

#define UNDERSTUDY_METRICS_MAX 256     /* wanted by one instance */
#define UNDERSTUDY_METRIC_NAME_MAX 128 /* bytes, without the final zero */
#define UNDERSTUDY_HORIZONS_MAX 16     /* of one predict call */
#define UNDERSTUDY_REASON_MAX 240      /* bytes of understudy_forecast.reason, with the final zero */
#define UNDERSTUDY_STATE_MAX 1048576   /* bytes a saved state may have */

/* True when `slot` lies wholly inside the table that `table` points to. */
#define UNDERSTUDY_HAS_SLOT(type, table, slot) \
  (offsetof(type, slot) + sizeof((table)->slot) <= (size_t)(table)->struct_size)

/* One instance: what the plugin makes of it. */
typedef struct understudy_predictor understudy_predictor;

/* What the host offers to an instance. Borrowed until destroy returns. */
typedef struct understudy_host {
  uint32_t struct_size; /* bytes */
  uint32_t abi;         /* UNDERSTUDY_PREDICTOR_ABI of the host */
  void *context;        /* the host's own; handed to the functions below */
  uint64_t seed;        /* for all the randomness an instance needs; the same in a replayed run */
  /* For people, about 10 lines a call; longer or further ones are cut. Allowed during any call. */
  void (*log)(void *context, int32_t level, const char *message);
  /* Says why the call in progress is about to return something else than OK. Copied. */
  void (*explain)(void *context, const char *message);
  /* Slots of later versions follow. */
} understudy_host;

/*
 * The metrics of one moment. values[i] belongs to the i-th name of the metrics call. A value that was not measured
 * has present[i] == 0 and values[i] NaN: missing is never zero. Present values are finite. Their units are part of
 * their names' description in docs/metrics.md.
 */
typedef struct understudy_sample {
  int64_t time_ns;
  const double *values;
  const uint8_t *present;
  uint64_t reserved;
} understudy_sample;

/* A word about the time up to `horizon_ns` after `now`. The host hands it over with all fields zero but horizon_ns. */
typedef struct understudy_forecast {
  int64_t horizon_ns; /* set by the host */
  double probability; /* of failure within the horizon, 0 to 1. Anything else, NaN included, is a fault of the plugin */
  double confidence;  /* 0 to 1: how much of what it wants to know it knew. 0: none of it */
  int32_t has_ttf;    /* 1: the three below are set; 0: the time to failure is unknown */
  uint32_t reserved0;
  double ttf_p10_s; /* quantiles of the time to failure from `now`, seconds, 0 <= p10 <= p50 <= p90, finite */
  double ttf_p50_s;
  double ttf_p90_s;
  uint64_t reserved1[4];
  /* For people, ends with a zero byte: "proc.rss_bytes 412 MiB > 400 MiB for 5 s". */
  char reason[UNDERSTUDY_REASON_MAX];
} understudy_forecast;

typedef struct understudy_outcome {
  int64_t time_ns; /* when it happened, or when the horizon passed */
  int32_t kind;    /* UNDERSTUDY_OUTCOME_* */
  int32_t reserved0;
  double lead_s; /* time from the first forecast that warned of it; negative: none did */
  uint64_t reserved1[4];
} understudy_outcome;

/* Takes a piece of a saved state. Nonzero: stop, the state has become too large. */
typedef int32_t (*understudy_state_sink)(void *context, const void *bytes, size_t size);

/* The plugin's table: static, constant, never changed once the entry function has returned it. */
typedef struct understudy_predictor_api {
  uint32_t struct_size; /* sizeof(understudy_predictor_api) as the plugin was compiled */
  uint32_t abi;         /* UNDERSTUDY_PREDICTOR_ABI as the plugin was compiled */
  const char *name;     /* "threshold" */
  const char *version;  /* of the plugin: "1.0.0"; recorded with every decision */

  /*
   * Makes an instance for one primary. `config` is a JSON document ("{}" when the operator gave none). On OK stores
   * the instance in *out; on BAD_CONFIG or FAILED leaves nothing behind. Required.
   */
  int32_t (*create)(const understudy_host *host, const char *config, size_t config_size, understudy_predictor **out);

  /* Frees the instance. Never called twice. Required. */
  void (*destroy)(understudy_predictor *self);

  /*
   * Names the metrics the instance wants, at most UNDERSTUDY_METRICS_MAX; without wildcards. Called once, directly
   * after create. The array and its strings live until destroy. Required.
   */
  int32_t (*metrics)(understudy_predictor *self, const char *const **names, size_t *count);

  /* Takes samples, oldest first, each later than the ones before. `count` is at least 1. Required. */
  int32_t (*observe)(understudy_predictor *self, const understudy_sample *samples, size_t count);

  /*
   * Fills forecasts[0..count), one for each horizon, given in forecasts[i].horizon_ns, ascending; count is 1 to
   * UNDERSTUDY_HORIZONS_MAX. OK, WARMING or ABSTAIN count for all of them. `now_ns` is not before the last sample.
   * Must not change what later calls answer: asking twice gives the same. Required.
   */
  int32_t (*predict)(understudy_predictor *self, int64_t now_ns, understudy_forecast *forecasts, size_t count);

  /* All slots from here on are optional: NULL when not offered. */

  /* Forgets what was observed, for the reason UNDERSTUDY_RESET_*. Not offered: the host makes a new instance. */
  int32_t (*reset)(understudy_predictor *self, int32_t why);

  /* Tells what came of the primary. */
  int32_t (*feedback)(understudy_predictor *self, const understudy_outcome *outcome);

  /* Writes all that predict depends on, at most UNDERSTUDY_STATE_MAX bytes, in one or more pieces. */
  int32_t (*save)(understudy_predictor *self, understudy_state_sink sink, void *sink_context);

  /* Takes over a state saved by an instance with the same configuration; called before the first observe. */
  int32_t (*restore)(understudy_predictor *self, const void *bytes, size_t size);

  /* Slots of later versions follow. */
} understudy_predictor_api;

#if defined(_WIN32)
#define UNDERSTUDY_PREDICTOR_EXPORT __declspec(dllexport)
#else
#define UNDERSTUDY_PREDICTOR_EXPORT __attribute__((visibility("default")))
#endif

/*
 * The one entry point. `host_abi` is the host's UNDERSTUDY_PREDICTOR_ABI. Returns the table, or NULL when the plugin
 * cannot work with such a host. May be called more than once.
 */
UNDERSTUDY_PREDICTOR_EXPORT const understudy_predictor_api *understudy_predictor_entry(uint32_t host_abi);

#define UNDERSTUDY_PREDICTOR_ENTRY_SYMBOL "understudy_predictor_entry"

#ifdef __cplusplus
}
#endif

#endif
