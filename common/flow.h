/* Long flows: the piece that all share. A flow is a struct that begins with `struct flow`; its
 * steps are functions; it has one end. Owns the deadline, cancellation and the list of flows in
 * flight. */
#ifndef WARD_FLOW_H
#define WARD_FLOW_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

struct flow;
struct flow_set; /* all flows of a process */

struct flow_kind {
	const char *name; /* "send" */
	/* The one end: outcome is NULL for success, else a stable word ("timeout", "cancelled", …)
	 * with text for people. Must free the flow (flow_fini first). Called once. */
	void (*end)(struct flow *, const char *outcome, const char *text);
};

struct flow {
	TAILQ_ENTRY(flow) link;
	const struct flow_kind *kind;
	struct flow_set *set;
	struct event *timer;
	const char *step; /* name of the step that is waited for, for `show flows` */
	char account[33];
	uint64_t id;
	int64_t began_ms;
	const void *group; /* cancelled together: a client, an account */
	int ended;
	unsigned refs; /* answers still to come: the flow's memory stays until they have come */
};

struct flow_set *flow_set_new(struct event_base *base);
void flow_set_free(struct flow_set *s); /* cancels all */

/* deadline_ms 0 = none. group may be NULL. */
void flow_init(struct flow *f, struct flow_set *s, const struct flow_kind *kind,
    const char *account, const void *group, unsigned deadline_ms);
void flow_step(struct flow *f, const char *name);
void flow_end(struct flow *f, const char *outcome, const char *text); /* calls kind->end, once */
void flow_fini(struct flow *f); /* unlink and drop the timer; for kind->end */
void flow_cancel_group(struct flow_set *s, const void *group, const char *why);
size_t flow_count(const struct flow_set *s, const char *kind, const char *account); /* NULL = any */
/* fn for each flow, oldest first */
void flow_each(const struct flow_set *s, void (*fn)(const struct flow *, void *), void *arg);

#endif
