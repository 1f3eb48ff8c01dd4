/* Watches: stanzas are counted from when the watch was set; a waiter is answered at its count. */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "tests/sim/expect.h"
#include "tests/sim/http.h"
#include "tests/sim/loop.h"

struct watch {
	TAILQ_ENTRY(watch) link;
	int id, once;
	struct match match;
	unsigned seen, want;
	struct http_request *waiter;
	struct event *deadline;
	int64_t began_ms, last_ms;
	char *last; /* the newest that matched, as text */
};
static TAILQ_HEAD(watches, watch) watches = TAILQ_HEAD_INITIALIZER(watches);
static int next_id = 1;

static struct watch *
find(int id)
{
	struct watch *w;

	TAILQ_FOREACH(w, &watches, link)
	if (w->id == id)
		return w;
	return NULL;
}

static void
watch_free(struct watch *w)
{
	TAILQ_REMOVE(&watches, w, link);
	if (w->deadline != NULL)
		event_free(w->deadline);
	free(w->last);
	free(w);
}

static void
answer(struct watch *w)
{
	struct http_request *r = w->waiter;
	json_t *o = json_pack("{s:b,s:b,s:i,s:i,s:I}", "ok", 1, "seen", w->seen >= w->want, "count",
	    (int)w->seen, "watch", w->id, "ms", (json_int_t)(loop_now_ms() - w->began_ms));
	char *text;

	if (w->last != NULL)
		json_object_set_new(o, "last", json_string(w->last));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	w->waiter = NULL;
	event_del(w->deadline);
	if (w->once)
		watch_free(w);
	if (text == NULL)
		fatal("answer");
	http_answer(r, 200, "application/json", text, strlen(text));
	free(text);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	if (w->waiter != NULL)
		answer(w);
}

void
expect_seen(const struct party *p, enum direction dir, const struct node *n)
{
	struct watch *w, *next;
	struct buf text = BUF_INIT;

	for (w = TAILQ_FIRST(&watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (!match_hit(&w->match, p, dir, n))
			continue;
		w->seen++;
		w->last_ms = loop_now_ms();
		if (w->waiter == NULL || w->seen < w->want)
			continue;
		buf_reset(&text);
		node_describe(n, &text);
		free(w->last);
		w->last = strdup(buf_cstr(&text));
		/* the stanza has its effect first */
		event_active(w->deadline, EV_TIMEOUT, 0);
	}
	buf_clear(&text);
}

int
expect_watch(const struct match *m)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL || (w->deadline = evtimer_new(loop_base(), on_deadline, w)) == NULL)
		fatal("watch");
	w->id = next_id++;
	w->match = *m;
	w->began_ms = loop_now_ms();
	TAILQ_INSERT_TAIL(&watches, w, link);
	return w->id;
}

int
expect_wait(int id, unsigned count, unsigned deadline_ms, int once, struct http_request *r)
{
	struct timeval tv = {
	    (time_t)(deadline_ms / 1000), (suseconds_t)(deadline_ms % 1000) * 1000};
	struct watch *w = find(id);

	if (w == NULL || w->waiter != NULL)
		return -1;
	w->waiter = r;
	w->want = count;
	w->once = once;
	if (w->seen >= count)
		answer(w);
	else
		event_add(w->deadline, &tv);
	return 0;
}

int
expect_unwatch(int id)
{
	struct watch *w, *next;
	int n = 0;

	for (w = TAILQ_FIRST(&watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if ((id != 0 && w->id != id) || w->waiter != NULL)
			continue;
		watch_free(w);
		n++;
	}
	return n;
}

void
expect_fini(void)
{
	struct watch *w;

	while ((w = TAILQ_FIRST(&watches)) != NULL) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the freed one is off the list */
		if (w->waiter != NULL) {
			w->once = 1;
			answer(w);
		} else {
			watch_free(w);
		}
	}
}
