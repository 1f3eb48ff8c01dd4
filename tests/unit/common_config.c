/* ward.conf: what is accepted, what is refused and where, and what each child gets to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/config.h"

#define ACC "[account main]\n"

static struct config *
parse(const char *text)
{
	char err[256];
	struct config *c = config_parse("t.conf", text, strlen(text), err, sizeof(err));

	if (c == NULL)
		fail_msg("refused: %s", err);
	assert_string_equal(err, "");
	return c;
}

static void
test_defaults(void **state)
{
	struct config *c = parse(ACC);

	assert_string_equal(config_str(c, "service", "data"), "/var/lib/ward/stored");
	assert_int_equal(config_int(c, "service", "socket_mode"), 0660);
	assert_int_equal(config_int(c, "service", "ready_timeout"), 20000);
	assert_int_equal(config_int(c, "service", "min_free"), 64 << 20);
	assert_string_equal(config_str(c, "service", "landlock"), "required");
	assert_false(config_bool(c, "service", "developer_unconfined"));
	assert_string_equal(config_str(c, "network", "url"), "wss://web.whatsapp.com/ws/chat");
	assert_int_equal(config_int(c, "network", "backoff_max"), 15 * 60000);
	assert_int_equal(config_int(c, "client", "revision"), 1045649367);
	assert_int_equal(config_int(c, "api", "max_line"), 1 << 20);
	assert_int_equal(config_int(c, "events", "keep_acked"), 7LL * 86400000);
	assert_int_equal(config_int(c, "events", "max_bytes"), 1LL << 30);
	assert_int_equal(config_int(c, "send", "outbox_max"), 10000);
	assert_string_equal(config_str(c, "test", "noise_root_key"), "");
	assert_int_equal(config_account_count(c), 1);
	assert_string_equal(config_account_name(c, 0), "main");
	assert_true(config_account_bool(c, 0, "enabled"));
	assert_int_equal(config_role_count(c), 0);
	config_free(c);
}

static void
test_values(void **state)
{
	struct config *c = parse("# a comment\n"
				 "\n"
				 "  [service]  # behind\n"
				 "\tdata =  /x y/#z \t # cut here\n"
				 "socket_mode=0600\n"
				 "min_free = 3K\n"
				 "landlock = optional\n"
				 "[account b-2]\n"
				 "enabled = no\n"
				 "[log]\nlevel=debug\ncontent=yes\n"
				 "[account a]\n"
				 "[roles]\n"
				 "uid:1000 = read,  send ,observe\n"
				 "group:bots=admin\n"
				 "[network]\n"
				 "keepalive_min = 250ms\nkeepalive_max = 1h");

	assert_string_equal(config_str(c, "service", "data"), "/x y/#z");
	assert_int_equal(config_int(c, "service", "socket_mode"), 0600);
	assert_int_equal(config_int(c, "service", "min_free"), 3072);
	assert_int_equal(config_int(c, "service", "landlock"), 1);
	assert_true(config_bool(c, "log", "content"));
	assert_int_equal(config_int(c, "network", "keepalive_min"), 250);
	assert_int_equal(config_int(c, "network", "keepalive_max"), 3600000);
	assert_int_equal(config_account_count(c), 2);
	assert_string_equal(config_account_name(c, 0), "b-2");
	assert_false(config_account_bool(c, 0, "enabled"));
	assert_string_equal(config_account_str(c, 0, "enabled"), "no");
	assert_true(config_account_bool(c, 1, "enabled"));
	assert_int_equal(config_role_count(c), 2);
	assert_string_equal(config_role_key(c, 0), "uid:1000");
	assert_string_equal(config_role_value(c, 0), "read send observe");
	assert_string_equal(config_role_key(c, 1), "group:bots");
	config_free(c);
}

/* Each must be refused, with the line. A table of what people and attackers write. */
static const struct {
	const char *text;
	const char *want;
} refused[] = {
    {"", "t.conf:0: there is no account"},
    {"[service]\n", "t.conf:1: there is no account"},
    {ACC "[nosuch]\n", "t.conf:2: there is no section [nosuch]"},
    {ACC "[service\n", "t.conf:2: a section is"},
    {ACC "[service] x\n", "t.conf:2: a section is"},
    {ACC "[service x]\n", "t.conf:2: section [service] has no name"},
    {ACC "[]\n", "t.conf:2: there is no section"},
    {ACC "[log]\n[api]\n[log]\n", "t.conf:4: section [log] has begun at line 2"},
    {ACC "[roles]\n[roles]\n", "t.conf:3: section [roles] has begun at line 2"},
    {"[account]\n", "t.conf:1: an account needs a name"},
    {"[account ]\n", "t.conf:1: an account's name"},
    {"[account A]\n", "t.conf:1: an account's name"},
    {"[account a b]\n", "t.conf:1: an account's name"},
    {"[account ../x]\n", "t.conf:1: an account's name"},
    {"[account 123456789012345678901234567890123]\n", "t.conf:1: an account's name"},
    {ACC ACC, "t.conf:2: account main comes twice"},
    {"level = info\n" ACC, "t.conf:1: level stands before"},
    {ACC "[log]\nlevel\n", "t.conf:3: neither"},
    {ACC "[log]\n= info\n", "t.conf:3: there is no such key"},
    {ACC "[log]\nnosuch = 1\n", "t.conf:3: there is no key nosuch in [log]"},
    {ACC "[log]\nLevel = info\n", "t.conf:3: there is no key Level in [log]"},
    {ACC "url = x\n", "t.conf:2: there is no key url in [account]"},
    {ACC "[log]\nlevel = info\nlevel = info\n", "t.conf:4: level is set at line 3 already"},
    {ACC "[log]\nlevel = loud\n", "t.conf:3: level must be one of err|warn|notice|info|debug"},
    {ACC "[log]\nlevel = err|warn\n", "t.conf:3: level must be one of"},
    {ACC "[log]\nlevel = \n", "t.conf:3: level must be one of"},
    {ACC "[log]\ncontent = true\n", "t.conf:3: content must be yes or no"},
    {ACC "[service]\ndata =\n", "t.conf:3: data must not be empty"},
    {ACC "[service]\ndata = var\n", "t.conf:3: data must be an absolute path"},
    {ACC "[service]\nmaster_key = file:x\n", "t.conf:3: master_key must be file:PATH"},
    {ACC "[service]\nmaster_key = credential:\n", "t.conf:3: master_key must be file:PATH"},
    {ACC "[service]\nsocket_mode = 0888\n", "t.conf:3: socket_mode must be an octal"},
    {ACC "[service]\nsocket_mode = 01777\n", "t.conf:3: socket_mode is too big"},
    {ACC "[service]\nmin_free = 64m\n", "t.conf:3: min_free must be a number of bytes"},
    {ACC "[service]\nmin_free = -1\n", "t.conf:3: min_free must be"},
    {ACC "[service]\nmin_free = 064\n", "t.conf:3: min_free must be"},
    {ACC "[service]\nmin_free = 1 M\n", "t.conf:3: min_free must be"},
    {ACC "[service]\nmin_free = 0x10\n", "t.conf:3: min_free must be"},
    {ACC "[service]\nmin_free = 99999999999999999999\n", "t.conf:3: min_free must be"},
    {ACC "[service]\nmin_free = 999999999999G\n", "t.conf:3: min_free"},
    {ACC "[network]\nconnect_timeout = 20\n", "t.conf:3: connect_timeout must be a time"},
    {ACC "[network]\nconnect_timeout = s\n", "t.conf:3: connect_timeout must be a time"},
    {ACC "[network]\nconnect_timeout = 999ms\n", "t.conf:3: connect_timeout is too small"},
    {ACC "[network]\nconnect_timeout = 11m\n", "t.conf:3: connect_timeout is too big"},
    {ACC "[network]\nurl = ws://x/\n", "t.conf:3: url must begin with wss://"},
    {ACC "[network]\nproxy = ftp://x\n", "t.conf:3: proxy must begin with"},
    {ACC "[network]\nkeepalive_min = 31s\n", "t.conf:3: keepalive_min must not be above"},
    {ACC "[network]\nkeepalive_max = 14s\n\n", "t.conf:3: keepalive_min must not be above"},
    {ACC "[test]\nnoise_root_key = 00\n", "t.conf:3: noise_root_key must be 64 hex"},
    {ACC "[client]\ndate = 2026-8-22\n", "t.conf:3: date must be a date"},
    {ACC "[client]\ndate = 2026-02-30\n", "t.conf:3: date must be a date"},
    {ACC "[client]\ndate = 2019-01-01\n", "t.conf:3: date must be a date"},
    {ACC "[client]\ndate = 2026-08-2x\n", "t.conf:3: date must be a date"},
    {ACC "[client]\nprops_version = 1.2\n", "t.conf:3: props_version must be three"},
    {ACC "[client]\nprops_version = 1.2.x\n", "t.conf:3: props_version must be three"},
    {ACC "[client]\nprops_version = 1.2.4294967296\n", "t.conf:3: props_version must be three"},
    {ACC "[client]\nhistory_support = 4 4\n", "t.conf:3: history_support must be rising"},
    {ACC "[client]\nhistory_support = 4,5\n", "t.conf:3: history_support must be rising"},
    {ACC "[client]\nhistory_support = 0\n", "t.conf:3: history_support must be rising"},
    {ACC "[client]\nhistory_support = 536870912\n", "t.conf:3: history_support must be"},
    {ACC "[client]\ncountry = USA\n", "t.conf:3: country is too long"},
    {ACC "[queries]\na-b = 1\n", "t.conf:3: a-b: a query's name is"},
    {ACC "[queries]\nab = 0x1\n", "t.conf:3: ab: a query's id is"},
    {ACC "[queries]\nab =\n", "t.conf:3: ab: a query's id is"},
    {ACC "[queries]\nab = 1\nab = 2\n", "t.conf:4: ab comes twice"},
    {ACC "[api]\nmax_requests = 0\n", "t.conf:3: max_requests is too small"},
    {ACC "[api]\nmax_requests = 4097\n", "t.conf:3: max_requests is too big"},
    {ACC "[api]\nmax_requests = 1K\n", "t.conf:3: max_requests must be a whole"},
    {ACC "[log]\nlevel = in\001fo\n", "t.conf:3: a control character"},
    {ACC "[log]\r\n", "t.conf:2: a control character"},
    {ACC "[roles]\nuid:x = read\n", "t.conf:3: uid:x is no user"},
    {ACC "[roles]\nuid:4294967295 = read\n", "t.conf:3: uid:4294967295 is no user"},
    {ACC "[roles]\nroot = admin\n", "t.conf:3: root must be uid:N"},
    {ACC "[roles]\nuser: = admin\n", "t.conf:3: user: must be uid:N"},
    {ACC "[roles]\nuid:1 = root\n", "t.conf:3: uid:1: roles are"},
    {ACC "[roles]\nuid:1 = ,\n", "t.conf:3: uid:1: names no role"},
    {ACC "[roles]\nuid:1 = read send read\n", "t.conf:3: uid:1: names a role twice"},
    {ACC "[roles]\nuid:1 = read\nuid:1 = send\n", "t.conf:4: uid:1 comes twice"},
};

