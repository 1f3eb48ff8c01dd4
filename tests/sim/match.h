/* A pattern for stanzas, for faults and for `expect`. */
#ifndef SIM_MATCH_H
#define SIM_MATCH_H

#include <stdint.h>

#include <jansson.h>

#include "common/wire/node.h"
#include "tests/sim/account.h"

enum direction {
	DIR_IN,
	DIR_OUT
}; /* seen from the service: IN = sent by the device */

/* Whose connection a stanza is on. */
struct party {
	struct account *account; /* NULL = not paired yet */
	int device;              /* -1 = none yet */
	uint64_t conn;           /* 0 = the phone, which has no connection */
};

struct match {
	char account[64]; /* "" = any; "-" = a connection that is not paired */
	int device;       /* -1 = any */
	int direction;    /* -1 = any */
	int first;        /* 1 = not what is sent again after a retry receipt: no enc has a count */
	uint64_t conn;    /* 0 = any */
	char tag[64], id[128], xmlns[64], type[64], child[64]; /* "" = any */
	char from[JID_TEXT_MAX], to[JID_TEXT_MAX], cls[32];
};

/* From {"account":…,"device":…,"direction":"in"|"out","conn":…,"tag":…,"id":…,"xmlns":…,"type":…,
 * "child":…,"from":…,"to":…,"class":…,"first":true}. `child` is looked for up to three levels down.
 * 0, or -1 and *why. */
int match_parse(const json_t *o, struct match *m, const char **why);
int match_hit(
    const struct match *m, const struct party *p, enum direction dir, const struct node *n);
json_t *match_json(const struct match *m);

#endif
