/* What Signal keeps under a number goes to the LID.
 *
 *	lid_move_start -> listed (sessions) -> listed (identities) -> lid_move_stage -> staged ->
 *moved
 */
#include "apid/message/lid_move.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/ask.h"
#include "common/log.h"

#define MOVES_MAX     256u /* of the contract; a person has a hundred devices at most */
#define LIST_MAX      512u
#define LIST_REPLY    (64u * 1024)
#define KEYD_DEADLINE 30000u

struct lid_move {
	struct account *a;
	struct person p;
	int identities; /* the second list */
	struct ask *ask;
	struct unit *unit;
	int open;  /* the unit is not committed yet */
	int wrote; /* the pair is in it */
	struct jid who;
	struct {
		char from[81], to[81];
		uint32_t device;
	} moves[MOVES_MAX];
	size_t n;
	lid_move_fn *fn;
	void *arg;
};

int
lid_move_due(struct account *a, const struct person *p)
{
	return p->pn[0] != '\0' && p->lid[0] != '\0' && !contacts_moved(a, p);
}

void
lid_move_cancel(struct lid_move *m)
{
	if (m == NULL)
		return;
	ask_cancel(m->ask);
	if (m->open)
		unit_abort(m->unit);
	else
		unit_detach(m->unit);
	free(m);
}

static void
lid_move_end(struct lid_move *m, const char *why)
{
	lid_move_fn *fn = m->fn;
	void *arg = m->arg;

	if (why == NULL)
		contacts_set_moved(m->a, &m->p);
	else
		log_warnx("account %s: sessions could not be moved to a LID: %s", m->a->name, why);
	m->unit = m->open ? m->unit : NULL;
	lid_move_cancel(m);
	fn(why, arg);
}

/* ------------------------------------------------------------------ moving */

static void
moved(const struct unit_result *u, void *arg)
{
	struct lid_move *m = arg;

	m->unit = NULL;
	if (m->wrote)
		contacts_written(m->a, &m->who, u->ok);
	if (u->ok)
		m->a->n.lid_moves++;
	lid_move_end(m, u->ok ? NULL : u->reason);
}

static void
staged(const struct reply *rp, void *arg)
{
	struct lid_move *m = arg;

	m->ask = NULL;
	if (!rp->ok) {
		lid_move_end(m, rp->code);
		return;
	}
	unit_staged(m->unit, ((const Keyd__LidMoveReply *)rp->pb)->stages);
	m->wrote = contacts_write(m->a, &m->who, m->unit);
	m->open = 0;
	unit_commit(m->unit, moved, m);
}

static void
lid_move_stage(struct lid_move *m)
{
	Keyd__LidMove q = KEYD__LID_MOVE__INIT;
	Keyd__Move moves[MOVES_MAX], *list[MOVES_MAX];
	Keyd__Address from[MOVES_MAX], to[MOVES_MAX];

	if ((m->unit = unit_open(m->a)) == NULL) {
		lid_move_end(m, "memory");
		return;
	}
	m->open = 1;
	for (size_t i = 0; i < m->n; i++) {
		keyd__move__init(&moves[i]);
		keyd__address__init(&from[i]);
		keyd__address__init(&to[i]);
		from[i].name = m->moves[i].from;
		to[i].name = m->moves[i].to;
		from[i].device = to[i].device = m->moves[i].device;
		moves[i].from = &from[i];
		moves[i].to = &to[i];
		list[i] = &moves[i];
	}
	q.account = m->a->name;
	q.unit = unit_id(m->unit);
	q.moves = list;
	q.n_moves = m->n;
	m->ask = ask_keyd(m->a, KEYD__TYPE__LID_MOVE, &q.base, KEYD__TYPE__LID_MOVE_REPLY,
	    &keyd__lid_move_reply__descriptor, 64, KEYD_DEADLINE, staged, m);
}

/* ------------------------------------------------------------------ looking */

static void
add(struct lid_move *m, const char *name, size_t len, uint32_t device, int hosted)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->moves[i].device == device && strlen(m->moves[i].from) == len &&
		    strncmp(m->moves[i].from, name, len) == 0)
			return;
	if (m->n == MOVES_MAX)
		return;
	(void)snprintf(m->moves[m->n].from, sizeof(m->moves[0].from), "%.*s", (int)len, name);
	(void)snprintf(
	    m->moves[m->n].to, sizeof(m->moves[0].to), "%s_%d", m->p.lid, hosted ? 129 : 1);
	m->moves[m->n++].device = device;
}

/* "generation/name:device" of a number, hosted or not. */
static void
take_name(struct lid_move *m, const char *record)
{
	const char *name = strchr(record, '/'), *colon;
	size_t len, pn = strlen(m->p.pn);
	char *end;
	unsigned long device;

	if (name == NULL || (colon = strchr(++name, ':')) == NULL)
		return;
	len = (size_t)(colon - name);
	device = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end != '\0' || device > UINT16_MAX ||
	    strncmp(name, m->p.pn, pn) != 0)
		return;
	if (len == pn)
		add(m, name, len, (uint32_t)device, 0);
	else if (len == pn + 4 && strncmp(name + pn, "_128", 4) == 0)
		add(m, name, len, (uint32_t)device, 1);
}

static void list(struct lid_move *m);

static void
listed(const struct reply *rp, void *arg)
{
	struct lid_move *m = arg;
	const Stored__RecordNames *names = (const Stored__RecordNames *)rp->pb;

	m->ask = NULL;
	if (!rp->ok) {
		lid_move_end(m, rp->code);
		return;
	}
	for (size_t i = 0; i < names->n_records; i++)
		take_name(m, names->records[i]->name);
	if (!m->identities) {
		m->identities = 1;
		list(m);
	} else if (m->n > 0) {
		lid_move_stage(m);
	} else {
		lid_move_end(m, NULL);
	}
}

/* From "number:" to below "number_129": that is "number:device" and "number_128:device". */
static void
list(struct lid_move *m)
{
	Stored__RecordsList q = STORED__RECORDS_LIST__INIT;
	char from[128], below[128];

	(void)snprintf(from, sizeof(from), "%u/%s:", m->a->dev.generation, m->p.pn);
	(void)snprintf(below, sizeof(below), "%u/%s_129", m->a->dev.generation, m->p.pn);
	q.account = m->a->name;
	q.domain = m->identities ? STORED__DOMAIN__IDENTITY : STORED__DOMAIN__SESSION;
	q.from = from;
	q.below = below;
	q.limit = LIST_MAX;
	m->ask = ask_stored(m->a, STORED__TYPE__RECORDS_LIST, &q.base, STORED__TYPE__RECORD_NAMES,
	    &stored__record_names__descriptor, LIST_REPLY, ASK_DEADLINE_MS, listed, m);
}

struct lid_move *
lid_move_start(struct account *a, const struct person *p, lid_move_fn *fn, void *arg)
{
	struct lid_move *m = calloc(1, sizeof(*m));

	if (m == NULL)
		fatal("lid_move_start");
	m->a = a;
	m->p = *p;
	m->fn = fn;
	m->arg = arg;
	(void)jid_make(&m->who, p->lid, JID_LID, 0);
	list(m);
	return m;
}
