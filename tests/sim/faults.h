/* Faults: what is done on purpose to stanzas, frames and connections. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <jansson.h>

#include "tests/sim/match.h"

/* What is done to the bytes of one frame that goes out. */
enum frame_fault {
	FRAME_FINE,
	FRAME_FLIP,     /* one bit of the ciphertext is wrong */
	FRAME_REPEAT,   /* the same frame twice: a repeated counter */
	FRAME_OVERSIZE, /* the length says 2^24 - 1 */
	FRAME_ZERO,     /* a frame of length 0 goes before it */
	FRAME_SPLIT,    /* one byte a WebSocket message */
	FRAME_TEXT,     /* a text message goes before it */
	FRAME_JOIN,     /* in one WebSocket message with the next frame */
	FRAME_PING,     /* a WebSocket ping goes before it */
	FRAME_COMPRESS, /* the stanza is compressed */
	FRAME_SWAP,     /* sent behind the next frame */
	FRAME_CUT,      /* the stanza's last byte is missing, under a good tag */
};

struct verdict {
	int drop, duplicate, corrupt, close, reset, reorder;
	unsigned delay_ms;
	int freeze;           /* 1 = for freeze_ms, 0 = not */
	unsigned freeze_ms;   /* 0 with freeze = for ever */
	int error;            /* answer with this code instead of handling it */
	const char *withhold; /* the content is unavailable, in this way; NULL: it is there */
	enum frame_fault frame;
};

/* Every stanza passes here once in each direction. 0 = nothing armed fits (the usual, cheap
 * answer), 1 = *v says what to do. */
int faults_check(
    const struct party *p, enum direction dir, const struct node *n, struct verdict *v);

/* From the control interface: {"match":{…},"action":…,"ms":…,"code":…,"after":…,"count":…}.
 * The fault's number, or -1 and *why. */
int faults_arm(const json_t *o, const char **why);
json_t *faults_list(void);
int faults_clear(int id); /* 0 = all; returns how many went */
void faults_fini(void);

/* What a stanza becomes: one bit of the first <enc> content in the tree (at any depth up to 4) is
 * flipped, or <unavailable> stands in the place of its encs. */
void faults_change(struct node *n, const struct verdict *v);

#endif
