/* Sending that an operator or a client has stopped: of an account, or to one chat. Nothing is lost:
 * messages are accepted, and wait until it is released. Kept with the account. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/intent.h"
#include "apid/message/outbox_impl.h"
#include "common/clock.h"
#include "common/log.h"

#define STOPS_MAX 128u

struct stop {
	TAILQ_ENTRY(stop) link;
	char chat[STABLE_ID_LEN + 1]; /* stable id; "" = the whole account */
	char pn[JID_TEXT_MAX], lid[JID_TEXT_MAX];
	int64_t since_ms;
	uint32_t uid; /* who wanted it */
};

/* ------------------------------------------------------------------ what holds */

static struct stop *
find(const struct outbox *o, const char *chat)
{
	struct stop *s;

	TAILQ_FOREACH(s, &o->stops, link)
	if (strcmp(s->chat, chat) == 0)
		return s;
	return NULL;
}

int
outbox_is_stopped(const struct outbox *o, const char *chat)
{
	const struct stop *s;

	TAILQ_FOREACH(s, &o->stops, link)
	if (s->chat[0] == '\0' || (s->pn[0] != '\0' && outbox_same_chat(o->a, s->pn, chat)) ||
	    (s->lid[0] != '\0' && outbox_same_chat(o->a, s->lid, chat)))
		return 1;
	return 0;
}

size_t
outbox_stops(const struct account *a, int64_t *since_ms)
{
	const struct stop *s = TAILQ_FIRST(&a->outbox->stops);

	*since_ms = s != NULL ? s->since_ms : 0;
	return a->outbox->nstops;
}

json_t *
outbox_stops_list(const struct outbox *o)
{
	json_t *list = json_array();
	const struct stop *s;

	TAILQ_FOREACH(s, &o->stops, link)
	{
		json_t *h =
		    json_pack("{s:s, s:I, s:I}", "scope", s->chat[0] == '\0' ? "account" : "chat",
			"since_ms", (json_int_t)s->since_ms, "uid", (json_int_t)s->uid);

		if (s->chat[0] != '\0')
			json_object_set_new(h, "chat", json_string(s->chat));
		json_array_append_new(list, h);
	}
	return list;
}

/* ------------------------------------------------------------------ kept */

static void
drop(struct outbox *o, struct stop *s)
{
	TAILQ_REMOVE(&o->stops, s, link);
	o->nstops--;
	free(s);
}

static void
clear(struct outbox *o)
{
	while (!TAILQ_EMPTY(&o->stops))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		drop(o, TAILQ_FIRST(&o->stops));
}

static struct stop *
add(struct outbox *o, const struct stop *like)
{
	struct stop *s = malloc(sizeof(*s));

	if (s == NULL)
		fatal("outbox: hold");
	*s = *like;
	TAILQ_INSERT_TAIL(&o->stops, s, link);
	o->nstops++;
	return s;
}

char *
outbox_stops_text(const struct account *a, int people)
{
	json_t *list = json_array();
	const struct stop *s;
	char *text;

	TAILQ_FOREACH(s, &a->outbox->stops, link)
	if (people || s->chat[0] == '\0')
		json_array_append_new(list, json_pack("[s, s, s, I, I]", s->chat, s->pn, s->lid,
						(json_int_t)s->since_ms, (json_int_t)s->uid));
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	if (text == NULL)
		fatal("outbox: holds");
	return text;
}

void
outbox_stops_only_account(struct account *a)
{
	struct outbox *o = a->outbox;
	struct stop *s, *next;

	for (s = TAILQ_FIRST(&o->stops); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->chat[0] != '\0')
			drop(o, s);
	}
}

static int
word(const json_t *o, size_t i, char *out, size_t size)
{
	const char *text = json_string_value(json_array_get(o, i));

	return text != NULL && (size_t)snprintf(out, size, "%s", text) < size ? 0 : -1;
}

void
outbox_stops_load(struct account *a, const char *text)
{
	json_t *list = text == NULL ? NULL : json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const json_t *o;
	size_t i;

	clear(a->outbox);
	json_array_foreach(list, i, o)
	{
		struct stop s = {.since_ms = json_integer_value(json_array_get(o, 3)),
		    .uid = (uint32_t)json_integer_value(json_array_get(o, 4))};

		if (a->outbox->nstops < STOPS_MAX && word(o, 0, s.chat, sizeof(s.chat)) == 0 &&
		    word(o, 1, s.pn, sizeof(s.pn)) == 0 && word(o, 2, s.lid, sizeof(s.lid)) == 0)
			(void)add(a->outbox, &s);
	}
	if (text != NULL && text[0] != '\0' && !json_is_array(list))
		log_warnx("account %s: what is kept of its holds cannot be read", a->name);
	json_decref(list);
}

/* ------------------------------------------------------------------ outbox.hold, outbox.release */

struct wish {
	TAILQ_ENTRY(wish) link;
	struct account *a;
	struct call *call;
	struct contacts_request *lookup;
	int hold;
	struct stop stop;
	int wrote; /* what was learned of the person */
	struct jid who;
};

