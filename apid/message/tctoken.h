/* Trusted-contact tokens: what people gave us so that we may write to them, what we gave them, and
 * the fallback for who gave us none (protocol page 12, 8.4; page 04, 9.8; page 09, 7.3).
 *
 * stored keeps them by bare JID text, of the LID where it is known. A token is no key: the service
 * made it, and takes it from this account's own connection alone. The same is true of the salt of a
 * cstoken, which is why apid has it (DeviceRecord.nct_salt) and keyd has not. */
#ifndef WARD_TCTOKEN_H
#define WARD_TCTOKEN_H

#include "apid/message/contacts.h"
#include "common/wire/node.h"

#define TCTOKEN_MAX        256u
#define TCTOKEN_PEOPLE_MAX 8u /* of one issue */

struct tctokens *tctokens_new(struct account *a);
void tctokens_free(struct tctokens *t);
/* Another device: what is remembered of the old one is forgotten. */
void tctokens_reset(struct account *a);
/* After a login: the expired ones go, now and once a day while it lasts. */
void tctokens_online(struct account *a);
void tctokens_disconnected(struct account *a);

/* ---- one person's */

struct tctoken {
	uint8_t bytes[TCTOKEN_MAX];
	size_t len; /* 0 = he gave none */
	int64_t token_s;
	int has_sender;
	int64_t sender_s; /* when we gave him ours last */
};

/* What is kept of a person: fn is called once, from the loop, unless it is cancelled. A store that
 * does not answer knows none. */
struct tctoken_search;
typedef void tctoken_fn(const struct tctoken *t, void *arg);
struct tctoken_search *tctoken_find(
    struct account *a, const struct person *p, tctoken_fn *fn, void *arg);
void tctoken_cancel(struct tctoken_search *s); /* NULL is fine */

/* The names under which a person's may be kept, for a LOOKUP that asks for them beside other
 * things; and what its answer says: 1, or 0 if it was not asked for all of his names. */
struct tctoken_names {
	char text[2][JID_TEXT_MAX], *list[2];
	size_t n;
};
void tctoken_names(const struct person *p, struct tctoken_names *out);
int tctoken_of_lookup(const struct person *p, const Stored__LookupReply *m, struct tctoken *out);

/* The time of a token that came, as it is kept: one more than a day ahead of the service's clock is
 * taken for now, or it would keep out every later token, and never expire. */
int64_t tctoken_time(const struct account *a, int64_t t);
/* Time runs in buckets, whose length and number the service sets, one for tokens that come and one
 * for ours: 7 days and 4 until it does. A token is good in its own and in those after it. */
enum tctoken_side {
	TCTOKEN_THEIRS,
	TCTOKEN_OURS
};
int64_t tctoken_bucket(const struct account *a, enum tctoken_side side, int64_t s);
/* What is older than this is expired, now by the clock of the service. */
int64_t tctoken_cutoff_s(const struct account *a, enum tctoken_side side);
/* Is this somebody whom a token is for: a person, not ourselves, no bot, not the service itself? */
int tctoken_is_for(const struct account *a, const struct jid *j);
/* Add <tctoken> if there is one that is not expired: 1, else 0. For a presence subscription, … */
int tctoken_add(const struct account *a, const struct tctoken *t, struct node *n);
/* For a direct message: <tctoken>, else <cstoken> if salt and LID are known, else nothing. */
void tctoken_add_to_message(const struct account *a, const struct jid *chat, const struct person *p,
    const struct tctoken *t, struct node *n);
/* HMAC-SHA256(salt, "user@lid") */
void tctoken_cstoken(const uint8_t *salt, size_t len, const char *lid_user, uint8_t out[32]);
/* The name by which stored keeps it. 0, or -1: he has neither LID nor number. */
int tctoken_user(const struct person *p, char out[JID_TEXT_MAX]);

/* ---- giving ours (tctoken_issue.c) */

/* A message to p left: give him ours if a new bucket has begun since the last time. */
void tctoken_sent(struct account *a, const struct person *p, const struct tctoken *t);
/* The identity of his primary changed: what he had of ours is given again, with its time. */
void tctoken_identity_changed(struct account *a, const struct person *p);

/* ---- what comes (tctoken_in.c) */

/* <notification type=privacy_token>: written down, then acked. */
void tctoken_notification(struct account *a, const struct node *n);

#endif
