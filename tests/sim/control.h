/* The control interface: POST /control and the mock-phone endpoint (README.md beside this file). */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include <jansson.h>

#include "tests/sim/account.h"
#include "tests/sim/http.h"

/* One command being answered. */
struct call {
	const json_t *args;
	struct http_request *req;
	const char *error; /* why it failed, when the command returns NULL */
	int later;         /* the command answers by itself */
};

struct command {
	const char *name;
	json_t *(*run)(struct call *c); /* the answer's fields (owned by the caller), or NULL */
};
extern const struct command control_phone_commands[], control_fault_commands[]; /* end with NULL */

/* control_call.c */
json_t *control_call(struct call *c);
json_t *control_deliver(struct call *c);
/* A node from {"tag":…,"attrs":{…},"content":[…] or "text"}. NULL: malformed. */
struct node *control_node(const json_t *o);

void control_init(const char *dir, uint64_t seed, int port);
void control_fini(void);
void control_request(struct http_request *r);

/* --- arguments --- */
const char *call_str(const struct call *c, const char *key); /* NULL if absent or no string */
/* A whole number in min..max; fallback if absent. Sets c->error and returns min - 1 if it is none.
 */
int64_t call_int(struct call *c, const char *key, int64_t min, int64_t max, int64_t fallback);
int call_bool(const struct call *c, const char *key, int fallback);
struct account *call_account(struct call *c, const char *key); /* NULL and c->error */
struct device *call_device(struct call *c); /* account + device; NULL and c->error */
/* Account name or JID text; 0, or -1 and c->error. */
int call_jid(struct call *c, const char *key, struct account *from, struct jid *out);
json_t *call_failed(struct call *c, const char *why); /* sets the error; NULL */

/* Links what shows the QR: with the account given, or the one of the registration's push name, or a
 * fresh one. The device number or -1; *a is set. */
int control_scan(const char *qr, struct account **a, const char **why);
/* Answers a waiting call with an object (taken). */
void control_answer(struct http_request *r, json_t *o);

#endif
