/* What a <presence> and a <chatstate> say. */
#include "apid/session/presence_parse.h"

#include <string.h>

#define TIME_MAX  INT64_C(99999999999)
#define COUNT_MAX 10000000

const char *const typing_words[TYPING_STATES] = {"paused", "composing", "recording"};

/* A person or a group, and not ourselves. */
static int
is_other(const struct account *a, const struct jid *j)
{
	if (j->user[0] == '\0' || account_is_own(a, j))
		return 0;
	return jid_is_pn(j) || jid_is_lid(j) || jid_on(j, JID_GROUP);
}

int
presence_parse(const struct account *a, const struct node *n, struct presence_facts *out)
{
	const char *type = node_get(n, "type"), *last = node_get(n, "last");
	int64_t t = node_get_int(n, "last", TIME_MAX);

	memset(out, 0, sizeof(*out));
	if (node_get_jid(n, "from", &out->from) == -1 || !is_other(a, &out->from) ||
	    (type != NULL && strcmp(type, "available") != 0 && strcmp(type, "unavailable") != 0))
		return -1;
	out->from = jid_bare(&out->from);
	out->group = jid_on(&out->from, JID_GROUP);
	out->available = type == NULL || strcmp(type, "available") == 0;
	out->hidden = last != NULL && strcmp(last, "deny") == 0;
	out->last_seen_ms = t > 0 ? t * 1000 : -1;
	out->count = out->group ? node_get_int(n, "count", COUNT_MAX) : -1;
	return 0;
}

int
typing_parse(const struct account *a, const struct node *n, struct typing_facts *out)
{
	const struct node *c = n->nchildren == 1 ? n->children[0] : NULL;
	const char *media;

	memset(out, 0, sizeof(*out));
	if (c == NULL || node_get_jid(n, "from", &out->chat) == -1 || !is_other(a, &out->chat))
		return -1;
	out->chat = out->party = jid_bare(&out->chat);
	if (jid_on(&out->chat, JID_GROUP)) {
		if (node_get_jid(n, "participant", &out->party) == -1 ||
		    !is_other(a, &out->party) || jid_on(&out->party, JID_GROUP))
			return -1;
		out->party = jid_bare(&out->party);
	}
	media = node_get(c, "media");
	if (node_is(c, "composing"))
		out->state = media != NULL && strcmp(media, "audio") == 0 ? TYPING_RECORDING
									  : TYPING_COMPOSING;
	else if (!node_is(c, "paused"))
		return -1;
	return 0;
}
