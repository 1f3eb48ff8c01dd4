/* What keyd counts, by name, for STATUS. */
#include "keyd/counter.h"

#define COUNTER_NAME(id, name) name,
const char *const counter_names[COUNTERS] = {COUNTER_LIST(COUNTER_NAME)};
uint64_t counters[COUNTERS];
