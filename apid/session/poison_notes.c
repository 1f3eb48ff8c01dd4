/* Notes of poison: which stanzas were being handled when the service ended, in memory and in
 *stored.
 *
 *	poison_begin -> mark_known [-> scanned …] -> known
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/unread.h"
#include "apid/session/poison_impl.h"
#include "common/log.h"
#include "common/pb.h"

#define DIFFER_MAX 8u /* bytes by which two deliveries of a stanza may differ */
#define SCAN_ROWS  64u
#define SCAN_MAX   (8u * 1024 * 1024)

/* ------------------------------------------------------------------ the same stanza? */

int
poison_same(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	size_t least = alen < blen ? alen : blen, most = alen < blen ? blen : alen;
	size_t head = POISON_HEAD, tail = 0;

	if (most - least > DIFFER_MAX || least < 2 * POISON_HEAD)
		return 0;
	if (a[1] == POISON_LIST_8 && b[1] == POISON_LIST_8 && a[3] != b[3])
		return 0; /* another tag */
	while (head < least && a[head] == b[head])
		head++;
	while (tail < least - head && a[alen - 1 - tail] == b[blen - 1 - tail])
		tail++;
	return most - head - tail <= DIFFER_MAX;
}

struct poison_note *
poison_note_of(struct poison *p, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < p->nnotes; i++)
		if (p->notes[i].bytes != NULL &&
		    poison_same(p->notes[i].bytes, p->notes[i].len, bytes, len))
			return &p->notes[i];
	return NULL;
}

struct poison_note *
poison_note_by_id(struct poison *p, const char *id, int make)
{
	for (size_t i = 0; i < p->nnotes; i++)
		if (strcmp(p->notes[i].id, id) == 0)
			return &p->notes[i];
	if (!make || p->nnotes == POISON_NOTES_MAX || strlen(id) >= sizeof(p->notes[0].id))
		return NULL;
	(void)snprintf(p->notes[p->nnotes].id, sizeof(p->notes[0].id), "%s", id);
	return &p->notes[p->nnotes++];
}

void
poison_note_forget(struct poison_note *n)
{
	free(n->bytes);
	free(n->ack);
	memset(n, 0, sizeof(*n));
}

/* ------------------------------------------------------------------ rows */

void
poison_put(struct unit *u, const char *kind, const char *id, const void *bytes, size_t len,
    unsigned attempts)
{
	Stored__Pending row = STORED__PENDING__INIT;
	Stored__MessageName name = STORED__MESSAGE_NAME__INIT;

	name.chat = pb_str(POISON_CHAT);
	name.sender = pb_str(kind);
	name.id = pb_str(id);
	row.name = &name;
	row.stanza = pb_bytes(bytes, len);
	row.has_attempts = 1;
	row.attempts = attempts;
	unit_pending(u, &row);
}

void
poison_delete(struct unit *u, const char *id)
{
	Stored__MessageName name = STORED__MESSAGE_NAME__INIT;

	name.chat = pb_str(POISON_CHAT);
	name.id = pb_str(id);
	name.sender = pb_str(POISON_STANZA);
	unit_pending_delete(u, &name);
	name.sender = pb_str(POISON_ACK);
	unit_pending_delete(u, &name);
}

/* ------------------------------------------------------------------ at the start */

static void
known(struct poison *p, const char *why)
{
	void (*fn)(struct account * a, const char *why) = p->known;
	size_t suspects = 0;

	for (size_t i = 0; i < p->nnotes; i++)
		suspects += p->notes[i].bytes != NULL;
	if (why == NULL && p->careful)
		log_notice("account %s: the last run ended by a fault; the first stanzas are "
			   "handled one by one%s",
		    p->a->name, suspects > 0 ? ", and some were being handled then" : "");
	p->known = NULL;
	if (fn != NULL)
		fn(p->a, why);
}

static void
take_row(struct poison *p, const Stored__Pending *row)
{
	int is_ack = strcmp(row->name->sender, POISON_ACK) == 0;
	struct poison_note *n;
	uint8_t *copy;

	if (strcmp(row->name->chat, POISON_CHAT) != 0 || row->stanza.len == 0 ||
	    (!is_ack && strcmp(row->name->sender, POISON_STANZA) != 0) ||
	    (n = poison_note_by_id(p, row->name->id, 1)) == NULL ||
	    (copy = malloc(row->stanza.len)) == NULL)
		return;
	memcpy(copy, row->stanza.data, row->stanza.len);
	free(is_ack ? n->ack : n->bytes);
	if (is_ack) {
		n->ack = copy;
		n->ack_len = row->stanza.len;
	} else {
		n->bytes = copy;
		n->len = row->stanza.len;
		n->attempts = row->attempts;
	}
}

static void scan(struct poison *p);

static void
scanned(const struct reply *rp, void *arg)
{
	struct poison *p = arg;
	const Stored__ScanReply *m = (const Stored__ScanReply *)rp->pb;

	p->ask = NULL;
	if (!rp->ok) {
		known(p, rp->code);
		return;
	}
	for (size_t i = 0; i < m->n_pendings; i++)
		take_row(p, m->pendings[i]);
	free(p->after);
	p->after = m->next != NULL ? strdup(m->next) : NULL;
	if (p->after != NULL)
		scan(p);
	else
		known(p, NULL);
}

static void
scan(struct poison *p)
{
	Stored__Scan m = STORED__SCAN__INIT;

	m.account = p->a->name;
	m.table = STORED__TABLE__PENDINGS;
	m.after = p->after;
	m.limit = SCAN_ROWS;
	p->ask = ask_stored(p->a, STORED__TYPE__SCAN, &m.base, STORED__TYPE__SCAN_REPLY,
	    &stored__scan_reply__descriptor, SCAN_MAX, ASK_DEADLINE_MS, scanned, p);
}

static void
mark_known(const struct reply *rp, void *arg)
{
	struct poison *p = arg;
	const Stored__LookupReply *m = (const Stored__LookupReply *)rp->pb;

	p->ask = NULL;
	if (!rp->ok || m->n_pending != 1) {
		known(p, rp->ok ? "internal" : rp->code);
		return;
	}
	p->marked = m->pending[0]->stanza.len > 0;
	if (p->careful || p->marked)
		scan(p);
	else
		known(p, NULL);
}

void
poison_begin(struct account *a, void (*fn)(struct account *a, const char *why))
{
	struct poison *p = a->poison;
	struct unread_name name = {.chat = POISON_CHAT, .sender = POISON_MARK, .id = POISON_MARK};

	p->known = fn;
	p->careful = a->svc->last_end_fault && a->dev.linked;
	p->ask = unread_ask(a, &name, 1, mark_known, p);
}
