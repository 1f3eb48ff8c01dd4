/* ward.conf: "[section]" or "[section name]", "key = value", # comments. One table says what
 * exists. */
#ifndef WARD_CONFIG_H
#define WARD_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#define ACCOUNT_NAME_MAX 32 /* [a-z0-9-]{1,32} */
#define ACCOUNTS_MAX     64

struct config; /* parsed, validated, defaults filled in */

/* Parse text (a whole file; name is for messages). NULL on failure: err then holds
 * "file:line: message". Unknown or repeated keys, bad values, missing sections are errors. */
struct config *config_parse(
    const char *name, const char *text, size_t len, char *err, size_t errlen);
void config_free(struct config *c);
/* Add the file of client data: the sections [client] and [queries] alone, and nothing that is set
 * already. 0, or -1 and err; c is then of no use. */
int config_add_client(
    struct config *c, const char *name, const char *text, size_t len, char *err, size_t errlen);

/* Values; section "network", key "url". For named sections use config_named_*. Asking for a key
 * that is not in the table is a programming error (aborts). */
const char *config_str(
    const struct config *c, const char *section, const char *key); /* "" = unset */
int64_t config_int(
    const struct config *c, const char *section, const char *key); /* also sizes, ms */
int config_bool(const struct config *c, const char *section, const char *key);

/* [account NAME] sections, in file order. */
size_t config_account_count(const struct config *c);
const char *config_account_name(const struct config *c, size_t i);
const char *config_account_str(const struct config *c, size_t i, const char *key);
int config_account_bool(const struct config *c, size_t i, const char *key);

/* [roles]: free keys "uid:1000", "gid:100", "user:NAME", "group:NAME"; values are lists of roles.
 */
size_t config_role_count(const struct config *c);
const char *config_role_key(const struct config *c, size_t i);
const char *config_role_value(const struct config *c, size_t i);

/* [queries]: free keys, ids of queries by their name. NULL if it is not there. */
const char *config_query(const struct config *c, const char *name);
/* A value of the form "date", YYYY-MM-DD, as seconds since the epoch. */
int64_t config_date(const struct config *c, const char *section, const char *key);

/* The text that a child needs: only the sections of the bit set, normalised, defaults written out.
 * config_parse reads it back. Malloc'd. */
#define CONFIG_FOR_KEYD   1u
#define CONFIG_FOR_NETD   2u
#define CONFIG_FOR_STORED 4u
#define CONFIG_FOR_APID   8u
char *config_text_for(const struct config *c, unsigned who, size_t *len);

/* The table itself, for the man page and for tests. */
enum config_type {
	CONFIG_STRING,
	CONFIG_BOOL,
	CONFIG_INT,
	CONFIG_SIZE,
	CONFIG_TIME_MS,
	CONFIG_CHOICE,
	CONFIG_MODE /* octal */
};
struct config_key {
	const char *section, *key;
	enum config_type type;
	const char *fallback; /* default, as text */
	int64_t min, max;
	const char *choices; /* "required|optional"; of a string: the form it must have, see
				config_value.c */
	unsigned who;        /* which children get it */
	const char *doc;     /* one line for ward.conf(5) */
};
extern const struct config_key config_keys[];
extern const size_t config_nkeys;

#endif
