/* Values of ward.conf: strict numbers, units, choices and the forms of strings. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/config_private.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit sizes[] = {
    {"", 1}, {"K", 1024}, {"M", 1024 * 1024}, {"G", 1024 * 1024 * 1024}, {NULL, 0}};
static const struct unit times[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit none[] = {{"", 1}, {NULL, 0}};

/* Digits and a unit, nothing else; a zero in front is no number here. -1: not that. */
static int
parse_number(const char *text, const struct unit *units, int64_t *out)
{
	int64_t v = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9'; p++) {
		if (p - text == 12)
			return -1; /* 12 digits times any unit fit in 63 bits */
		v = v * 10 + (*p - '0');
	}
	if (p == text || (*text == '0' && p - text > 1))
		return -1;
	for (; units->name != NULL; units++) {
		if (strcmp(p, units->name) == 0) {
			if (v > INT64_MAX / units->factor)
				return -1;
			*out = v * units->factor;
			return 0;
		}
	}
	return -1;
}

static int
parse_octal(const char *text, int64_t *out)
{
	size_t n = strspn(text, "01234567");

	if (n == 0 || n > 6 || text[n] != '\0')
		return -1;
	*out = strtol(text, NULL, 8);
	return 0;
}

/* The place of the text among "a|b|c", or -1. */
static int
parse_choice(const char *text, const char *choices)
{
	size_t n = strlen(text);
	const char *p = choices;
	int i;

	for (i = 0; n > 0; i++) {
		size_t len = strcspn(p, "|");

		if (len == n && strncmp(p, text, n) == 0)
			return i;
		if (p[len] == '\0')
			break;
		p += len + 1;
	}
	return -1;
}

static int
starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0 && text[strlen(with)] != '\0';
}

/* YYYY-MM-DD, from 2020 on, as seconds since the epoch. -1: not that. */
static int
parse_date(const char *text, int64_t *out)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%d", &tm);

	if (strlen(text) != 10 || end == NULL || *end != '\0' || tm.tm_year < 120)
		return -1;
	*out = timegm(&tm);
	/* the 31st of February would be a day in March */
	return *out != -1 && (tm.tm_mday == text[9] - '0' + 10 * (text[8] - '0')) ? 0 : -1;
}

/* "1 4 300": whole numbers from 1 on, none twice, in rising order. */
static int
check_numbers(const char *text)
{
	int64_t last = 0, n;
	char one[16];

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (len == 0 || len >= sizeof(one))
			return -1;
		memcpy(one, text, len);
		one[len] = '\0';
		if (parse_number(one, none, &n) == -1 || n <= last || n > 536870911)
			return -1;
		last = n;
		text += len + strspn(text + len, " ");
	}
	return 0;
}

/* Three numbers with dots between. */
static int
check_version(const char *text)
{
	char copy[40], *p = copy, *word;
	int64_t v;
	int n = 0;

	if (strlen(text) >= sizeof(copy))
		return -1;
	memcpy(copy, text, strlen(text) + 1);
	while ((word = strsep(&p, ".")) != NULL) {
		if (parse_number(word, none, &v) == -1 || v > UINT32_MAX)
			return -1;
		n++;
	}
	return n == 3 ? 0 : -1;
}

/* The forms that a string may have to keep; an empty string is checked by its length alone. */
static const char *
check_form(const char *form, const char *text)
{
	int64_t n;

	if (form == NULL || *text == '\0')
		return NULL;
	if (strcmp(form, "path") == 0)
		return *text == '/' ? NULL : "must be an absolute path";
	if (strcmp(form, "wss") == 0)
		return starts(text, "wss://") ? NULL : "must begin with wss://";
	if (strcmp(form, "proxy") == 0)
		return starts(text, "http://") || starts(text, "https://") ||
			       starts(text, "socks5://") || starts(text, "socks5h://")
			   ? NULL
			   : "must begin with http://, https://, socks5:// or socks5h://";
	if (strcmp(form, "hex64") == 0)
		return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64
			   ? NULL
			   : "must be 64 hex digits";
	if (strcmp(form, "key-source") == 0)
		return starts(text, "file:/") || starts(text, "credential:") ||
			       starts(text, "passphrase:/")
			   ? NULL
			   : "must be file:PATH, credential:NAME or passphrase:PATH, paths "
			     "absolute";
	if (strcmp(form, "date") == 0)
		return parse_date(text, &n) == 0 ? NULL : "must be a date, as in 2026-08-22";
	if (strcmp(form, "version") == 0)
		return check_version(text) == 0 ? NULL : "must be three numbers, as in 0.1.0";
	if (strcmp(form, "numbers") == 0)
		return check_numbers(text) == 0 ? NULL
						: "must be rising numbers with blanks between";
	abort(); /* the table names a form that is not here */
}

