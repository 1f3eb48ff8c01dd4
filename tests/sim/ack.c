/* Acks of messages, and what may be wrong with them on purpose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/ack.h"
#include "tests/sim/conn.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"

static const char *const names[ACK_HOWS] = {
    "good", "error", "error_after", "late", "none", "other_id", "phash", "refresh_lid"};

/* What the message that is being handled gets. */
static struct ack_plan now;

int
ack_forge(struct account *a, const json_t *o, const char **why)
{
	const char *how = json_string_value(json_object_get(o, "how"));
	const char *to = json_string_value(json_object_get(o, "to"));
	const json_t *code = json_object_get(o, "code"), *ms = json_object_get(o, "ms");
	const json_t *count = json_object_get(o, "count");
	struct ack_plan p = {.code = (int)json_integer_value(code),
	    .ms = (unsigned)json_integer_value(ms),
	    .left = count == NULL ? 1 : (unsigned)json_integer_value(count)};

	*why = "how: good, error, error_after, late, none, other_id, phash or refresh_lid; code, "
	       "ms, count, to";
	p.limited = p.left != 0;
	while (p.how < ACK_HOWS && (how == NULL || strcmp(names[p.how], how) != 0))
		p.how++;
	if (p.how == ACK_HOWS || (code != NULL && (p.code < 1 || p.code > 999)) ||
	    ((p.how == ACK_ERROR || p.how == ACK_ERROR_AFTER) && p.code == 0))
		return -1;
	snprintf(p.to, sizeof(p.to), "%s", to != NULL ? to : "");
	a->ack = p;
	return 0;
}

enum ack_how
ack_next(const struct device *from, const struct jid *to, int counts, int *code)
{
	struct ack_plan *p = &from->account->ack;
	const struct account *dest = account_of(to);

	memset(&now, 0, sizeof(now));
	*code = 0;
	if (!counts || p->how == ACK_GOOD || (p->limited && p->left == 0) || from->id == 0 ||
	    (p->to[0] != '\0' &&
		(dest == NULL || (strcmp(p->to, dest->pn) != 0 && strcmp(p->to, dest->lid) != 0))))
		return ACK_GOOD;
	if (p->limited)
		p->left--;
	now = *p;
	*code = p->code;
	return (enum ack_how)p->how;
}

struct late {
	struct jid jid;
	struct node *ack;
};

static void
late_free(void *arg)
{
	struct late *l = arg;

	node_free(l->ack);
	free(l);
}

static void
late_send(void *arg)
{
	struct late *l = arg;
	struct device *d = account_device_of(&l->jid);

	if (d != NULL && d->conn != NULL)
		conn_send(d->conn, l->ack);
	late_free(l);
}

static void
send_late(struct origin *o, struct node *a)
{
	struct late *l = calloc(1, sizeof(*l));

	if (l == NULL)
		fatal("late ack");
	l->jid = device_jid(o->dev, 0);
	l->ack = a;
	loop_after(now.ms, late_send, l, late_free);
}

void
ack_send(struct origin *o, const struct node *n, const struct jid *to, int error, const char *phash)
{
	struct node *a = node_new("ack");

	if (error == 0 && now.how == ACK_ERROR_AFTER)
		error = now.code;
	node_set(a, "class", "message");
	if (now.how == ACK_OTHER_ID)
		node_set(a, "id", "3EB0000000000000000000");
	else
		nodes_copy_attr(a, n, "id");
	node_set_jid(a, "from", to);
	nodes_copy_attr(a, n, "participant");
	node_setf(a, "t", "%lld", (long long)loop_now());
	if (error != 0)
		node_setf(a, "error", "%d", error);
	node_set(a, "phash", now.how == ACK_PHASH ? "2:AAAAAAAA" : phash);
	if (now.how == ACK_REFRESH_LID)
		node_set(a, "refresh_lid", "true");
	if (now.how == ACK_NONE)
		node_free(a);
	else if (now.how == ACK_LATE)
		send_late(o, a);
	else
		route_reply(o, a);
}
