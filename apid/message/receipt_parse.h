/* What an incoming <receipt> says, in all its forms (protocol page 04, section 11.3; page 12,
 * section 13). Asks nobody and keeps nothing. */
#ifndef WARD_RECEIPT_PARSE_H
#define WARD_RECEIPT_PARSE_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define RECEIPT_UPDATES_MAX 16384u

enum receipt_kind {
	RECEIPT_STATUS, /* people have, read or played messages of ours */
	RECEIPT_OWN,    /* another own device read or played messages of others */
	RECEIPT_SILENT, /* nothing of the other side */
	RECEIPT_CALL,   /* keys of a call are asked for again */
	RECEIPT_RETRY,
	RECEIPT_UNKNOWN
};

struct receipt_party {
	struct jid jid; /* bare */
	struct jid alt; /* bare; the same person by number */
	int has_alt;
};
struct receipt_update {
	const char *id;     /* into the node */
	size_t party;       /* in parties */
	const char *status; /* "delivered", "read", "played" */
	int64_t time_ms;
};
struct receipt_facts {
	enum receipt_kind kind;
	struct jid chat; /* bare; of RECEIPT_STATUS and RECEIPT_OWN */
	struct receipt_party *parties;
	size_t nparties;
	struct receipt_update *updates; /* at least one of those two kinds; in order of parties */
	size_t nupdates;
};

/* The updates point into n. time_ms: of the stanza, for those that have none. 0, or -1 when memory
 * is out. What has more than RECEIPT_UPDATES_MAX of them is RECEIPT_UNKNOWN. */
int receipt_parse(
    const struct account *a, const struct node *n, int64_t time_ms, struct receipt_facts *out);
void receipt_facts_clear(struct receipt_facts *f);

#endif