static const char *
check_string(const struct config_key *key, const char *text)
{
	size_t len = strlen(text);

	if (len < (size_t)key->min)
		return "must not be empty";
	if (len > (key->max > 0 ? (size_t)key->max : CONFIG_STRING_MAX))
		return "is too long";
	return check_form(key->choices, text);
}

const char *
config_value_check(const struct config_key *key, const char *text, int64_t *number)
{
	int i;

	switch (key->type) {
	case CONFIG_STRING:
		*number = 0;
		if (key->choices != NULL && strcmp(key->choices, "date") == 0)
			(void)parse_date(text, number);
		return check_string(key, text);
	case CONFIG_BOOL:
		if ((i = parse_choice(text, "no|yes")) == -1)
			return "must be yes or no";
		*number = i;
		return NULL;
	case CONFIG_CHOICE:
		if ((i = parse_choice(text, key->choices)) == -1)
			return "is none of the words that are possible";
		*number = i;
		return NULL;
	case CONFIG_INT:
		if (parse_number(text, none, number) == -1)
			return "must be a whole number";
		break;
	case CONFIG_MODE:
		if (parse_octal(text, number) == -1)
			return "must be an octal number";
		break;
	case CONFIG_SIZE:
		if (parse_number(text, sizes, number) == -1)
			return "must be a number of bytes, as in 4096, 64K, 16M, 1G";
		break;
	case CONFIG_TIME_MS:
		if (parse_number(text, times, number) == -1)
			return "must be a time with its unit, as in 500ms, 30s, 5m, 12h, 7d";
		break;
	}
	if (*number < key->min)
		return "is too small";
	return *number > key->max ? "is too big" : NULL;
}

const char *
config_account_name_check(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > ACCOUNT_NAME_MAX ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return "an account's name is 1 to 32 of a-z, 0-9 and -";
	return NULL;
}

const char *
config_query_check(const char *name, const char *id)
{
	size_t n = strlen(name), d = strlen(id);

	if (n > 64 || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_") != n)
		return "a query's name is 1 to 64 letters, digits and _";
	if (d == 0 || d > 32 || strspn(id, "0123456789") != d)
		return "a query's id is 1 to 32 digits";
	return NULL;
}

const char *
config_role_key_check(const char *key)
{
	int64_t n;

	if (starts(key, "uid:") || starts(key, "gid:"))
		return parse_number(key + 4, none, &n) == 0 && n < UINT32_MAX
			   ? NULL
			   : "is no user or group number";
	if ((starts(key, "user:") && strlen(key + 5) <= 64) ||
	    (starts(key, "group:") && strlen(key + 6) <= 64))
		return NULL;
	return "must be uid:N, gid:N, user:NAME or group:NAME";
}

const char *
config_roles_check(char *text)
{
	static const char between[] = " \t,";
	char *at = text, *word, *rest = text;
	unsigned seen = 0;

	for (word = text + strspn(text, between); *word != '\0';
	     word = rest + strspn(rest, between)) {
		size_t len = strcspn(word, between);
		int i;

		rest = word + len;
		if (*rest != '\0')
			*rest++ = '\0';
		if ((i = parse_choice(word, "observe|read|send|manage|link|identity|admin")) == -1)
			return "roles are observe, read, send, manage, link, identity and admin";
		if (seen & 1u << i)
			return "names a role twice";
		seen |= 1u << i;
		if (at != text)
			*at++ = ' ';
		memmove(at, word, len);
		at += len;
	}
	*at = '\0';
	return seen == 0 ? "names no role" : NULL;
}
