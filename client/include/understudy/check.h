// UNDERSTUDY_CHECK: always on, in every build. It guards what only a bug of ours can break; what
// operation can bring (a full disk, a lost connection, bad input) is a Status instead.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace understudy::internal {
[[noreturn]] inline void CheckFailed(const char* file, int line, const char* expression) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, expression);
  std::fflush(stderr);
  std::abort();
}
}  // namespace understudy::internal

#define UNDERSTUDY_CHECK(expression)                                            \
  do {                                                                          \
    if (!(expression)) [[unlikely]] {                                           \
      ::understudy::internal::CheckFailed(__FILE__, __LINE__, #expression);     \
    }                                                                           \
  } while (false)
