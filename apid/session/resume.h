/* What is kept of a login so that the next one needs a round trip less: keyd keeps the server's
 * verified chain for Noise IK (protocol page 01, 4.6). */
#ifndef WARD_RESUME_H
#define WARD_RESUME_H

#include "apid/session/account.h"

struct resume *resume_new(struct account *a);
void resume_free(struct resume *r);

/* <success> came on the connection a->conn, and the login is booked. In the background: whatever
 * becomes of it, the login goes on. */
void resume_keep(struct account *a);

#endif
