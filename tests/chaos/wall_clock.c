/* LD_PRELOAD: a wall clock that can jump while the program runs. The nanoseconds to add stand as a number in the first
 * eight bytes of the file that CHAOS_WALL_CLOCK names. The monotonic clock is the kernel's. Programs that ask the kernel
 * without libc (etcd, as all of Go) are not reached. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* shift_ns;
static int (*real_clock_gettime)(clockid_t, struct timespec*);

__attribute__((constructor)) static void Prepare(void) {
  const char* path = getenv("CHAOS_WALL_CLOCK");
  real_clock_gettime = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  if (path != NULL) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC); /* tidy: allow(file): shared with the harness */
    if (fd >= 0) {
      void* page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
      shift_ns = page == MAP_FAILED ? NULL : (const volatile int64_t*)page;
      close(fd);
    }
  }
}

/* tidy: allow(clock): it is the clock */
int clock_gettime(clockid_t clock, struct timespec* now) {
  if (real_clock_gettime == NULL) { /* called before the constructor, by another library's */
    real_clock_gettime = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  }
  const int result = real_clock_gettime(clock, now);
  if (result == 0 && shift_ns != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    const int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + *shift_ns;
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
  }
  return result;
}

/* tidy: allow(clock): it is the clock */
int gettimeofday(struct timeval* now, void* zone) {
  (void)zone;
  struct timespec exact;
  /* tidy: allow(clock): it is the clock */
  const int result = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return result;
}

time_t time(time_t* out) {
  struct timespec exact;
  /* tidy: allow(clock): it is the clock */
  clock_gettime(CLOCK_REALTIME, &exact);
  if (out != NULL) {
    *out = exact.tv_sec;
  }
  return exact.tv_sec;
}