static void
test_refused(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char err[256];
		struct config *c = config_parse(
		    "t.conf", refused[i].text, strlen(refused[i].text), err, sizeof(err));

		if (c != NULL)
			fail_msg("accepted: %s", refused[i].text);
		if (strncmp(err, refused[i].want, strlen(refused[i].want)) != 0)
			fail_msg("said \"%s\" instead of \"%s\"", err, refused[i].want);
	}
}

static void
test_odd_bytes(void **state)
{
	static const char nul[] = "[account main]\n[log]\nlevel = info\0\n";
	char err[256], tiny[8];
	char *big = malloc(2u << 20);

	assert_null(config_parse("t", nul, sizeof(nul) - 1, err, sizeof(err)));
	assert_string_equal(err, "t:3: a control character in the line");
	assert_null(config_parse("t", "[x]", 3, tiny, sizeof(tiny)));
	assert_string_equal(tiny, "t:1: th");
	assert_null(config_parse("t", "[x]", 3, NULL, 0));
	memset(big, '#', 2u << 20);
	assert_null(config_parse("t", big, 2u << 20, err, sizeof(err)));
	assert_null(config_parse("t", big, 100000, err, sizeof(err)));
	assert_string_equal(err, "t:1: the line is too long");
	free(big);
}

static void
test_account_limit(void **state)
{
	char text[(ACCOUNTS_MAX + 1) * 16], err[256];
	size_t at = 0;
	int i;

	for (i = 0; i < ACCOUNTS_MAX; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "[account a%d]\n", i);
	config_free(parse(text));
	snprintf(text + at, sizeof(text) - at, "[account a%d]\n", i);
	assert_null(config_parse("t", text, strlen(text), err, sizeof(err)));
	assert_non_null(strstr(err, "t:65: more than 64 accounts"));
}

