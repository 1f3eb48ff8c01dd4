/* Is the connection alive? A ping after a random silence, an answer within a deadline (protocol
 * page 01, section 7). Any received frame is life. */
#ifndef WARD_KEEPALIVE_H
#define WARD_KEEPALIVE_H

#include <stdint.h>

#include <event2/event.h>

struct keepalive_config {
	int64_t min_ms, max_ms; /* silence before a ping: random between them */
	int64_t deadline_ms;    /* then silence before it is dead */
	void (*ping)(void *arg);
	void (*miss)(void *arg); /* the last thing that is called; it is stopped already */
};

struct keepalive {
	struct keepalive_config cfg;
	void *arg;
	struct event *timer;
	int64_t last_ms; /* of the last sign of life */
	int64_t wait_ms; /* silence that is allowed now */
	int pinged, blind;
};

/* 0 or -1. */
int keepalive_init(
    struct keepalive *k, struct event_base *base, const struct keepalive_config *cfg, void *arg);
void keepalive_clear(struct keepalive *k);
void keepalive_start(struct keepalive *k);
void keepalive_stop(struct keepalive *k);
void keepalive_life(struct keepalive *k); /* cheap: called for every frame */
/* Nothing is read for now (back-pressure), so silence means nothing. */
void keepalive_blind(struct keepalive *k, int blind);

#endif
