/* Faults: what is done on purpose to stanzas, frames and connections. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/sim/faults.h"

enum action {
	ACT_DROP,
	ACT_DELAY,
	ACT_DUPLICATE,
	ACT_CORRUPT,
	ACT_WITHHOLD,
	ACT_CLOSE,
	ACT_RESET,
	ACT_FREEZE,
	ACT_ERROR,
	ACT_REORDER,
	ACT_FRAME
};

static const struct {
	const char *name;
	enum action action;
	enum frame_fault frame;
} actions[] = {
    {"drop", ACT_DROP, 0},
    {"delay", ACT_DELAY, 0},
    {"duplicate", ACT_DUPLICATE, 0},
    {"corrupt", ACT_CORRUPT, 0},
    {"unavailable", ACT_WITHHOLD, 0},
    {"unavailable_view_once", ACT_WITHHOLD, 0},
    {"unavailable_hosted", ACT_WITHHOLD, 0},
    {"unavailable_bot", ACT_WITHHOLD, 0},
    {"close", ACT_CLOSE, 0},
    {"reset", ACT_RESET, 0},
    {"freeze", ACT_FREEZE, 0},
    {"error", ACT_ERROR, 0},
    {"reorder", ACT_REORDER, 0},
    {"frame_flip", ACT_FRAME, FRAME_FLIP},
    {"frame_repeat", ACT_FRAME, FRAME_REPEAT},
    {"frame_oversize", ACT_FRAME, FRAME_OVERSIZE},
    {"frame_zero", ACT_FRAME, FRAME_ZERO},
    {"frame_split", ACT_FRAME, FRAME_SPLIT},
    {"frame_text", ACT_FRAME, FRAME_TEXT},
    {"frame_join", ACT_FRAME, FRAME_JOIN},
    {"frame_ping", ACT_FRAME, FRAME_PING},
    {"frame_compress", ACT_FRAME, FRAME_COMPRESS},
    {"frame_cut", ACT_FRAME, FRAME_CUT},
    {"frame_swap", ACT_FRAME, FRAME_SWAP},
};

struct fault {
	TAILQ_ENTRY(fault) link;
	int id;
	struct match match;
	size_t action; /* index in actions[] */
	unsigned ms;
	int code;
	unsigned after; /* matches to let pass first */
	unsigned count; /* times to act still, if limited */
	int limited;
	unsigned seen, done;
};
static TAILQ_HEAD(faults, fault) armed = TAILQ_HEAD_INITIALIZER(armed);
static int next_id = 1;

static void
act(struct fault *f, struct verdict *v)
{
	f->done++;
	switch (actions[f->action].action) {
	case ACT_DROP:
		v->drop = 1;
		break;
	case ACT_DELAY:
		v->delay_ms = f->ms;
		break;
	case ACT_DUPLICATE:
		v->duplicate = 1;
		break;
	case ACT_CORRUPT:
		v->corrupt = 1;
		break;
	case ACT_WITHHOLD:
		v->withhold = actions[f->action].name + strlen("unavailable");
		break;
	case ACT_CLOSE:
		v->close = 1;
		break;
	case ACT_RESET:
		v->reset = 1;
		break;
	case ACT_FREEZE:
		v->freeze = 1;
		v->freeze_ms = f->ms;
		break;
	case ACT_ERROR:
		v->error = f->code;
		break;
	case ACT_REORDER:
		v->reorder = 1;
		break;
	case ACT_FRAME:
		v->frame = actions[f->action].frame;
		break;
	}
}

int
faults_check(const struct party *p, enum direction dir, const struct node *n, struct verdict *v)
{
	struct fault *f, *next;
	int hit = 0;

	if (TAILQ_EMPTY(&armed))
		return 0;
	memset(v, 0, sizeof(*v));
	for (f = TAILQ_FIRST(&armed); f != NULL; f = next) {
		next = TAILQ_NEXT(f, link);
		if ((f->limited && f->count == 0) || !match_hit(&f->match, p, dir, n))
			continue;
		if (f->seen++ < f->after)
			continue;
		act(f, v);
		hit = 1;
		if (f->limited)
			f->count--;
	}
	return hit;
}

