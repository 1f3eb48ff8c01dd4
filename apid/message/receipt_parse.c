/* What an incoming <receipt> says. */
#include "apid/message/receipt_parse.h"

#include <stdlib.h>
#include <string.h>

#include "apid/message/ids.h"

#define TIME_MAX INT64_C(99999999999)

static const struct {
	const char *type, *status;
	int self; /* between own devices only */
} words[] = {
    {"", "delivered", 0},
    {"inactive", "delivered", 0},
    {"read", "read", 0},
    {"read-self", "read", 1},
    {"played", "played", 0},
    {"played-self", "played", 1},
};

/* The words that say something of a message; NULL for the others. */
static const char *
status_of(const char *type, int *self)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(type != NULL ? type : "", words[i].type) == 0) {
			*self = words[i].self;
			return words[i].status;
		}
	return NULL;
}

static int
is_one_of(const char *type, const char *const *list)
{
	for (; type != NULL && *list != NULL; list++)
		if (strcmp(type, *list) == 0)
			return 1;
	return 0;
}

static void
add(struct receipt_facts *f, const char *id, size_t party, const char *status, int64_t time_ms)
{
	struct receipt_update *u = &f->updates[f->nupdates];

	if (id == NULL || !message_id_ok(id))
		return;
	u->id = id;
	u->party = party;
	u->status = status;
	u->time_ms = time_ms;
	f->nupdates++;
}

/* ------------------------------------------------------------------ one party, several ids */

static int
take_list(struct receipt_facts *f, const struct node *n, const struct jid *party,
    const char *status, int64_t time_ms)
{
	const struct node *list = node_child(n, "list");
	size_t max = 1 + (list != NULL ? list->nchildren : 0);

	if (max > RECEIPT_UPDATES_MAX)
		return 0;
	f->parties = calloc(1, sizeof(*f->parties));
	f->updates = calloc(max, sizeof(*f->updates));
	if (f->parties == NULL || f->updates == NULL)
		return -1;
	f->parties[0].jid = *party;
	f->nparties = 1;
	add(f, node_get(n, "id"), 0, status, time_ms);
	for (size_t i = 0; list != NULL && i < list->nchildren; i++)
		if (node_is(list->children[i], "item"))
			add(f, node_get(list->children[i], "id"), 0, status, time_ms);
	return 0;
}

/* ------------------------------------------------------------------ one id, several parties */

static size_t
count_users(const struct node *n)
{
	size_t users = 0;

	for (size_t i = 0; i < n->nchildren; i++)
		if (node_is(n->children[i], "participants"))
			users += n->children[i]->nchildren;
	return users;
}

static void
take_user(const struct account *a, struct receipt_facts *f, const struct node *user, const char *id,
    const char *type, int64_t time_ms)
{
	struct receipt_party *p = &f->parties[f->nparties];
	const char *own_type = node_get(user, "type"), *status;
	int64_t t = node_get_int(user, "t", TIME_MAX);
	int self = 0;

	status = status_of(own_type != NULL ? own_type : type, &self);
	if (!node_is(user, "user") || node_get_jid(user, "jid", &p->jid) == -1 ||
	    p->jid.user[0] == '\0' || status == NULL || self)
		return;
	p->jid = jid_bare(&p->jid);
	if (account_is_own(a, &p->jid)) /* says nothing of the others */
		return;
	p->has_alt = node_get_jid(user, "participant_pn", &p->alt) == 0 && jid_is_pn(&p->alt) &&
		     jid_is_lid(&p->jid);
	if (p->has_alt)
		p->alt = jid_bare(&p->alt);
	add(f, id, f->nparties, status, t > 0 ? t * 1000 : time_ms);
	f->nparties++;
}

static int
take_participants(const struct account *a, struct receipt_facts *f, const struct node *n,
    const char *type, int64_t time_ms)
{
	size_t max = count_users(n);

	if (max == 0 || max > RECEIPT_UPDATES_MAX)
		return 0;
	f->parties = calloc(max, sizeof(*f->parties));
	f->updates = calloc(max, sizeof(*f->updates));
	if (f->parties == NULL || f->updates == NULL)
		return -1;
	for (size_t i = 0; i < n->nchildren; i++) {
		const struct node *p = n->children[i];
		const char *id = node_get(p, "message_id");

		if (id == NULL)
			id = node_get(p, "key");
		if (id == NULL)
			id = node_get(n, "id");
		for (size_t k = 0; node_is(p, "participants") && k < p->nchildren; k++)
			take_user(a, f, p->children[k], id, type, time_ms);
	}
	return 0;
}

/* ------------------------------------------------------------------ the whole */

/* From, or participant in groups: who has it; and the chat. -1: nothing to tell of it. */
static int
take_party(
    const struct account *a, const struct node *n, struct jid *chat, struct jid *party, int *own)
{
	struct jid from, j;

	if (node_get_jid(n, "from", &from) == -1 || from.user[0] == '\0')
		return -1;
	*chat = *party = jid_bare(&from);
	if (jid_on(&from, JID_GROUP) || jid_on(&from, JID_BROADCAST)) {
		if (node_get_jid(n, "participant", &j) == -1 || j.user[0] == '\0')
			return -1;
		*party = jid_bare(&j);
	}
	*own = account_is_own(a, party);
	if (*own && node_get_jid(n, "recipient", &j) == 0 && j.user[0] != '\0')
		*chat = jid_bare(&j);
	return 0;
}

static int
parse_status(const struct account *a, const struct node *n, const char *status, int self,
    int64_t time_ms, struct receipt_facts *f)
{
	struct jid party;
	int own, r;

	if (node_child(n, "participants") != NULL) {
		if (node_get_jid(n, "from", &f->chat) == -1 || f->chat.user[0] == '\0')
			return 0;
		f->chat = jid_bare(&f->chat);
		f->kind = RECEIPT_STATUS;
		r = take_participants(a, f, n, node_get(n, "type"), time_ms);
	} else {
		if (take_party(a, n, &f->chat, &party, &own) == -1 || (self && !own))
			return 0;
		f->kind = own ? RECEIPT_OWN : RECEIPT_STATUS;
		/* that an own device has it, or that a device cannot show it, is no delivery */
		if ((own && strcmp(status, "delivered") == 0) || node_child(n, "error") != NULL) {
			f->kind = RECEIPT_SILENT;
			return 0;
		}
		r = take_list(f, n, &party, status, time_ms);
	}
	if (f->nupdates == 0)
		f->kind = RECEIPT_UNKNOWN;
	return r;
}

int
receipt_parse(
    const struct account *a, const struct node *n, int64_t time_ms, struct receipt_facts *f)
{
	static const char *const own_devices[] = {"sender", "peer_msg", "hist_sync", NULL};
	const char *type = node_get(n, "type"), *status;
	int self = 0;

	memset(f, 0, sizeof(*f));
	f->kind = RECEIPT_UNKNOWN;
	if (node_child(n, "offer") != NULL) /* a call rings over there */
		f->kind = RECEIPT_SILENT;
	else if ((status = status_of(type, &self)) != NULL)
		return parse_status(a, n, status, self, time_ms, f);
	else if (strcmp(type, "retry") == 0)
		f->kind = RECEIPT_RETRY;
	else if (strcmp(type, "enc_rekey_retry") == 0)
		f->kind = RECEIPT_CALL;
	else if (is_one_of(type, own_devices))
		f->kind = RECEIPT_SILENT;
	return 0;
}

void
receipt_facts_clear(struct receipt_facts *f)
{
	free(f->parties);
	free(f->updates);
	memset(f, 0, sizeof(*f));
}
