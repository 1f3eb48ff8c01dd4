/* How fast an account may write: token buckets, and the cap on first contacts. */
#include "apid/message/pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/jid.h"
#include "common/log.h"

#define TOKEN       INT64_C(60000) /* units: so many ms at a rate of one a minute */
#define BUCKETS     256u
#define RESERVED_MS 1000 /* how those on their way end is known soon */

struct chat {
	TAILQ_ENTRY(chat) lru; /* newest first */
	LIST_ENTRY(chat) link;
	char name[JID_TEXT_MAX];
	struct bucket b;
};
LIST_HEAD(chat_list, chat);

struct pace {
	struct pace_limits l;
	struct bucket account;
	struct chat_list chats[BUCKETS];
	TAILQ_HEAD(chat_lru, chat) lru;
	size_t nchats;
	int64_t blocked_ms;
	int64_t firsts[PACE_FIRSTS_MAX]; /* rising */
	size_t nfirsts;
	int reserved;
};

/* ------------------------------------------------------------------ one bucket */

void
bucket_init(struct bucket *b, unsigned burst, int64_t now_ms)
{
	b->level = (int64_t)burst * TOKEN;
	b->at_ms = now_ms;
}

static void
fill(struct bucket *b, unsigned rate, unsigned burst, int64_t now_ms)
{
	int64_t most = (int64_t)burst * TOKEN, ms = now_ms - b->at_ms;

	if (ms <= 0)
		return;
	b->at_ms = now_ms;
	/* no overflow: a bucket is full long before */
	if (ms > 2 * most / rate)
		b->level = most;
	else if ((b->level += ms * rate) > most)
		b->level = most;
}

int64_t
bucket_wait_ms(struct bucket *b, unsigned rate, unsigned burst, int64_t now_ms)
{
	if (rate == 0)
		return 0;
	fill(b, rate, burst, now_ms);
	return b->level >= TOKEN ? 0 : (TOKEN - b->level + rate - 1) / rate;
}

void
bucket_take(struct bucket *b, unsigned rate, unsigned burst, int64_t now_ms)
{
	if (rate == 0)
		return;
	fill(b, rate, burst, now_ms);
	b->level -= TOKEN;
	if (b->level < -(int64_t)burst * TOKEN)
		b->level = -(int64_t)burst * TOKEN;
}

void
bucket_give(struct bucket *b, unsigned burst)
{
	b->level += TOKEN;
	if (b->level > (int64_t)burst * TOKEN)
		b->level = (int64_t)burst * TOKEN;
}

/* ------------------------------------------------------------------ all of them */

struct pace *
pace_new(const struct pace_limits *l, int64_t mono_ms)
{
	struct pace *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatal("pace_new");
	p->l = *l;
	bucket_init(&p->account, l->account_burst, mono_ms);
	TAILQ_INIT(&p->lru);
	return p;
}

static void
drop(struct pace *p, struct chat *c)
{
	LIST_REMOVE(c, link);
	TAILQ_REMOVE(&p->lru, c, lru);
	p->nchats--;
	free(c);
}

void
pace_free(struct pace *p)
{
	struct chat *c, *next;

	if (p == NULL)
		return;
	for (c = TAILQ_FIRST(&p->lru); c != NULL; c = next) {
		next = TAILQ_NEXT(c, lru);
		drop(p, c);
	}
	free(p);
}

