/* What a process says about its own confinement: lines "role.key=value". */
#ifndef WARD_REPORT_H
#define WARD_REPORT_H

#include "common/buf.h"
#include "sandbox/sandbox.h"

/* The names of the libraries that are loaded, one space between them. Call it before the seal. */
void report_libraries(struct buf *out);

/* Append all that the process itself knows: pid, seccomp_calls, landlock_abi, landlock_rules,
 * rlimits, fds (those that are still open), libraries, root. 0, or -1 when it does not fit. */
int report_self(const struct sandbox_params *p, const struct sandbox_state *s,
    const struct buf *libraries, struct buf *out);

/* One value: control characters become '?', so that a line stays a line. */
int report_line(struct buf *out, const char *role, const char *key, const char *value);

#endif
