/* ward.conf and the file of client data: lines -> sections and values, each checked against the
 * table; and the getters. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/config_private.h"

#define WORD_MAX 128 /* bytes of a section's or a key's name */

#define CONFIG_LINE_BEFORE UINT32_MAX /* of a value: it was set in an earlier file */

struct parser {
	struct config *c;
	const char *name; /* of the file */
	unsigned line;
	char section[WORD_MAX]; /* "" before the first */
	unsigned *begun;        /* line at which the section of each key began; 0 = not yet */
	unsigned roles_begun, queries_begun;
	int client; /* the file of client data */
	char *err;
	size_t errlen;
};

static int fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "file:line: message"; always -1. */
static int
fail(struct parser *p, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (p->errlen > 0)
		snprintf(p->err, p->errlen, "%s:%u: %s", p->name, p->line, text);
	return -1;
}

static int
section_known(const char *section)
{
	size_t i;

	for (i = 0; i < config_nkeys; i++)
		if (strcmp(config_keys[i].section, section) == 0)
			return 1;
	return strcmp(section, "roles") == 0 || strcmp(section, "queries") == 0;
}

static int
of_client(const char *section)
{
	return strcmp(section, "client") == 0 || strcmp(section, "queries") == 0;
}

static size_t
key_find(const char *section, const char *key)
{
	size_t i;

	for (i = 0; i < config_nkeys; i++)
		if (strcmp(config_keys[i].section, section) == 0 &&
		    strcmp(config_keys[i].key, key) == 0)
			break;
	return i;
}

/* Fresh values, all at their defaults. A default that is wrong is a fault of the table. */
static struct config_value *
values_new(void)
{
	struct config_value *v = calloc(config_nkeys, sizeof(*v));
	size_t i;

	if (v == NULL)
		return NULL;
	for (i = 0; i < config_nkeys; i++)
		if (config_value_check(&config_keys[i], config_keys[i].fallback, &v[i].number) !=
		    NULL)
			abort();
	return v;
}

static void
values_free(struct config_value *v)
{
	size_t i;

	for (i = 0; v != NULL && i < config_nkeys; i++)
		free(v[i].text);
	free(v);
}

void
config_free(struct config *c)
{
	size_t i;

	if (c == NULL)
		return;
	values_free(c->values);
	for (i = 0; i < c->naccounts; i++)
		values_free(c->accounts[i].values);
	for (i = 0; i < c->nroles; i++) {
		free(c->roles[i].key);
		free(c->roles[i].value);
	}
	for (i = 0; i < c->nqueries; i++) {
		free(c->queries[i].key);
		free(c->queries[i].value);
	}
	free(c->accounts);
	free(c->roles);
	free(c->queries);
	free(c);
}

/* ---------------------------------------------------------------- sections */

static int
begin_account(struct parser *p, const char *name)
{
	struct config *c = p->c;
	struct config_account *a;
	const char *why;
	size_t i;

	if ((why = config_account_name_check(name)) != NULL)
		return fail(p, "%s", why);
	for (i = 0; i < c->naccounts; i++)
		if (strcmp(c->accounts[i].name, name) == 0)
			return fail(p, "account %s comes twice", name);
	if (c->naccounts == ACCOUNTS_MAX)
		return fail(p, "more than %d accounts: run a second service", ACCOUNTS_MAX);
	if ((a = reallocarray(c->accounts, c->naccounts + 1, sizeof(*a))) == NULL)
		return fail(p, "out of memory");
	c->accounts = a;
	a += c->naccounts;
	memset(a, 0, sizeof(*a));
	snprintf(a->name, sizeof(a->name), "%s", name);
	if ((a->values = values_new()) == NULL)
		return fail(p, "out of memory");
	c->naccounts++;
	return 0;
}

static int
begin_plain(struct parser *p, const char *section)
{
	unsigned *begun = strcmp(section, "roles") == 0 ? &p->roles_begun : &p->queries_begun;
	size_t i;

	for (i = 0; i < config_nkeys; i++)
		if (strcmp(config_keys[i].section, section) == 0) {
			begun = &p->begun[i];
			break;
		}
	if (*begun != 0)
		return fail(p, "section [%s] has begun at line %u already", section, *begun);
	*begun = p->line;
	return 0;
}

/* text: "[name]" or "[account NAME]". */
static int
begin_section(struct parser *p, char *text)
{
	size_t len = strlen(text);
	char *arg;

	if (text[len - 1] != ']')
		return fail(p, "a section is [name], with nothing behind it");
	text[len - 1] = '\0';
	text++;
	if ((arg = strchr(text, ' ')) != NULL)
		*arg++ = '\0';
	if (strlen(text) >= WORD_MAX || !section_known(text))
		return fail(p, "there is no section [%.64s]", text);
	if (p->client && !of_client(text))
		return fail(p, "client data have no section [%s]: it belongs into ward.conf", text);
	snprintf(p->section, sizeof(p->section), "%s", text);
	if (strcmp(text, "account") == 0)
		return arg != NULL ? begin_account(p, arg + strspn(arg, " "))
				   : fail(p, "an account needs a name: [account NAME]");
	if (arg != NULL)
		return fail(p, "section [%s] has no name of its own", text);
	return begin_plain(p, text);
}

