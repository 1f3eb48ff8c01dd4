/* What a <presence> and a <chatstate> say (protocol page 09, section 5). Ask nobody, keep nothing.
 */
#ifndef WARD_PRESENCE_PARSE_H
#define WARD_PRESENCE_PARSE_H

#include "apid/session/account.h"
#include "common/wire/node.h"

struct presence_facts {
	struct jid from; /* bare: a person or a group */
	int group;
	int available;
	int hidden;           /* when it was last seen is not for us */
	int64_t last_seen_ms; /* -1 = not told */
	int64_t count;        /* of a group: how many are online; -1 = not told */
};
/* 0, or -1: it says nothing of anybody else. */
int presence_parse(const struct account *a, const struct node *n, struct presence_facts *out);

enum typing_state {
	TYPING_PAUSED,
	TYPING_COMPOSING,
	TYPING_RECORDING,
	TYPING_STATES
};
extern const char *const typing_words[TYPING_STATES]; /* "paused" … */
struct typing_facts {
	struct jid chat, party; /* bare */
	enum typing_state state;
};
int typing_parse(const struct account *a, const struct node *n, struct typing_facts *out);

#endif
