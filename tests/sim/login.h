/* After the handshake: registration, or login of a known device. */
#ifndef SIM_LOGIN_H
#define SIM_LOGIN_H

#include "tests/sim/account.h"
#include "tests/sim/conn.h"

/* The client's payload: begins pairing, or answers <success> or <failure>. */
void login_payload(struct conn *c, const uint8_t noise_pub[32], const void *payload, size_t len);
/* Refuse the logins of an account; reason 0 lifts it. */
void login_refuse(struct account *a, const struct login_refusal *r);

/* Ends the stream of a connection with <stream:error>; conflict may be NULL. */
void login_stream_error(struct conn *c, int code, const char *conflict);

#endif
