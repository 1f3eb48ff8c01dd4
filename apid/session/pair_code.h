/* Linking by phone number and code (protocol page 03, section 5). */
#ifndef WARD_PAIR_CODE_H
#define WARD_PAIR_CODE_H

#include "apid/session/account.h"
#include "common/wire/node.h"

#define REF_MAX 512u /* bytes of a ref */

struct pair_code;

/* How the attempt hears of it: step is "code" (text, ms = when it expires) or "error" (text =
 * reason, ms = when another may be asked for; 0 = at any time). */
typedef void pair_code_fn(
    struct account *a, const char *step, const char *text, int64_t ms, void *arg);

/* phone: digits; code: own code or NULL. Begins at once: <pair-device> must have come. */
struct pair_code *pair_code_begin(
    struct account *a, const char *phone, const char *code, pair_code_fn *fn, void *arg);
void pair_code_free(struct pair_code *p); /* NULL is fine */
/* A link_code_companion_reg notification; acked by the caller. */
void pair_code_notification(struct pair_code *p, const struct node *n);
/* companion_finish is out: pair-success is awaited, its secret must stay (page 03, 3.3). */
int pair_code_finishing(const struct pair_code *p);
/* When the secret of both sides was made, monotonic; 0 = it was not. */
int64_t pair_code_agreed_ms(const struct pair_code *p);
/* "+49 (0)151…" -> digits; -1 if it is no international number. buf: 32 bytes. */
int pair_code_phone(const char *text, char buf[32]);

#endif
