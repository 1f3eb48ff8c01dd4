/* Trusted-contact tokens: giving ours to people, and throwing away what has expired.
 *
 *	issue -> issue_answered -> issue_written
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <sodium.h>

#include "apid/message/intent.h"
#include "apid/message/tctoken.h"
#include "apid/session/ask.h"
#include "apid/session/call.h"
#include "apid/session/iq.h"
#include "common/log.h"

#define ISSUES_MAX 64u  /* of one account at a time */
#define RECENT_MAX 256u /* people to whom it was given last */
#define PRUNE_S    86400

static void issue_end(struct flow *f, const char *outcome, const char *text);
static const struct flow_kind issue_kind = {"tctoken_issue", issue_end};

struct issue {
	struct flow f; /* first */
	TAILQ_ENTRY(issue) link;
	struct account *a;
	struct call *call; /* who asked, or NULL */
	struct contacts_request *lookup;
	struct person people[TCTOKEN_PEOPLE_MAX];
	char user[TCTOKEN_PEOPLE_MAX][JID_TEXT_MAX];
	size_t n;
	int64_t t;
	uint64_t iq;
	struct unit *unit;
};

struct tctokens {
	struct account *a;
	TAILQ_HEAD(issue_list, issue) list;
	size_t n;
	struct recent { /* written, but a send that was under way may not have seen it */
		char user[JID_TEXT_MAX];
		int64_t t;
	} recent[RECENT_MAX];
	unsigned next_recent;
	struct event *prune;
};

/* ------------------------------------------------------------------ expiry */

static void
pruned(const struct unit_result *r, void *arg)
{
	struct account *a = arg;

	if (r->ok && r->expired > 0)
		log_info("account %s: %llu tokens have expired", a->name,
		    (unsigned long long)r->expired);
}

static void
prune(evutil_socket_t fd, short what, void *arg)
{
	struct tctokens *t = arg;
	struct account *a = t->a;
	struct timeval day = {PRUNE_S, 0};
	struct unit *u;

	evtimer_add(t->prune, &day);
	if (!a->opened || (u = unit_open(a)) == NULL)
		return; /* the next day will do */
	unit_token_expire(
	    u, tctoken_cutoff_s(a, TCTOKEN_THEIRS), tctoken_cutoff_s(a, TCTOKEN_OURS));
	unit_commit(u, pruned, a);
}

/* ------------------------------------------------------------------ life */

struct tctokens *
tctokens_new(struct account *a)
{
	struct tctokens *t = calloc(1, sizeof(*t));

	if (t == NULL)
		fatal("tctokens_new");
	t->a = a;
	TAILQ_INIT(&t->list);
	if ((t->prune = evtimer_new(a->svc->base, prune, t)) == NULL)
		fatalx("tctokens_new: no event");
	return t;
}

void
tctokens_free(struct tctokens *t)
{
	if (t == NULL)
		return;
	while (!TAILQ_EMPTY(&t->list))
		flow_end(&TAILQ_FIRST(&t->list)->f, "cancelled", "stopping");
	event_free(t->prune);
	free(t);
}

void
tctokens_reset(struct account *a)
{
	memset(a->tokens->recent, 0, sizeof(a->tokens->recent));
	sodium_memzero(a->rec.nct_salt, sizeof(a->rec.nct_salt));
	a->rec.nct_salt_len = 0;
}

void
tctokens_online(struct account *a)
{
	prune(-1, 0, a->tokens);
}

void
tctokens_disconnected(struct account *a)
{
	evtimer_del(a->tokens->prune);
}

/* ------------------------------------------------------------------ one issue */

static struct issue *
issue_new(struct account *a)
{
	struct tctokens *t = a->tokens;
	struct issue *is;

	if (t->n >= ISSUES_MAX || (is = calloc(1, sizeof(*is))) == NULL)
		return NULL;
	flow_init(&is->f, a->svc->flows, &issue_kind, a->name, NULL, 0);
	is->a = a;
	TAILQ_INSERT_TAIL(&t->list, is, link);
	t->n++;
	return is;
}

static void
issue_end(struct flow *f, const char *outcome, const char *text)
{
	struct issue *is = (struct issue *)f;
	struct tctokens *t = is->a->tokens;

	if (outcome != NULL && strcmp(outcome, "cancelled") != 0)
		log_debug("account %s: a token was not given: %s", is->a->name, text);
	contacts_cancel(is->lookup);
	iq_cancel(is->a, is->iq);
	unit_detach(is->unit);
	TAILQ_REMOVE(&t->list, is, link);
	t->n--;
	free(is);
}