/* ---------------------------------------------------------------- values */

/* One more pair at the end of a list of *n. 0, or -1: memory. */
static int
add_pair(struct config_role **list, size_t *n, const char *key, const char *value)
{
	struct config_role *r = reallocarray(*list, *n + 1, sizeof(*r));

	if (r == NULL)
		return -1;
	*list = r;
	r += (*n)++;
	r->key = strdup(key);
	r->value = strdup(value);
	return r->key == NULL || r->value == NULL ? -1 : 0;
}

static const char *
find_pair(const struct config_role *list, size_t n, const char *key)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(list[i].key, key) == 0)
			return list[i].value;
	return NULL;
}

static int
set_role(struct parser *p, const char *key, const char *value)
{
	struct config *c = p->c;
	const char *why;

	if ((why = config_role_key_check(key)) != NULL)
		return fail(p, "%.64s %s", key, why);
	if (find_pair(c->roles, c->nroles, key) != NULL)
		return fail(p, "%s comes twice", key);
	if (c->nroles == CONFIG_ROLES_MAX)
		return fail(p, "more than %d rules in [roles]", CONFIG_ROLES_MAX);
	if (add_pair(&c->roles, &c->nroles, key, value) == -1)
		return fail(p, "out of memory");
	if ((why = config_roles_check(c->roles[c->nroles - 1].value)) != NULL)
		return fail(p, "%s: %s", key, why);
	return 0;
}

static int
set_query(struct parser *p, const char *name, const char *id)
{
	struct config *c = p->c;
	const char *why;

	if ((why = config_query_check(name, id)) != NULL)
		return fail(p, "%.64s: %s", name, why);
	if (find_pair(c->queries, c->nqueries, name) != NULL)
		return fail(p, "%s comes twice", name);
	if (c->nqueries == CONFIG_QUERIES_MAX)
		return fail(p, "more than %d names in [queries]", CONFIG_QUERIES_MAX);
	if (add_pair(&c->queries, &c->nqueries, name, id) == -1)
		return fail(p, "out of memory");
	return 0;
}

static int
set_value(struct parser *p, const char *key, const char *value)
{
	struct config_value *v;
	const char *why;
	size_t i;

	if (p->section[0] == '\0')
		return fail(p, "%.64s stands before the first [section]", key);
	if (strcmp(p->section, "roles") == 0)
		return set_role(p, key, value);
	if (strcmp(p->section, "queries") == 0)
		return set_query(p, key, value);
	if ((i = key_find(p->section, key)) == config_nkeys)
		return fail(p, "there is no key %.64s in [%s]", key, p->section);
	if (strcmp(p->section, "account") == 0)
		v = &p->c->accounts[p->c->naccounts - 1].values[i];
	else
		v = &p->c->values[i];
	if (v->line != 0 && p->client && v->line == CONFIG_LINE_BEFORE)
		return fail(p, "%s is set in ward.conf already", key);
	if (v->line != 0)
		return fail(p, "%s is set at line %u already", key, v->line);
	if ((why = config_value_check(&config_keys[i], value, &v->number)) != NULL) {
		if (config_keys[i].type == CONFIG_CHOICE)
			return fail(p, "%s must be one of %s", key, config_keys[i].choices);
		return fail(p, "%s %s", key, why);
	}
	if ((v->text = strdup(value)) == NULL)
		return fail(p, "out of memory");
	v->line = p->line;
	return 0;
}

/* ---------------------------------------------------------------- lines */

static int
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cut blanks at both ends, in place. */
static char *
trim(char *s)
{
	size_t n;

	while (is_blank(*s))
		s++;
	n = strlen(s);
	while (n > 0 && is_blank(s[n - 1]))
		n--;
	s[n] = '\0';
	return s;
}

/* A # at the start or after a blank begins a comment. */
static void
cut_comment(char *s)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		if (s[i] == '#' && (i == 0 || is_blank(s[i - 1]))) {
			s[i] = '\0';
			return;
		}
}

static int
has_control(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
			return 1;
	return 0;
}

static int
parse_line(struct parser *p, const char *start, size_t len)
{
	char line[CONFIG_STRING_MAX + WORD_MAX + 64];
	char *text, *eq;

	if (len >= sizeof(line))
		return fail(p, "the line is too long");
	if (has_control(start, len))
		return fail(p, "a control character in the line");
	memcpy(line, start, len);
	line[len] = '\0';
	cut_comment(line);
	text = trim(line);
	if (*text == '\0')
		return 0;
	if (*text == '[')
		return begin_section(p, text);
	if ((eq = strchr(text, '=')) == NULL)
		return fail(p, "neither [section] nor key = value");
	*eq = '\0';
	text = trim(text);
	if (*text == '\0' || strlen(text) >= WORD_MAX)
		return fail(p, "there is no such key");
	return set_value(p, text, trim(eq + 1));
}