/* A child reads back what concerns it, and does not get the rest. */
static void
test_text_for(void **state)
{
	struct config *c =
	    parse("[service]\nmaster_key = file:/k\nsocket = /s\n[network]\nurl = wss://h/\n"
		  "[log]\nlevel = warn\n[account one]\nenabled = no\n[account two]\n"
		  "[roles]\nuser:bob = admin, read\n[api]\nmax_line = 8K\n");
	static const struct {
		unsigned who;
		const char *has, *has_not;
	} rows[] = {
	    {CONFIG_FOR_KEYD, "master_key = file:/k\n", "url"},
	    {CONFIG_FOR_KEYD, "[test]\nnoise_root_key = \n", "bob"},
	    {CONFIG_FOR_NETD, "url = wss://h/\n", "master_key"},
	    {CONFIG_FOR_NETD, "landlock = required\n", "socket"},
	    {CONFIG_FOR_STORED, "max_bytes = 1G\n", "master_key"},
	    {CONFIG_FOR_APID, "[roles]\nuser:bob = admin read\n", "master_key"},
	    {CONFIG_FOR_APID, "max_line = 8K\n", "url"},
	};
	size_t i, len;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = config_text_for(c, rows[i].who, &len);
		struct config *back;
		char *again;

		assert_int_equal(strlen(text), len);
		if (strstr(text, rows[i].has) == NULL)
			fail_msg("row %zu: %s is missing in\n%s", i, rows[i].has, text);
		if (strstr(text, rows[i].has_not) != NULL)
			fail_msg("row %zu: %s is in\n%s", i, rows[i].has_not, text);
		back = parse(text);
		assert_int_equal(config_account_count(back), 2);
		assert_false(config_account_bool(back, 0, "enabled"));
		assert_string_equal(config_str(back, "log", "level"), "warn");
		again = config_text_for(back, rows[i].who, &len);
		assert_string_equal(again, text);
		free(again);
		config_free(back);
		free(text);
	}
	config_free(c);
}

