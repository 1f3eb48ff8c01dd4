/* The insides of a parsed configuration, for config*.c alone. */
#ifndef WARD_CONFIG_PRIVATE_H
#define WARD_CONFIG_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

#include "common/config.h"

#define CONFIG_TEXT_MAX    (1024u * 1024) /* bytes of the whole file */
#define CONFIG_STRING_MAX  4000           /* bytes of a value */
#define CONFIG_ROLES_MAX   1024           /* rules */
#define CONFIG_QUERIES_MAX 256            /* names in [queries] */

/* One value of a key: of the text, or the default. */
struct config_value {
	char *text; /* NULL = the default stands */
	int64_t number;
	unsigned line; /* 0 = the default stands */
};

struct config_account {
	char name[ACCOUNT_NAME_MAX + 1];
	struct config_value *values; /* config_nkeys, only those of [account] are used */
};

struct config_role {
	char *key;
	char *value; /* words, one space between two */
};

struct config {
	struct config_value *values; /* config_nkeys */
	struct config_account *accounts;
	size_t naccounts;
	struct config_role *roles;
	size_t nroles;
	struct config_role *queries; /* name, id */
	size_t nqueries;
};

/* config_value.c: check the text of a value; *number is set for all types but strings. NULL = fine,
 * else what is wrong with it. */
const char *config_value_check(const struct config_key *key, const char *text, int64_t *number);
/* A list of roles, normalised in place. NULL = fine. */
const char *config_roles_check(char *text);
/* "uid:1000", "gid:100", "user:NAME", "group:NAME". NULL = fine. */
const char *config_role_key_check(const char *key);
const char *config_account_name_check(const char *name);
/* A name and its id in [queries]. NULL = fine. */
const char *config_query_check(const char *name, const char *id);

#endif
