/* Long flows: deadline, cancellation, one end, and the list of those in flight. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/flow.h"
#include "common/log.h"

TAILQ_HEAD(flow_list, flow);

struct flow_set {
	struct event_base *base;
	struct flow_list flows; /* oldest first */
	uint64_t last_id;
};

struct flow_set *
flow_set_new(struct event_base *base)
{
	struct flow_set *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->base = base;
	TAILQ_INIT(&s->flows);
	return s;
}

/* End every flow of the group (NULL: every flow) that exists now; an end may end or begin others.
 */
static void
cancel(struct flow_set *s, const void *group, const char *why)
{
	uint64_t last = s->last_id;
	struct flow *f;

	do {
		TAILQ_FOREACH(f, &s->flows, link)
		if (f->id <= last && (group == NULL || f->group == group))
			break;
		if (f != NULL)
			flow_end(f, "cancelled", why);
	} while (f != NULL);
}

void
flow_set_free(struct flow_set *s)
{
	struct flow *f;

	if (s == NULL)
		return;
	cancel(s, NULL, "the service is stopping");
	while ((f = TAILQ_FIRST(&s->flows)) != NULL) /* begun while the others ended */
		flow_end(f, "cancelled", "the service is stopping");
	free(s);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flow_end(arg, "timeout", "it took too long");
}

static void
flow_arm(struct flow *f, unsigned deadline_ms)
{
	struct timeval tv = {
	    (time_t)(deadline_ms / 1000), (suseconds_t)(deadline_ms % 1000 * 1000)};

	if ((f->timer = evtimer_new(f->set->base, on_deadline, f)) == NULL ||
	    evtimer_add(f->timer, &tv) == -1)
		fatalx("%s: no timer for a flow: out of memory", f->kind->name);
}

void
flow_init(struct flow *f, struct flow_set *s, const struct flow_kind *kind, const char *account,
    const void *group, unsigned deadline_ms)
{
	memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->set = s;
	f->step = "begin";
	snprintf(f->account, sizeof(f->account), "%s", account != NULL ? account : "");
	f->id = ++s->last_id;
	f->began_ms = clock_mono_ms();
	f->group = group;
	TAILQ_INSERT_TAIL(&s->flows, f, link);
	if (deadline_ms > 0)
		flow_arm(f, deadline_ms);
}

void
flow_step(struct flow *f, const char *name)
{
	f->step = name;
}

void
flow_fini(struct flow *f)
{
	if (f->timer != NULL) {
		event_free(f->timer);
		f->timer = NULL;
	}
	if (f->link.tqe_prev != NULL) {
		TAILQ_REMOVE(&f->set->flows, f, link);
		f->link.tqe_prev = NULL;
	}
}

void
flow_end(struct flow *f, const char *outcome, const char *text)
{
	if (f->ended)
		return;
	f->ended = 1;
	flow_fini(f); /* an ended flow is not in flight, whatever its end does */
	f->kind->end(f, outcome, text);
}

void
flow_cancel_group(struct flow_set *s, const void *group, const char *why)
{
	if (group != NULL)
		cancel(s, group, why);
}

size_t
flow_count(const struct flow_set *s, const char *kind, const char *account)
{
	const struct flow *f;
	size_t n = 0;

	TAILQ_FOREACH(f, &s->flows, link)
	if ((kind == NULL || strcmp(f->kind->name, kind) == 0) &&
	    (account == NULL || strcmp(f->account, account) == 0))
		n++;
	return n;
}

void
flow_each(const struct flow_set *s, void (*fn)(const struct flow *, void *), void *arg)
{
	const struct flow *f;

	TAILQ_FOREACH(f, &s->flows, link)
	fn(f, arg);
}
