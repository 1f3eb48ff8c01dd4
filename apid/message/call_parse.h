/* What a <call> says to a device that takes no calls (protocol page 09, section 15; page 12,
 * section 17). Call keys and network data are not looked at. Asks nobody, keeps nothing. */
#ifndef WARD_CALL_PARSE_H
#define WARD_CALL_PARSE_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define CALL_ID_MAX 64

enum call_kind {
	CALL_OFFER,
	CALL_NOTICE, /* offer_notice: a call that this device is not offered */
	CALL_PREACCEPT,
	CALL_ACCEPT,
	CALL_REJECT,
	CALL_TERMINATE,
	CALL_SIGNAL, /* of the moment: told to those who listen */
	CALL_UNKNOWN /* kept raw */
};

struct call_facts {
	enum call_kind kind;
	const struct node *action; /* into the stanza */
	char id[CALL_ID_MAX + 1];  /* call-id; "" only of CALL_UNKNOWN */
	struct jid from, creator;  /* with device */
	struct jid caller_pn;      /* of an offer */
	int has_caller_pn;
	struct jid group;
	int has_group, is_group, video, joinable, offline;
	int bare_ack;       /* 0: the service wants the action's name in the ack's type */
	int missed;         /* of CALL_TERMINATE: it ended without anybody having taken it */
	const char *reason; /* of reject and terminate; NULL = none */
	int64_t duration_s; /* of terminate; -1 = none */
	int64_t latency_ms; /* of relaylatency; -1 = none */
};

/* Always succeeds: what it cannot read is CALL_UNKNOWN. */
void call_parse(const struct account *a, const struct node *n, struct call_facts *out);

#endif
