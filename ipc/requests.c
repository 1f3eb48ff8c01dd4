/* The table of unanswered requests: a hash by id and a heap by deadline. */
#include <stdlib.h>
#include <string.h>

#include "ipc/requests.h"

#define BUCKETS_FIRST 64

int
requests_init(struct requests *rs)
{
	memset(rs, 0, sizeof(*rs));
	TAILQ_INIT(&rs->flying);
	TAILQ_INIT(&rs->late);
	TAILQ_INIT(&rs->failed);
	if ((rs->buckets = calloc(BUCKETS_FIRST, sizeof(struct request *))) == NULL)
		return -1;
	rs->nbuckets = BUCKETS_FIRST;
	return 0;
}

static void
list_free(struct request_list *list)
{
	struct request *r;

	while ((r = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, r, link);
		free(r);
	}
}

void
requests_fini(struct requests *rs)
{
	list_free(&rs->flying);
	list_free(&rs->late);
	list_free(&rs->failed);
	free(rs->buckets);
	free(rs->heap);
	memset(rs, 0, sizeof(*rs));
}

/* ---------------------------------------------------------------- by id */

static struct request **
bucket_of(const struct requests *rs, uint32_t id)
{
	return &rs->buckets[id & (rs->nbuckets - 1)]; /* ids count up: they spread by themselves */
}

struct request *
requests_find(const struct requests *rs, uint32_t id)
{
	struct request *r;

	for (r = *bucket_of(rs, id); r != NULL; r = r->next)
		if (r->id == id)
			return r;
	return NULL;
}

/* Twice the buckets; if memory is out the chains just become longer. */
static void
hash_grow(struct requests *rs)
{
	struct request **old = rs->buckets;
	size_t i, n = rs->nbuckets;
	struct request **new = calloc(n * 2, sizeof(struct request *));

	if (new == NULL)
		return;
	rs->buckets = new;
	rs->nbuckets = n * 2;
	for (i = 0; i < n; i++) {
		while (old[i] != NULL) {
			struct request *r = old[i];

			old[i] = r->next;
			r->next = *bucket_of(rs, r->id);
			*bucket_of(rs, r->id) = r;
		}
	}
	free(old);
}

static void
hash_add(struct requests *rs, struct request *r)
{
	if (rs->nhashed >= rs->nbuckets)
		hash_grow(rs);
	r->next = *bucket_of(rs, r->id);
	*bucket_of(rs, r->id) = r;
	rs->nhashed++;
}

static void
hash_remove(struct requests *rs, struct request *r)
{
	struct request **at = bucket_of(rs, r->id);

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	rs->nhashed--;
}

/* ---------------------------------------------------------------- by deadline */

static void
heap_set(struct requests *rs, size_t i, struct request *r)
{
	rs->heap[i] = r;
	r->heap = i;
}

static void
heap_up(struct requests *rs, size_t i, struct request *r)
{
	while (i > 0) {
		size_t parent = (i - 1) / 2;

		if (rs->heap[parent]->deadline <= r->deadline)
			break;
		heap_set(rs, i, rs->heap[parent]);
		i = parent;
	}
	heap_set(rs, i, r);
}

static void
heap_down(struct requests *rs, size_t i, struct request *r)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= rs->nheap)
			break;
		if (child + 1 < rs->nheap &&
		    rs->heap[child + 1]->deadline < rs->heap[child]->deadline)
			child++;
		if (rs->heap[child]->deadline >= r->deadline)
			break;
		heap_set(rs, i, rs->heap[child]);
		i = child;
	}
	heap_set(rs, i, r);
}

static int
heap_room(struct requests *rs)
{
	size_t cap = rs->heap_cap > 0 ? rs->heap_cap * 2 : BUCKETS_FIRST;
	struct request **heap;

	if (rs->nheap < rs->heap_cap)
		return 0;
	if ((heap = reallocarray(rs->heap, cap, sizeof(struct request *))) == NULL)
		return -1;
	rs->heap = heap;
	rs->heap_cap = cap;
	return 0;
}

static void
heap_remove(struct requests *rs, struct request *r)
{
	struct request *last = rs->heap[--rs->nheap];
	size_t i = r->heap;

	if (last == r)
		return;
	if (i > 0 && rs->heap[(i - 1) / 2]->deadline > last->deadline)
		heap_up(rs, i, last);
	else
		heap_down(rs, i, last);
}

struct request *
requests_earliest(const struct requests *rs)
{
	return rs->nheap > 0 ? rs->heap[0] : NULL;
}

/* ---------------------------------------------------------------- states */

struct request *
requests_add(struct requests *rs, int64_t deadline)
{
	struct request *r;

	if (heap_room(rs) == -1 || (r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	do { /* 0 means notice; after four thousand million requests an id may still be taken */
		r->id = ++rs->last_id;
	} while (r->id == 0 || requests_find(rs, r->id) != NULL);
	r->state = REQUEST_FLYING;
	r->deadline = deadline;
	hash_add(rs, r);
	heap_up(rs, rs->nheap++, r);
	TAILQ_INSERT_TAIL(&rs->flying, r, link);
	return r;
}

/* Out of every structure of its state. */
static void
detach(struct requests *rs, struct request *r)
{
	switch (r->state) {
	case REQUEST_FLYING:
		TAILQ_REMOVE(&rs->flying, r, link);
		heap_remove(rs, r);
		hash_remove(rs, r);
		break;
	case REQUEST_LATE:
		TAILQ_REMOVE(&rs->late, r, link);
		rs->nlate--;
		hash_remove(rs, r);
		break;
	case REQUEST_FAILED:
		TAILQ_REMOVE(&rs->failed, r, link);
		break;
	}
}

void
requests_remove(struct requests *rs, struct request *r)
{
	detach(rs, r);
	free(r);
}

void
requests_let_go(struct requests *rs, struct request *r)
{
	if (rs->nlate == REQUESTS_LATE_MAX)
		requests_remove(rs, TAILQ_FIRST(&rs->late));
	detach(rs, r);
	r->state = REQUEST_LATE;
	r->fn = NULL;
	hash_add(rs, r);
	TAILQ_INSERT_TAIL(&rs->late, r, link);
	rs->nlate++;
}

void
requests_fail(struct requests *rs, struct request *r, const char *code)
{
	detach(rs, r);
	r->state = REQUEST_FAILED;
	r->code = code;
	TAILQ_INSERT_TAIL(&rs->failed, r, link);
}
