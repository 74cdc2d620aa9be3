/* Compiled against the frozen header. */
#include "tests/abi/first_version_layout.h"

#include "tests/abi/v1_0/understudy/predictor.h"

const struct layout_entry *first_version_layout(void) {
  static const struct layout_entry entries[] = {LAYOUT_OF_VERSION_1_0, {NULL, 0}};
  return entries;
}
