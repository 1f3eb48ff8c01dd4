/* Folders, sockets and descriptors that the probes need. */
#ifndef WARD_PROBES_FIXTURE_H
#define WARD_PROBES_FIXTURE_H

#include "sandbox/sandbox.h"
#include "tests/probes/acts.h"

/* uid of the role when started as root, and of everything when not. */
uid_t fixture_uid(enum ward_role r, int as_root);

void fixture_make(void); /* in the runner, once */
void fixture_remove(void);
void fixture_before(const char *act, int as_root); /* before each probe: what an act uses up */

/* In the probe: descriptors by the table of the role, working folder, and (not as root) the
 * identity that the sandbox finds. */
void fixture_enter(enum ward_role r, int as_root);
/* In the probe, without any sandbox: the descriptors of apid, a writable working folder. */
void fixture_enter_bare(int as_root);

#endif