/* The file of client data: its two sections alone, and nothing that ward.conf has set. */
static void
test_client_data(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: it is taken */
	} rows[] = {
	    {"", NULL},
	    {"# nothing\n[client]\n[queries]\n", NULL},
	    {"[log]\nlevel = info\n", "c.conf:1: client data have no section [log]"},
	    {"[account x]\n", "c.conf:1: client data have no section [account]"},
	    {"[client]\ndevice = x\n", "c.conf:2: device is set in ward.conf already"},
	    {"[client]\ndate = 2026-01-02\ndate = 2026-01-02\n",
		"c.conf:3: date is set at line 2 already"},
	    {"[client]\n[client]\n", "c.conf:2: section [client] has begun at line 1"},
	    {"[queries]\nold = 5\n", "c.conf:2: old comes twice"},
	    {"[client]\nrevision = 0\n", "c.conf:2: revision is too small"},
	    {"revision = 1\n", "c.conf:1: revision stands before"},
	};
	struct config *c;
	char err[256], *text;
	size_t i, len;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c = parse(ACC "[client]\ndevice = Box\n[queries]\nold = 4\n");
		assert_int_equal(config_add_client(c, "c.conf", rows[i].text, strlen(rows[i].text),
				     err, sizeof(err)),
		    rows[i].want == NULL ? 0 : -1);
		if (rows[i].want != NULL && strncmp(err, rows[i].want, strlen(rows[i].want)) != 0)
			fail_msg("said \"%s\" instead of \"%s\"", err, rows[i].want);
		config_free(c);
	}
	c = parse(ACC "[queries]\nold = 4\n");
	assert_int_equal(config_date(c, "client", "date"), 1787356800); /* 2026-08-22 */
	text = (char *)(uintptr_t) "[client]\nrevision = 1050000001\ndate = 2026-10-31\n"
				   "[queries]\nnew_one = 123\n";
	assert_int_equal(config_add_client(c, "c.conf", text, strlen(text), err, sizeof(err)), 0);
	text = config_text_for(c, CONFIG_FOR_APID, &len); /* what apid gets of it */
	config_free(c);
	c = parse(text);
	assert_int_equal(config_int(c, "client", "revision"), 1050000001);
	assert_int_equal(config_date(c, "client", "date"), 1793404800);
	assert_string_equal(config_query(c, "new_one"), "123");
	assert_string_equal(config_query(c, "old"), "4");
	assert_null(config_query(c, "none"));
	free(text);
	config_free(c);
}

/* The table: every key once, sections together, a doc line, and a default that is in its bounds (a
 * bad one would abort the parser in test_defaults). */
static void
test_table(void **state)
{
	size_t i, k;

	for (i = 0; i < config_nkeys; i++) {
		const struct config_key *a = &config_keys[i];

		assert_true(strlen(a->doc) > 10 && a->doc[strlen(a->doc) - 1] == '.');
		for (k = 0; k < i; k++) {
			const struct config_key *b = &config_keys[k];

			assert_false(
			    strcmp(a->section, b->section) == 0 && strcmp(a->key, b->key) == 0);
			if (strcmp(a->section, b->section) == 0)
				assert_string_equal(config_keys[i - 1].section, a->section);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_odd_bytes),
	    cmocka_unit_test(test_account_limit),
	    cmocka_unit_test(test_text_for),
	    cmocka_unit_test(test_client_data),
	    cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
