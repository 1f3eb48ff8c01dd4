/* What the files of the restrictions share. */
#ifndef WARD_RESTRICT_IMPL_H
#define WARD_RESTRICT_IMPL_H

#include <sys/queue.h>

#include "apid/message/ids.h"
#include "apid/session/call.h"
#include "apid/session/mex.h"
#include "apid/session/restrict.h"

struct lock {
	int active, ask; /* ask: a message was refused, and the answer is not here yet */
	int64_t until_ms, checked_ms;
	char enforcement[64];
};

struct quota {
	int known, ask;
	int64_t total, used, start_ms, end_ms, checked_ms;
	char capping[32], ote[48], mv[48];
};

struct asker { /* somebody whom a refused message is told when its time is known */
	TAILQ_ENTRY(asker) link;
	restrict_fn *fn;
	void *arg;
};
TAILQ_HEAD(asker_list, asker);

struct owed { /* a refused row that does not say until when yet; kept, so that a restart finishes it
	       */
	TAILQ_ENTRY(owed) link;
	char id[MESSAGE_ID_MAX + 1], chat[JID_TEXT_MAX];
	unsigned code;
	int64_t time_ms;  /* of the refusal */
	int durable;      /* the row has failed, as stored knows */
	unsigned writing; /* number of the unit that gives it its time; 0 = none yet */
	struct asker_list askers;
};

struct look { /* a client that wants it fresh */
	TAILQ_ENTRY(look) link;
	struct call *call;
	int whole;   /* all restrictions, not the quota alone */
	int refresh; /* asked for; else what is kept will do if the service does not tell */
};

struct restrictions {
	struct account *a;
	struct lock lock;
	struct quota quota;
	struct event *over; /* at the end of a lock, or of a full quota */

	/* restrict_owed.c */
	TAILQ_HEAD(owed_list, owed) owed;
	size_t nowed, naskers;
	unsigned writes; /* units so far */

	/* restrict_ask.c */
	struct mex_request *asking[MEX_OPS];
	TAILQ_HEAD(look_list, look) looks;
	struct api_error look_error; /* reason NULL: none */
};

/* ---- restrict.c */
/* All that is kept goes into the device record with that unit. */
void restrict_keep(struct restrictions *r, struct unit *u);
void restrict_written(const struct unit_result *res, void *restrictions);
/* Until when that holds; 0 = it does not, or is not known. */
int64_t restrict_until(const struct restrictions *r, enum mex_op op);

/* ---- restrict_owed.c */
json_t *restrict_owed_list(const struct restrictions *r); /* as it is kept; a new reference */
void restrict_owed_load(struct restrictions *r, const json_t *list);
void restrict_owed_forget(struct restrictions *r);
/* The service has not said how it stands: those who wait are told that it is not known. for_good:
 * it will not. */
void restrict_owed_unknown(struct restrictions *r, enum mex_op op, int for_good);
/* There are some that nobody asks for. */
int restrict_owed_any(const struct restrictions *r, enum mex_op op);

/* ---- restrict_ask.c */
void restrict_ask_now(struct restrictions *r, enum mex_op op); /* unless it is being asked */
void restrict_ask_free(struct restrictions *r);

#endif