static void
issue_failed(struct issue *is, const struct api_error *e)
{
	call_fail(is->call, e);
	is->call = NULL;
	flow_end(&is->f, e->reason, e->message);
}

static void
remember(struct tctokens *t, const char *user, int64_t at)
{
	struct recent *r = &t->recent[t->next_recent++ % RECENT_MAX];

	(void)snprintf(r->user, sizeof(r->user), "%s", user);
	r->t = at;
}

static json_t *
issued(const struct issue *is)
{
	json_t *list = json_array();

	for (size_t i = 0; i < is->n; i++)
		json_array_append_new(
		    list, json_pack("{s:o, s:I}", "party", contacts_party(&is->people[i]),
			      "time_ms", (json_int_t)is->t * 1000));
	return json_pack("{s:o}", "tokens", list);
}

static void
issue_written(const struct unit_result *r, void *arg)
{
	struct issue *is = arg;
	struct api_error e;

	is->unit = NULL;
	if (!r->ok) { /* given, but not known to be: it is given once more, which does no harm */
		e = api_error_store(r->reason);
		issue_failed(is, &e);
		return;
	}
	for (size_t i = 0; i < is->n; i++)
		remember(is->a->tokens, is->user[i], is->t);
	call_ok(is->call, issued(is));
	flow_end(&is->f, NULL, NULL);
}

static struct api_error
refusal(const struct iq_answer *r)
{
	if (strcmp(r->why, "timeout") == 0)
		return api_error_make(
		    -11, "outcome_unknown", 1, "the service did not answer in time");
	if (strcmp(r->why, "error") == 0)
		return api_error_make(r->code == 429 ? -5 : -3,
		    r->code == 429 ? "rate_limited" : "server_error", 1,
		    "the service did not take the tokens");
	return api_error_make(-3, "offline", 1, "there is no connection to the service");
}

/* The result may bring theirs in return (page 09, 7.3). */
static void
take_answer(const struct account *a, struct unit *u, const struct node *n)
{
	const struct node *list = n == NULL ? NULL : node_child(n, "tokens");

	for (size_t i = 0; list != NULL && i < list->nchildren && i < TCTOKEN_PEOPLE_MAX; i++) {
		const struct node *c = list->children[i];
		int64_t t = node_get_int(c, "t", INT64_C(99999999999));
		char user[JID_TEXT_MAX];
		struct jid j;

		if (!c->has_bytes || c->nbytes == 0 || c->nbytes > TCTOKEN_MAX || t < 0 ||
		    node_get_jid(c, "jid", &j) == -1 || (!jid_is_lid(&j) && !jid_is_pn(&j)))
			continue;
		j = jid_bare(&j);
		unit_token_received(
		    u, jid_format(&j, user), c->bytes, c->nbytes, tctoken_time(a, t));
	}
}

static void
issue_answered(const struct iq_answer *r, void *arg)
{
	struct issue *is = arg;
	struct api_error e;

	is->iq = 0;
	if (!r->ok) {
		e = refusal(r);
		issue_failed(is, &e);
		return;
	}
	if ((is->unit = unit_open(is->a)) == NULL) {
		e = api_error_make(-2, "internal", 1, "out of memory");
		issue_failed(is, &e);
		return;
	}
	flow_step(&is->f, "issue_written");
	for (size_t i = 0; i < is->n; i++)
		unit_token_touch(is->unit, is->user[i], is->t);
	take_answer(is->a, is->unit, r->node);
	unit_commit(is->unit, issue_written, is);
}

/* To all of its people, with the time t. */
static void
issue(struct issue *is, int64_t t)
{
	struct node *n = iq_new("set", "privacy"), *list = node_child_new(n, "tokens");

	is->t = t;
	for (size_t i = 0; i < is->n; i++) {
		struct node *c = node_child_new(list, "token");
		struct jid j;

		if (jid_parse(is->user[i], &j) == 0)
			node_set_jid(c, "jid", &j);
		node_setf(c, "t", "%lld", (long long)t);
		node_set(c, "type", "trusted_contact");
	}
	flow_step(&is->f, "issue_answered");
	is->iq = iq_request(is->a, n, IQ_TIMEOUT_MS, issue_answered, is);
}

static void
issue_to(struct account *a, const struct person *p, const char *user, int64_t t)
{
	struct issue *is = issue_new(a);

	if (is == NULL)
		return; /* with the next message to him */
	is->n = 1;
	is->people[0] = *p;
	(void)snprintf(is->user[0], sizeof(is->user[0]), "%s", user);
	issue(is, t);
}