static int
parse_lines(struct parser *p, const char *text, size_t len)
{
	while (len > 0) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl != NULL ? (size_t)(nl - text) : len;

		p->line++;
		if (parse_line(p, text, n) == -1)
			return -1;
		if (nl != NULL)
			n++;
		text += n;
		len -= n;
	}
	return 0;
}

/* Rules between two keys: the first must not be above the second. */
static int
check_order(struct parser *p, const char *section, const char *low, const char *high)
{
	const struct config_value *a = &p->c->values[key_find(section, low)];
	const struct config_value *b = &p->c->values[key_find(section, high)];

	if (a->number <= b->number)
		return 0;
	p->line = a->line > b->line ? a->line : b->line;
	return fail(p, "%s must not be above %s", low, high);
}

static int
check_whole(struct parser *p)
{
	if (p->c->naccounts == 0)
		return fail(p, "there is no account: add a section [account NAME]");
	if (check_order(p, "network", "keepalive_min", "keepalive_max") == -1 ||
	    check_order(p, "network", "backoff_unit", "backoff_max") == -1 ||
	    check_order(p, "api", "max_line", "max_unread") == -1)
		return -1;
	return 0;
}

struct config *
config_parse(const char *name, const char *text, size_t len, char *err, size_t errlen)
{
	struct parser p = {.name = name, .err = err, .errlen = errlen};
	int ok = 0;

	if (errlen > 0)
		err[0] = '\0';
	if ((p.c = calloc(1, sizeof(*p.c))) == NULL || (p.c->values = values_new()) == NULL ||
	    (p.begun = calloc(config_nkeys, sizeof(*p.begun))) == NULL)
		fail(&p, "out of memory");
	else if (len > CONFIG_TEXT_MAX)
		fail(&p, "the file is bigger than %u bytes", CONFIG_TEXT_MAX);
	else
		ok = parse_lines(&p, text, len) == 0 && check_whole(&p) == 0;
	free(p.begun);
	if (ok)
		return p.c;
	config_free(p.c);
	return NULL;
}

int
config_add_client(
    struct config *c, const char *name, const char *text, size_t len, char *err, size_t errlen)
{
	struct parser p = {.c = c, .name = name, .err = err, .errlen = errlen, .client = 1};
	size_t i;
	int ok = -1;

	if (errlen > 0)
		err[0] = '\0';
	if ((p.begun = calloc(config_nkeys, sizeof(*p.begun))) == NULL)
		return fail(&p, "out of memory");
	for (i = 0; i < config_nkeys; i++)
		if (c->values[i].line != 0)
			c->values[i].line = CONFIG_LINE_BEFORE;
	if (len > CONFIG_TEXT_MAX)
		fail(&p, "the file is bigger than %u bytes", CONFIG_TEXT_MAX);
	else
		ok = parse_lines(&p, text, len);
	free(p.begun);
	return ok;
}

/* ---------------------------------------------------------------- getters */

static size_t
key_index(const char *section, const char *key)
{
	size_t i = key_find(section, key);

	if (i == config_nkeys)
		abort(); /* the caller asks for what the table does not have */
	return i;
}

static const char *
value_text(const struct config_value *values, size_t i)
{
	return values[i].text != NULL ? values[i].text : config_keys[i].fallback;
}

const char *
config_str(const struct config *c, const char *section, const char *key)
{
	return value_text(c->values, key_index(section, key));
}

int64_t
config_int(const struct config *c, const char *section, const char *key)
{
	size_t i = key_index(section, key);

	if (config_keys[i].type == CONFIG_STRING)
		abort();
	return c->values[i].number;
}

int
config_bool(const struct config *c, const char *section, const char *key)
{
	size_t i = key_index(section, key);

	if (config_keys[i].type != CONFIG_BOOL)
		abort();
	return c->values[i].number != 0;
}

size_t
config_account_count(const struct config *c)
{
	return c->naccounts;
}

const char *
config_account_name(const struct config *c, size_t i)
{
	return c->accounts[i].name;
}

const char *
config_account_str(const struct config *c, size_t i, const char *key)
{
	return value_text(c->accounts[i].values, key_index("account", key));
}

int
config_account_bool(const struct config *c, size_t i, const char *key)
{
	size_t k = key_index("account", key);

	if (config_keys[k].type != CONFIG_BOOL)
		abort();
	return c->accounts[i].values[k].number != 0;
}

size_t
config_role_count(const struct config *c)
{
	return c->nroles;
}

const char *
config_role_key(const struct config *c, size_t i)
{
	return c->roles[i].key;
}

const char *
config_role_value(const struct config *c, size_t i)
{
	return c->roles[i].value;
}

const char *
config_query(const struct config *c, const char *name)
{
	return find_pair(c->queries, c->nqueries, name);
}

int64_t
config_date(const struct config *c, const char *section, const char *key)
{
	return c->values[key_index(section, key)].number;
}
