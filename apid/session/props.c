/* The switches that the service sets for its clients.
 *
 *	props_fetch -> answered -> written; and again when they are due
 */
#include "apid/session/props.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/iq.h"
#include "apid/session/unit.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/pb.h"

#define TABLE     "1" /* of this table: another one asks for all of them anew */
#define HASH_MAX  128
#define REFRESH_S 86400
#define LEAST_S   3600
#define MOST_S    (7 * 86400)
#define RETRY_S   3600
#define VALUE_MAX INT64_C(9007199254740992)

static const struct {
	unsigned code;
	int64_t fallback;
} known[] = {
    {PROPS_TOKEN_BUCKET, 604800},
    {PROPS_TOKEN_BUCKETS, 4},
    {PROPS_SENDER_BUCKET, 604800},
    {PROPS_SENDER_BUCKETS, 4},
    {PROPS_EDIT_WINDOW, 1200},
    {PROPS_LID_MIGRATION, 0},
    {PROPS_CAPPING, 0},
    {PROPS_CAPPING_LIFE, 3600},
    {PROPS_PEER_BY_LID, 0},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

struct props {
	struct account *a;
	int64_t value[KNOWN];
	int set[KNOWN]; /* else the fallback */
	char hash[HASH_MAX + 1];
	uint64_t iq;
	struct event *due;
};

static void
due(evutil_socket_t fd, short what, void *arg)
{
	props_fetch(((struct props *)arg)->a);
}

struct props *
props_new(struct account *a)
{
	struct props *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("props_new");
	p->a = a;
	if ((p->due = evtimer_new(a->svc->base, due, p)) == NULL)
		fatalx("props_new: no event");
	return p;
}

void
props_free(struct props *p)
{
	if (p == NULL)
		return;
	event_free(p->due);
	free(p);
}

static size_t
place(int64_t code)
{
	size_t i = 0;

	while (i < KNOWN && known[i].code != code)
		i++;
	return i;
}

int64_t
props_int(const struct account *a, unsigned code)
{
	size_t i = place(code);

	if (i == KNOWN)
		return 0;
	return a->props->set[i] ? a->props->value[i] : known[i].fallback;
}

/* ------------------------------------------------------------------ kept */

static void
forget(struct props *p)
{
	memset(p->set, 0, sizeof(p->set));
	p->hash[0] = '\0';
}

/* "1 865=604800 909=4" */
static void
put_text(const struct props *p, struct buf *b)
{
	buf_put_str(b, TABLE);
	for (size_t i = 0; i < KNOWN; i++)
		if (p->set[i])
			buf_printf(b, " %u=%lld", known[i].code, (long long)p->value[i]);
}

void
props_restore(struct account *a, const char *values, const char *hash)
{
	struct props *p = a->props;
	const char *s = values;
	char *end;

	forget(p);
	if (values == NULL || hash == NULL || strncmp(values, TABLE " ", sizeof(TABLE)) != 0 ||
	    strlen(hash) > HASH_MAX)
		return; /* all of them are asked for */
	while ((s = strchr(s, ' ')) != NULL) {
		long long code = strtoll(s + 1, &end, 10);
		size_t i = place(code);

		s = end;
		if (i == KNOWN || *end != '=')
			continue;
		p->value[i] = strtoll(end + 1, NULL, 10);
		p->set[i] = 1;
	}
	memcpy(p->hash, hash, strlen(hash) + 1);
}

static void
written(const struct unit_result *r, void *arg)
{
	struct props *p = arg;

	/* not written: the next start asks for what changed since the older hash */
	if (r->ok && props_int(p->a, PROPS_LID_MIGRATION) > 0)
		p->a->rec.lid_migrated = 1; /* once, never taken back (page 04, 9.2) */
}

static void
keep(struct props *p)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	struct unit *u = unit_open(p->a);
	struct buf b = BUF_INIT;

	put_text(p, &b);
	if (u != NULL && (rec.props = (char *)(uintptr_t)buf_cstr(&b)) != NULL) {
		rec.props_hash = p->hash;
		rec.has_lid_migrated = rec.lid_migrated = props_int(p->a, PROPS_LID_MIGRATION) > 0;
		unit_device(u, &rec);
		unit_commit(u, written, p);
	} else {
		unit_abort(u);
	}
	buf_clear(&b);
}

/* ------------------------------------------------------------------ asked for */

/* Numbers; of words those that mean yes or no (page 12, 18). -1: neither. */
static int
read_value(const struct node *n, int64_t *v)
{
	const char *text = node_get(n, "config_value");

	if (text == NULL)
		return -1;
	if (strcmp(text, "true") == 0 || strcmp(text, "enabled") == 0)
		*v = 1;
	else if (strcmp(text, "false") == 0 || strcmp(text, "disabled") == 0)
		*v = 0;
	else if ((*v = node_get_int(n, "config_value", VALUE_MAX)) < 0)
		return -1;
	return 0;
}

static void
take(struct props *p, const struct node *n)
{
	const char *delta = node_get(n, "delta_update"), *hash = node_get(n, "hash");
	int64_t v;
	size_t k;

	if (delta == NULL || strcmp(delta, "true") != 0)
		forget(p);
	for (size_t i = 0; i < n->nchildren; i++) {
		const struct node *c = n->children[i];

		k = node_is(c, "prop") ? place(node_get_int(c, "config_code", VALUE_MAX)) : KNOWN;
		if (k < KNOWN && (p->set[k] = read_value(c, &v) == 0))
			p->value[k] = v;
	}
	p->hash[0] = '\0';
	if (hash != NULL && strlen(hash) <= HASH_MAX)
		memcpy(p->hash, hash, strlen(hash) + 1);
}

static void
arm(struct props *p, int64_t s)
{
	struct timeval tv = {.tv_sec = (time_t)(s < LEAST_S ? LEAST_S : s > MOST_S ? MOST_S : s)};

	evtimer_add(p->due, &tv);
}

static void
answered(const struct iq_answer *r, void *arg)
{
	struct props *p = arg;
	const struct node *n = r->ok ? node_child(r->node, "props") : NULL;
	int64_t refresh;

	p->iq = 0;
	if (n == NULL) {
		if (r->ok || strcmp(r->why, "disconnected") != 0) {
			log_info("account %s: the service's switches could not be read: %s",
			    p->a->name, r->ok ? "none came" : r->why);
			arm(p, r->backoff_s > RETRY_S ? r->backoff_s : RETRY_S);
		}
		return;
	}
	take(p, n);
	keep(p);
	refresh = node_get_int(n, "refresh", MOST_S);
	arm(p, refresh > 0 ? refresh : REFRESH_S);
}

void
props_fetch(struct account *a)
{
	struct props *p = a->props;
	struct node *n, *q;

	if (p->iq != 0 || a->conn == 0 || !a->opened)
		return;
	n = iq_new("get", "abt");
	q = node_child_new(n, "props");
	node_set(q, "protocol", "1");
	if (p->hash[0] != '\0') /* only with the full set: the answer may be what changed */
		node_set(q, "hash", p->hash);
	p->iq = iq_request(a, n, IQ_TIMEOUT_MS, answered, p);
}

void
props_disconnected(struct account *a)
{
	iq_cancel(a, a->props->iq);
	a->props->iq = 0;
	evtimer_del(a->props->due); /* the next login asks */
}