/* ------------------------------------------------------------------ when */

static int
in_flight(const struct tctokens *t, const char *user)
{
	const struct issue *is;

	TAILQ_FOREACH(is, &t->list, link)
	for (size_t i = 0; i < is->n; i++)
		if (strcmp(is->user[i], user) == 0)
			return 1;
	return 0;
}

/* The last time of all that is known; -1: never. */
static int64_t
last_time(const struct tctokens *t, const char *user, const struct tctoken *known)
{
	int64_t last = known->has_sender ? known->sender_s : -1;

	for (unsigned i = 0; i < RECENT_MAX; i++)
		if (t->recent[i].t > last && strcmp(t->recent[i].user, user) == 0)
			last = t->recent[i].t;
	return last;
}

void
tctoken_sent(struct account *a, const struct person *p, const struct tctoken *known)
{
	int64_t now = account_server_time(a), last;
	char user[JID_TEXT_MAX];
	struct jid j;

	if (a->conn == 0 || tctoken_user(p, user) == -1 || jid_parse(user, &j) == -1 ||
	    !tctoken_is_for(a, &j) || in_flight(a->tokens, user))
		return;
	last = last_time(a->tokens, user, known);
	if (last >= 0 &&
	    tctoken_bucket(a, TCTOKEN_OURS, now) <= tctoken_bucket(a, TCTOKEN_OURS, last))
		return;
	issue_to(a, p, user, now);
}

struct again {
	struct account *a;
	struct person p;
};

static void
again(const struct tctoken *t, void *arg)
{
	struct again *g = arg;
	struct account *a = g->a;
	char user[JID_TEXT_MAX];

	if (t->has_sender && t->sender_s >= tctoken_cutoff_s(a, TCTOKEN_OURS) && a->conn != 0 &&
	    tctoken_user(&g->p, user) == 0 && !in_flight(a->tokens, user))
		issue_to(a, &g->p, user, t->sender_s);
	free(g);
}

void
tctoken_identity_changed(struct account *a, const struct person *p)
{
	struct again *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return;
	g->a = a;
	g->p = *p;
	(void)tctoken_find(a, p, again, g);
}

/* ------------------------------------------------------------------ a client asks */

static void
people_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct issue *is = arg;
	struct api_error e = {0};
	struct jid j;

	is->lookup = NULL;
	if (why != NULL)
		e = api_error_store(why);
	for (size_t i = 0; why == NULL && i < n && e.code == 0; i++) {
		is->people[i] = people[i];
		if (people[i].id[0] == '\0' || tctoken_user(&people[i], is->user[i]) == -1 ||
		    jid_parse(is->user[i], &j) == -1)
			e = api_error_make(-1, "not_found", 0, "no such person");
		else if (!tctoken_is_for(is->a, &j))
			e = api_error_make(-1, "unsupported", 0, "no token is for him");
		e.path = e.code != 0 ? "parties" : NULL;
	}
	if (e.code == 0 && is->a->conn == 0)
		e = api_error_make(-3, "offline", 1, "there is no connection to the service");
	if (e.code != 0) {
		issue_failed(is, &e);
		return;
	}
	is->n = n;
	issue(is, account_server_time(is->a));
}

void
privacy_tokens_issue(struct account *a, const void *client, const char *const *parties, size_t n,
    engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	char text[TCTOKEN_PEOPLE_MAX][JID_TEXT_MAX];
	const char *names[TCTOKEN_PEOPLE_MAX];
	struct api_error e;
	struct issue *is;

	for (size_t i = 0; i < n && i < TCTOKEN_PEOPLE_MAX; i++) {
		names[i] = text[i];
		if (intent_person(parties[i], text[i], &e) == -1) {
			e.path = "parties";
			call_fail(c, &e);
			return;
		}
	}
	if (!a->opened || !a->logged_in) {
		e = a->opened
			? api_error_make(-3, "offline", 1, "there is no connection to the service")
			: api_error_closed(a);
		call_fail(c, &e);
		return;
	}
	if (n > TCTOKEN_PEOPLE_MAX || (is = issue_new(a)) == NULL) {
		call_failf(c, -5, "overloaded", 1, "too much is under way");
		return;
	}
	is->call = c;
	flow_step(&is->f, "people_known");
	is->lookup = contacts_ask(a, names, n, 0, people_known, is);
}