void
outbox_stops_free(struct outbox *o)
{
	struct wish *w, *next;

	clear(o);
	for (w = TAILQ_FIRST(&o->wishes); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		contacts_cancel(w->lookup);
		free(w);
	}
}

static void
done(const struct unit_result *r, void *arg)
{
	struct wish *w = arg;
	struct account *a = w->a;
	struct outbox *o = a->outbox;
	struct stop *s = find(o, w->stop.chat);

	if (w->wrote)
		contacts_written(a, &w->who, r->ok);
	if (!r->ok) {
		struct api_error e = api_error_store(r->reason);

		if (w->hold && s != NULL)
			drop(o, s);
		else if (!w->hold && s == NULL)
			(void)add(o, &w->stop);
		call_fail(w->call, &e);
	} else {
		log_notice("account %s: sending %s is %s by uid %u", a->name,
		    w->stop.chat[0] == '\0' ? "of all" : "to one chat",
		    w->hold ? "stopped" : "released", w->stop.uid);
		call_ok(w->call, json_pack("{s:b}", "ok", 1));
	}
	if (o->pass != PASS_OFF && !outbox_is_stopped(o, ""))
		outbox_pass_later(o, 1); /* from the start: what waited, also what was encrypted */
	free(w);
}

static void
wish_write(struct wish *w)
{
	struct account *a = w->a;
	struct outbox *o = a->outbox;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	struct stop *s = find(o, w->stop.chat);
	const char *jid = w->stop.lid[0] != '\0' ? w->stop.lid : w->stop.pn;
	json_t *body;
	struct unit *u;

	if ((s != NULL) == w->hold) { /* as it is */
		call_ok(w->call, json_pack("{s:b}", "ok", 1));
		free(w);
		return;
	}
	if ((w->hold && o->nstops >= STOPS_MAX) || (u = unit_open(a)) == NULL) {
		call_failf(w->call, -5, "overloaded", 1, "too many chats are held");
		free(w);
		return;
	}
	if (w->hold) {
		(void)add(o, &w->stop); /* at once: nothing more leaves */
	} else {
		w->stop.since_ms = s->since_ms;
		drop(o, s);
	}
	rec.outbox_holds = outbox_stops_text(a, 1);
	unit_device(u, &rec);
	free(rec.outbox_holds);
	body = json_pack("{s:s, s:I}", "scope", jid[0] == '\0' ? "account" : "chat", "depth",
	    (json_int_t)outbox_waiting(o, jid));
	if (jid[0] != '\0')
		json_object_set_new(body, "chat", json_string(w->stop.chat));
	if (w->hold)
		json_object_set_new(body, "reason", json_string("held"));
	unit_event(
	    u, w->hold ? "outbox.paused" : "outbox.resumed", "live", clock_wall_ms(), body, NULL);
	if (jid[0] != '\0')
		w->wrote = contacts_write(a, &w->who, u);
	unit_commit(u, done, w);
}

static void
wish_known(const struct person *people, size_t n, const Stored__LookupReply *lists, const char *why,
    void *arg)
{
	struct wish *w = arg;
	const struct person *p = &people[0];

	TAILQ_REMOVE(&w->a->outbox->wishes, w, link);
	w->lookup = NULL;
	if (why != NULL || p->id[0] == '\0') {
		struct api_error e = why != NULL
					 ? api_error_store(why)
					 : api_error_make(-1, "not_found", 0, "no such person");

		call_fail(w->call, &e);
		free(w);
		return;
	}
	if (p->pn[0] != '\0')
		(void)snprintf(w->stop.pn, sizeof(w->stop.pn), "%s@" JID_PN, p->pn);
	if (p->lid[0] != '\0')
		(void)snprintf(w->stop.lid, sizeof(w->stop.lid), "%s@" JID_LID, p->lid);
	(void)jid_parse(w->stop.lid[0] != '\0' ? w->stop.lid : w->stop.pn, &w->who);
	contacts_chat_id(&w->who, p, w->stop.chat);
	wish_write(w);
}

void
outbox_hold(struct account *a, const void *client, uint32_t uid, const char *chat, int on,
    engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	char text[JID_TEXT_MAX];
	const char *name = text;
	struct api_error e;
	struct wish *w;

	if (!a->opened) {
		e = api_error_closed(a);
		call_fail(c, &e);
		return;
	}
	if (chat != NULL && intent_person(chat, text, &e) == -1) {
		e.path = e.code == -32602 ? "chat" : NULL;
		call_fail(c, &e);
		return;
	}
	if ((w = calloc(1, sizeof(*w))) == NULL)
		fatal("outbox: hold");
	w->a = a;
	w->call = c;
	w->hold = on;
	w->stop.uid = uid;
	w->stop.since_ms = clock_wall_ms();
	if (chat == NULL) {
		wish_write(w);
		return;
	}
	TAILQ_INSERT_TAIL(&a->outbox->wishes, w, link);
	w->lookup = contacts_ask(a, &name, 1, 0, wish_known, w);
}
