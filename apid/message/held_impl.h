/* What the files about held messages share: the list of them, and their names in stored. */
#ifndef WARD_HELD_IMPL_H
#define WARD_HELD_IMPL_H

#include <sys/queue.h>

#include "apid/message/held.h"
#include "apid/session/ask.h"

#define HELD_STANZA_MAX (1024u * 1024) /* stored's bound of a Pending */
#define HELD_NUMBER_LEN 12 /* digits before a message id: stored keeps them in no order */
#define HELD_ID_MAX     (MESSAGE_ID_MAX - HELD_NUMBER_LEN - 1) /* longer ones are not kept */
#define HELD_NUMBER_MAX UINT64_C(999999999999)

struct held_row {
	TAILQ_ENTRY(held_row) link;
	uint64_t number;
	struct jid sender; /* with device */
	char id[HELD_ID_MAX + 1];
	size_t bytes;
	int durable;
	unsigned writing; /* units on their way that put it */
	int blocked;      /* until the next round: its sender is still held, or none is under way */
};

struct held {
	struct account *a;
	TAILQ_HEAD(held_list, held_row) list; /* in order of arrival */
	size_t n, bytes;
	uint64_t last;
	struct ask *ask;
	uint64_t running; /* the one that is let through now */
	int again;        /* asked to begin anew meanwhile */
	void (*loaded)(struct account *a, const char *why);
	struct held_end_all *ending; /* nothing is let through any more */
};

/* Off the list, which is all that is known of it in memory. */
void held_drop(struct held *h, struct held_row *r);

struct held_name {
	Stored__MessageName pb;
	char sender[JID_TEXT_MAX], id[MESSAGE_ID_MAX + 1];
};
void held_name(const struct held_row *r, struct held_name *out);

/* What held_end_all waited for may have happened. Nothing if nobody ends them. */
void held_end_step(struct held *h);
void held_end_cancel(struct held *h); /* its fn is not called */

#endif