static struct chat_list *
list_of(struct pace *p, const char *name)
{
	uint32_t h = 2166136261u;

	for (const char *s = name; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return &p->chats[h % BUCKETS];
}

static struct chat *
find(struct pace *p, const char *name)
{
	struct chat *c;

	LIST_FOREACH(c, list_of(p, name), link)
	if (strcmp(c->name, name) == 0)
		return c;
	return NULL;
}

void
pace_block(struct pace *p, int64_t until_ms)
{
	p->blocked_ms = until_ms;
}

int64_t
pace_blocked_ms(const struct pace *p, int64_t mono_ms)
{
	return p->blocked_ms > mono_ms ? p->blocked_ms - mono_ms : 0;
}

int64_t
pace_account_ms(struct pace *p, int64_t mono_ms)
{
	int64_t blocked = pace_blocked_ms(p, mono_ms);
	int64_t wait = bucket_wait_ms(&p->account, p->l.account_rate, p->l.account_burst, mono_ms);

	return blocked > wait ? blocked : wait;
}

/* A chat without a bucket has a full one. */
int64_t
pace_chat_ms(struct pace *p, const char *chat, int64_t mono_ms)
{
	struct chat *c = p->l.chat_rate == 0 ? NULL : find(p, chat);

	return c == NULL ? 0 : bucket_wait_ms(&c->b, p->l.chat_rate, p->l.chat_burst, mono_ms);
}

void
pace_take(struct pace *p, const char *chat, int64_t mono_ms)
{
	struct chat *c;

	bucket_take(&p->account, p->l.account_rate, p->l.account_burst, mono_ms);
	if (p->l.chat_rate == 0)
		return;
	if ((c = find(p, chat)) == NULL) {
		if (p->nchats >= PACE_CHATS_MAX)
			drop(p, TAILQ_LAST(&p->lru, chat_lru));
		if ((c = calloc(1, sizeof(*c))) == NULL)
			fatal("pace");
		(void)snprintf(c->name, sizeof(c->name), "%s", chat);
		bucket_init(&c->b, p->l.chat_burst, mono_ms);
		LIST_INSERT_HEAD(list_of(p, chat), c, link);
		p->nchats++;
	} else {
		TAILQ_REMOVE(&p->lru, c, lru);
	}
	TAILQ_INSERT_HEAD(&p->lru, c, lru);
	bucket_take(&c->b, p->l.chat_rate, p->l.chat_burst, mono_ms);
}

void
pace_give(struct pace *p, const char *chat)
{
	struct chat *c = find(p, chat);

	bucket_give(&p->account, p->l.account_burst);
	if (c != NULL)
		bucket_give(&c->b, p->l.chat_burst);
}

/* ------------------------------------------------------------------ first contacts */

void
pace_firsts_set(struct pace *p, const int64_t *wall_ms, size_t n)
{
	p->nfirsts = 0;
	for (size_t i = 0; i < n; i++)
		pace_first(p, wall_ms[i]);
}

void
pace_first(struct pace *p, int64_t wall_ms)
{
	size_t at;

	if (p->nfirsts == PACE_FIRSTS_MAX) { /* the oldest gives way */
		memmove(p->firsts, p->firsts + 1, (--p->nfirsts) * sizeof(p->firsts[0]));
	}
	for (at = p->nfirsts; at > 0 && p->firsts[at - 1] > wall_ms; at--)
		p->firsts[at] = p->firsts[at - 1];
	p->firsts[at] = wall_ms;
	p->nfirsts++;
}

void
pace_reserve(struct pace *p, int n)
{
	p->reserved += n;
}

size_t
pace_firsts(const struct pace *p, int64_t wall_ms)
{
	size_t n = 0;

	while (n < p->nfirsts && p->firsts[p->nfirsts - 1 - n] > wall_ms - PACE_DAY_MS)
		n++;
	return n;
}

int64_t
pace_new_ms(const struct pace *p, int64_t wall_ms)
{
	int cap = p->l.new_chats < PACE_FIRSTS_MAX ? (int)p->l.new_chats : (int)PACE_FIRSTS_MAX;
	int left = cap - p->reserved;
	int64_t ends;

	if (cap == 0 || (left > 0 && pace_firsts(p, wall_ms) < (size_t)left))
		return 0;
	if (left <= 0)
		return RESERVED_MS;
	/* when the one that is the left-th from the end is a day old */
	ends = p->firsts[p->nfirsts - (size_t)left] + PACE_DAY_MS;
	return ends > wall_ms ? ends - wall_ms : 0;
}
