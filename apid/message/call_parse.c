/* What a <call> says to a device that takes no calls. */
#include "apid/message/call_parse.h"

#include <string.h>

#define DURATION_MAX INT64_C(31536000)
#define LATENCY_MAX  INT64_C(86400000)

static const struct {
	const char *tag;
	enum call_kind kind;
	int typed_ack; /* page 12, 17 */
} actions[] = {
    {"offer", CALL_OFFER, 0},
    {"offer_notice", CALL_NOTICE, 0},
    {"preaccept", CALL_PREACCEPT, 0},
    {"accept", CALL_ACCEPT, 0},
    {"reject", CALL_REJECT, 0},
    {"terminate", CALL_TERMINATE, 0},
    {"transport", CALL_SIGNAL, 0},
    {"relaylatency", CALL_SIGNAL, 0},
    {"mute_v2", CALL_SIGNAL, 0},
    {"heartbeat", CALL_SIGNAL, 0},
    {"group_update", CALL_SIGNAL, 0},
    {"enc_rekey", CALL_SIGNAL, 0},
    {"video", CALL_SIGNAL, 1},
    {"waiting_room_update", CALL_SIGNAL, 1},
    {"user_action", CALL_SIGNAL, 1},
    {"screen_share", CALL_SIGNAL, 1},
};

/* A reason is a word that goes into an event. */
static const char *
word(const char *s)
{
	return s != NULL && s[0] != '\0' && strlen(s) <= 64 &&
		       s[strspn(s,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] ==
			   '\0'
		   ? s
		   : NULL;
}

static int
call_id_ok(const char *id)
{
	size_t len = id == NULL ? 0 : strlen(id);

	for (size_t i = 0; i < len; i++)
		if (id[i] <= ' ' || id[i] > '~')
			return 0;
	return len > 0 && len <= CALL_ID_MAX;
}

static int
was_missed(const char *reason)
{
	return reason == NULL || strcmp(reason, "timeout") == 0 ||
	       strcmp(reason, "group_call_ended") == 0;
}

static void
take_offer(const struct node *action, struct call_facts *f)
{
	const char *media = node_get(action, "media"), *type = node_get(action, "type"),
		   *joinable = node_get(action, "joinable");

	f->video =
	    node_child(action, "video") != NULL || (media != NULL && strcmp(media, "video") == 0);
	f->has_group = node_get_jid(action, "group-jid", &f->group) == 0 &&
		       jid_on(&f->group, JID_GROUP) && f->group.user[0] != '\0';
	f->is_group = f->has_group || (type != NULL && strcmp(type, "group") == 0);
	f->joinable = joinable != NULL && strcmp(joinable, "1") == 0;
	f->has_caller_pn = node_get_jid(action, "caller_pn", &f->caller_pn) == 0 &&
			   jid_is_pn(&f->caller_pn) && f->caller_pn.user[0] != '\0';
}

void
call_parse(const struct account *a, const struct node *n, struct call_facts *f)
{
	const struct node *action = n->nchildren > 0 ? n->children[0] : NULL;
	const char *id;

	memset(f, 0, sizeof(*f));
	f->kind = CALL_UNKNOWN;
	f->bare_ack = 1;
	f->duration_s = f->latency_ms = -1;
	f->offline = node_get(n, "offline") != NULL;
	if (action == NULL)
		return;
	f->action = action;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (node_is(action, actions[i].tag)) {
			f->kind = actions[i].kind;
			f->bare_ack = !actions[i].typed_ack;
		}
	id = node_get(action, "call-id");
	if (f->kind == CALL_UNKNOWN || !call_id_ok(id) || node_get_jid(n, "from", &f->from) == -1 ||
	    f->from.user[0] == '\0') {
		f->kind = CALL_UNKNOWN;
		return;
	}
	memcpy(f->id, id, strlen(id) + 1);
	if (node_get_jid(action, "call-creator", &f->creator) == -1 || f->creator.user[0] == '\0')
		f->creator = f->from;
	f->reason = word(node_get(action, "reason"));
	f->missed = f->kind == CALL_TERMINATE && was_missed(node_get(action, "reason"));
	f->duration_s = node_get_int(action, "duration", DURATION_MAX);
	f->latency_ms = node_get_int(action, "latency", LATENCY_MAX);
	if (f->kind == CALL_OFFER || f->kind == CALL_NOTICE)
		take_offer(action, f);
}
