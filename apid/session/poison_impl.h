/* What the files about poison share: the notes of an account, and the stanzas that wait. */
#ifndef WARD_POISON_IMPL_H
#define WARD_POISON_IMPL_H

#include <sys/queue.h>

#include <event2/event.h>

#include "apid/session/ask.h"
#include "apid/session/poison.h"
#include "apid/session/unit.h"

#define POISON_CHAT      "poison" /* Pending.name.chat of all rows; no chat has such an id */
#define POISON_STANZA    "stanza"
#define POISON_ACK       "ack"  /* beside it: how it is acknowledged without being looked at */
#define POISON_MARK      "mark" /* one of them was set aside: notes are looked for at every start */
#define POISON_NOTES_MAX 64u
#define POISON_NOTE_MAX                                                                            \
	(1024u * 1024)      /* stored's bound of a Pending; longer ones are not noted              \
			     */
#define POISON_HEAD   4u    /* of a stanza: flags, list and its size, tag */
#define POISON_LIST_8 0xf8u /* of a node: a byte with its size follows, then its tag (page 02) */

struct poison_note { /* of an earlier run */
	char id[33];
	unsigned attempts;
	uint8_t *bytes, *ack;
	size_t len, ack_len;
};

struct poison_item {
	STAILQ_ENTRY(poison_item) link;
	uint64_t conn;
	size_t len;
	uint8_t bytes[];
};

struct poison {
	struct account *a;
	struct poison_note notes[POISON_NOTES_MAX];
	size_t nnotes;
	int careful; /* each stanza is noted; else only those that were set aside are looked for */
	unsigned handled;
	STAILQ_HEAD(poison_queue, poison_item) queue;
	size_t nqueue;
	struct poison_item *now; /* being handled, or noted */
	char now_id[33];
	enum {
		POISON_IDLE,
		POISON_NOTING,
		POISON_HANDLING
	} phase;
	char last_id[33]; /* its note is to be deleted; "" = none */
	int64_t since_ms;
	struct event *timer;
	struct unit *unit;
	struct ask *ask;
	char *after;
	int marked;
	void (*known)(struct account *a, const char *why);
};

/* ---- the notes (poison_notes.c) */

/* That of an earlier delivery of this stanza, or NULL. */
struct poison_note *poison_note_of(struct poison *p, const uint8_t *bytes, size_t len);
struct poison_note *poison_note_by_id(struct poison *p, const char *id, int make);
void poison_note_forget(struct poison_note *n);
void poison_put(struct unit *u, const char *kind, const char *id, const void *bytes, size_t len,
    unsigned attempts);
void poison_delete(struct unit *u, const char *id);

/* ---- which of them (poison_gate.c) */

enum poison_gate {
	POISON_PASS, /* an answer that something may wait for */
	POISON_WAIT, /* in its turn, without a note */
	POISON_NOTE
};
enum poison_gate poison_gate(const uint8_t *bytes, size_t len);

#endif
