/* How fast an account may write: a token bucket for all of it, one for each chat, and a cap on the
 * people that it turns to for the first time within a day (api-conventions, section 7). No clock
 * and no I/O of its own: times are told. */
#ifndef WARD_PACE_H
#define WARD_PACE_H

#include <stddef.h>
#include <stdint.h>

#define PACE_CHATS_MAX  4096u /* buckets; beyond it the one used longest ago is taken for full */
#define PACE_FIRSTS_MAX 4096u
#define PACE_DAY_MS     INT64_C(86400000)

/* Of the config. A rate or cap of 0 is none. */
struct pace_limits {
	unsigned account_rate, account_burst; /* messages a minute; at once */
	unsigned chat_rate, chat_burst;
	unsigned new_chats; /* in any 24 hours, at most PACE_FIRSTS_MAX */
};

/* Integers only: a token is 60,000 units, and each ms brings `rate` of them. */
struct bucket {
	int64_t level, at_ms;
};
void bucket_init(struct bucket *b, unsigned burst, int64_t now_ms);
/* How long until there is a token, 0 = now. */
int64_t bucket_wait_ms(struct bucket *b, unsigned rate, unsigned burst, int64_t now_ms);
/* Take one, also if there is none: the level goes down to a full burst below zero. */
void bucket_take(struct bucket *b, unsigned rate, unsigned burst, int64_t now_ms);
void bucket_give(struct bucket *b, unsigned burst);

struct pace *pace_new(const struct pace_limits *l, int64_t mono_ms);
void pace_free(struct pace *p);

/* Nothing at all leaves until then (monotonic); 0 lifts it. */
void pace_block(struct pace *p, int64_t until_ms);
int64_t pace_blocked_ms(const struct pace *p, int64_t mono_ms);
/* How long the account as a whole, or this chat, has to wait; 0 = not at all. chat: any name. */
int64_t pace_account_ms(struct pace *p, int64_t mono_ms);
int64_t pace_chat_ms(struct pace *p, const char *chat, int64_t mono_ms);
void pace_take(struct pace *p, const char *chat, int64_t mono_ms);
void pace_give(struct pace *p, const char *chat);

/* When new people were turned to, by the clock on the wall: all that are known, then one more. */
void pace_firsts_set(struct pace *p, const int64_t *wall_ms, size_t n);
void pace_first(struct pace *p, int64_t wall_ms);
/* How long until somebody new may be turned to. A clock that was set back lets nobody in earlier.
 */
int64_t pace_new_ms(const struct pace *p, int64_t wall_ms);
/* So many more are on their way to it, or (negative) no longer. */
void pace_reserve(struct pace *p, int n);
size_t pace_firsts(const struct pace *p, int64_t wall_ms); /* within the last 24 hours */

#endif
