/* One client's connection, from the WebSocket upgrade on: frames, Noise, stanzas in and out. */
#ifndef SIM_CONN_H
#define SIM_CONN_H

#include <event2/bufferevent.h>

#include "common/buf.h"
#include "common/wire/node.h"
#include "tests/sim/faults.h"
#include "tests/sim/noise_server.h"

struct conn;
struct registration;

struct conn_hooks {
	/* The handshake is done; payload: ClientPayload bytes; noise_pub: the client's static key.
	 */
	void (*login)(struct conn *c, const uint8_t noise_pub[32], const void *payload, size_t len);
	/* A stanza of a client, not to be kept. */
	void (*stanza)(struct conn *c, const struct node *n);
	/* There is room again in what waits to be written. */
	void (*room)(struct conn *c);
	/* The connection is over (once); device and registration are still set. */
	void (*gone)(struct conn *c);
};
void conn_init(struct noise_identity *id, const struct conn_hooks *hooks);
void conn_fini(void);

/* Takes over an upgraded bufferevent. */
void conn_upgraded(struct bufferevent *bev, int tls);

uint64_t conn_id(const struct conn *c);
struct conn *conn_by_id(uint64_t id);
/* Every connection with a handshake done, in the order in which they came. */
struct conn *conn_next(struct conn *c); /* NULL = the first */
struct device *conn_device(const struct conn *c);
void conn_set_device(struct conn *c, struct device *d);
struct registration *conn_registration(const struct conn *c);
void conn_set_registration(struct conn *c, struct registration *r);
struct party conn_party(const struct conn *c);

/* Sends a stanza; faults that are armed apply. */
void conn_send(struct conn *c, const struct node *n);
/* Sends node bytes (flags byte first) as they are. */
void conn_send_raw(struct conn *c, const void *payload, size_t len, enum frame_fault fault);
/* 1 = the client takes what it is sent; 0 = so much waits that more should stay in queues. */
int conn_has_room(const struct conn *c);

/* Ends it after what was written has gone out; or at once with a reset. Harmless if it is ending.
 * The caller must not use c afterwards but for conn_ending. */
void conn_end(struct conn *c, const char *why);
void conn_reset(struct conn *c, const char *why);
int conn_ending(const struct conn *c);
/* Neither reads nor writes for so long; 0 = for ever. */
void conn_freeze(struct conn *c, unsigned ms);

/* From now on the service has another static key, under the same root. */
void conn_rotate(void);
/* What the next handshakes get wrong: count 0 = until set again. */
void conn_forge(int forgery, unsigned count);

struct conn_stats {
	uint64_t accepted, handshakes, ik, ik_fallback, handshake_failures, bad_frames, bad_nodes,
	    frames_in, frames_out, bytes_in, bytes_out;
	unsigned open;
};
extern struct conn_stats conn_stats;

#endif