static int
number(const json_t *o, const char *key, json_int_t max, unsigned *out)
{
	const json_t *v = json_object_get(o, key);

	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return -1;
	*out = (unsigned)json_integer_value(v);
	return 1;
}

int
faults_arm(const json_t *o, const char **why)
{
	const char *action = json_string_value(json_object_get(o, "action"));
	struct fault *f = calloc(1, sizeof(*f));
	unsigned code = 500;

	if (f == NULL)
		fatal("fault");
	f->action = sizeof(actions) / sizeof(actions[0]);
	for (size_t i = 0; action != NULL && i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(action, actions[i].name) == 0)
			f->action = i;
	*why =
	    "action: drop, delay, duplicate, corrupt, unavailable*, close, reset, freeze, error, "
	    "reorder or frame_*";
	if (f->action == sizeof(actions) / sizeof(actions[0]))
		goto bad;
	if (match_parse(json_object_get(o, "match"), &f->match, why) != 0)
		goto bad;
	*why = "ms, code, after, count: whole numbers";
	f->count = 1;
	if (number(o, "ms", 86400000, &f->ms) < 0 || number(o, "code", 999, &code) < 0 ||
	    number(o, "after", 1000000000, &f->after) < 0 ||
	    number(o, "count", 1000000000, &f->count) < 0)
		goto bad;
	f->limited = f->count != 0; /* count 0: always */
	f->code = (int)code;
	f->id = next_id++;
	TAILQ_INSERT_TAIL(&armed, f, link);
	return f->id;
bad:
	free(f);
	return -1;
}

json_t *
faults_list(void)
{
	json_t *list = json_array();
	struct fault *f;

	TAILQ_FOREACH(f, &armed, link)
	json_array_append_new(list,
	    json_pack("{s:i,s:s,s:o,s:i,s:i}", "fault", f->id, "action", actions[f->action].name,
		"match", match_json(&f->match), "seen", (int)f->seen, "done", (int)f->done));
	return list;
}

int
faults_clear(int id)
{
	struct fault *f, *next;
	int n = 0;

	for (f = TAILQ_FIRST(&armed); f != NULL; f = next) {
		next = TAILQ_NEXT(f, link);
		if (id != 0 && f->id != id)
			continue;
		TAILQ_REMOVE(&armed, f, link);
		free(f);
		n++;
	}
	return n;
}

void
faults_fini(void)
{
	faults_clear(0);
}

/* Always what the MAC covers, or the MAC: behind it a pkmsg has two short numbers. Elsewhere a
 * flipped bit would now and then break the envelope, which is another fault. */
static int
corrupt_in(struct node *n, int depth)
{
	const char *type = node_get(n, "type");

	if (strcmp(n->tag, "enc") == 0 && n->has_bytes && n->nbytes > 32) {
		n->bytes[n->nbytes - (type != NULL && strcmp(type, "pkmsg") == 0 ? 14 : 1)] ^= 0x10;
		return 1;
	}
	for (size_t i = 0; depth > 0 && i < n->nchildren; i++)
		if (corrupt_in(n->children[i], depth - 1))
			return 1;
	return 0;
}

/* how: "", "_view_once", "_hosted" or "_bot". */
static void
withhold(struct node *n, const char *how)
{
	struct node *u;
	size_t kept = 0;

	if (strcmp(n->tag, "message") != 0)
		return;
	for (size_t i = 0; i < n->nchildren; i++) {
		if (strcmp(n->children[i]->tag, "enc") == 0)
			node_free(n->children[i]);
		else
			n->children[kept++] = n->children[i];
	}
	n->nchildren = kept;
	u = node_child_new(n, "unavailable");
	if (strcmp(how, "_view_once") == 0)
		node_set(u, "type", "view_once");
	else if (strcmp(how, "_hosted") == 0)
		node_set(u, "hosted", "true");
	else if (strcmp(how, "_bot") == 0)
		node_set(node_child_new(n, "bot"), "edit", "last");
}

void
faults_change(struct node *n, const struct verdict *v)
{
	if (v->corrupt)
		corrupt_in(n, 4);
	if (v->withhold != NULL)
		withhold(n, v->withhold);
}
