/* The events that a call becomes. */
#include <stdio.h>
#include <string.h>

#include "apid/message/calls_impl.h"
#include "apid/session/stanza.h"

#define TEXT_MAX   64 /* of what a caller says of itself */
#define CODECS_MAX 16u

/* Every step of a call is told once, by whichever device it comes. */
static void
call_key(char key[256], const struct call_facts *f, const char *who, const char *what)
{
	(void)snprintf(key, 256, "c:%s:%s:%s", f->id, who, what);
}

static void
set_text(json_t *o, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0' && strlen(value) <= TEXT_MAX)
		json_object_set_new(o, name, json_string(value)); /* no UTF-8: left out */
}

static json_t *
codecs(const struct node *action)
{
	json_t *list = json_array();

	for (size_t i = 0; i < action->nchildren; i++) {
		const struct node *c = action->children[i];
		const char *enc = node_get(c, "enc"), *rate = node_get(c, "rate");
		char text[2 * TEXT_MAX + 2];

		if (!node_is(c, "audio") || enc == NULL || strlen(enc) > TEXT_MAX ||
		    json_array_size(list) >= CODECS_MAX)
			continue;
		(void)snprintf(text, sizeof(text), "%s%s%.*s", enc, rate != NULL ? "/" : "",
		    TEXT_MAX, rate != NULL ? rate : "");
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *
call_object(const struct account *a, const struct call_facts *f, const struct node *n,
    const struct person *from)
{
	char creator[JID_TEXT_MAX], chat[STABLE_ID_LEN + 1];
	json_t *o = json_pack("{s:s, s:o, s:s, s:b, s:b, s:b, s:b}", "call_id", f->id, "from",
	    contacts_party(from), "creator", jid_format(&f->creator, creator), "video", f->video,
	    "group", f->is_group, "offline", f->offline, "joinable", f->joinable);
	struct jid bare = jid_bare(&f->from);
	json_t *list;

	contacts_chat_id(f->has_group ? &f->group : &bare, f->has_group ? NULL : from, chat);
	json_object_set_new(o, "chat", json_string(chat));
	set_text(o, "platform", node_get(n, "platform"));
	set_text(o, "version", node_get(n, "version"));
	set_text(o, "country", node_get(f->action, "caller_country_code"));
	list = codecs(f->action);
	if (json_array_size(list) > 0)
		json_object_set(o, "codecs", list);
	json_decref(list);
	return o;
}

static void
state_event(struct unit *u, const struct account *a, const struct call_facts *f,
    const struct node *n, const struct person *from, const char *state)
{
	json_t *o = json_pack(
	    "{s:s, s:o, s:s}", "call_id", f->id, "from", contacts_party(from), "state", state);
	char key[256], accepted[256], rejected[256];
	const char *unless[2] = {accepted, rejected};
	/* missed and ended are of the call; the others of whoever did it */
	int whole = strcmp(state, "missed") == 0 || strcmp(state, "ended") == 0;
	struct jid bare = jid_bare(&f->from);
	char who[JID_TEXT_MAX];

	if (f->reason != NULL)
		json_object_set_new(o, "reason", json_string(f->reason));
	if (f->kind == CALL_TERMINATE && f->duration_s >= 0)
		json_object_set_new(o, "duration_s", json_integer(f->duration_s));
	(void)jid_format(&bare, who);
	call_key(key, f, whole ? "" : who, state);
	call_key(accepted, f, "", "taken");
	call_key(rejected, f, "", "refused");
	unit_event_unless(u, "call.state", stanza_origin(n), stanza_time_ms(a, n), o, key, unless,
	    strcmp(state, "missed") == 0 ? 2 : 0);
}

static void
offer_event(struct unit *u, const struct account *a, const struct call_facts *f,
    const struct node *n, const struct person *from)
{
	char key[256];

	call_key(key, f, "", "offer");
	unit_event(u, "call.offer", stanza_origin(n), stanza_time_ms(a, n),
	    json_pack("{s:o, s:b}", "call", call_object(a, f, n, from), "notice_only",
		f->kind == CALL_NOTICE),
	    key);
	if (f->offline) /* it rang while nobody was here */
		state_event(u, a, f, n, from, "missed");
}

void
call_event(struct unit *u, const struct account *a, const struct call_facts *f,
    const struct node *n, const struct person *from, int taken)
{
	char key[256];

	switch (f->kind) {
	case CALL_OFFER:
	case CALL_NOTICE:
		offer_event(u, a, f, n, from);
		break;
	case CALL_PREACCEPT:
		state_event(u, a, f, n, from, "preaccepted");
		break;
	case CALL_ACCEPT:
		call_key(key, f, "", "taken");
		unit_mark(u, key);
		state_event(u, a, f, n, from, "accepted");
		break;
	case CALL_REJECT:
		/* "busy" speaks for one device only */
		if (f->reason == NULL || strcmp(f->reason, "busy") != 0) {
			call_key(key, f, "", "refused");
			unit_mark(u, key);
		}
		state_event(u, a, f, n, from, "rejected");
		break;
	case CALL_TERMINATE:
		state_event(u, a, f, n, from, f->missed && !taken ? "missed" : "ended");
		break;
	case CALL_SIGNAL:
	case CALL_UNKNOWN:
		break;
	}
}
