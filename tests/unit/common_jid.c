/* JIDs: text forms, what is refused, comparing (protocol page 02, section 8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/jid.h"

#define LONG64 "0123456789012345678901234567890123456789012345678901234567890123"

static const struct row {
	const char *text;
	const char *user, *server; /* user NULL: must be refused */
	unsigned device, integrator;
	const char *printed; /* NULL = as it came */
} rows[] = {
    {"s.whatsapp.net", "", JID_PN, 0, 0, NULL},
    {"@s.whatsapp.net", "", JID_PN, 0, 0, "s.whatsapp.net"},
    {"g.us", "", JID_GROUP, 0, 0, NULL},
    {"c.us", "", JID_PN, 0, 0, "s.whatsapp.net"},
    {"15551234567@s.whatsapp.net", "15551234567", JID_PN, 0, 0, NULL},
    {"15551234567:0@s.whatsapp.net", "15551234567", JID_PN, 0, 0, "15551234567@s.whatsapp.net"},
    {"15551234567:33@s.whatsapp.net", "15551234567", JID_PN, 33, 0, NULL},
    {"15551234567:255@s.whatsapp.net", "15551234567", JID_PN, 255, 0, NULL},
    {"15551234567:256@s.whatsapp.net", NULL, NULL, 0, 0, NULL},
    {"120363000000001:7@lid", "120363000000001", JID_LID, 7, 0, NULL},
    {"15551234567@c.us", "15551234567", JID_PN, 0, 0, "15551234567@s.whatsapp.net"},
    {"15551234567.0:5@s.whatsapp.net", "15551234567", JID_PN, 5, 0, "15551234567:5@s.whatsapp.net"},
    {"15551234567_1:5@s.whatsapp.net", "15551234567", JID_PN, 5, 0, "15551234567:5@s.whatsapp.net"},
    {"15551234567.1234@s.whatsapp.net", "15551234567.1234", JID_PN, 0, 0, NULL},
    {"1.2.3@s.whatsapp.net", "1.2.3", JID_PN, 0, 0, NULL},
    {"1_2.3@s.whatsapp.net", "1_2.3", JID_PN, 0, 0, NULL},
    {"1.2:5@lid", "1.2", JID_LID, 5, 0, NULL},
    {"status@broadcast", "status", JID_BROADCAST, 0, 0, NULL},
    {"15551234567-1400000000@g.us", "15551234567-1400000000", JID_GROUP, 0, 0, NULL},
    {"120363290000000000@newsletter", "120363290000000000", JID_NEWSLETTER, 0, 0, NULL},
    {"867051314767696@bot", "867051314767696", "bot", 0, 0, NULL},
    {"15551234567:99@hosted", "15551234567", JID_HOSTED, 99, 0, NULL},
    {"120363000000001:99@hosted.lid", "120363000000001", JID_HOSTED_LID, 99, 0, NULL},
    {"100012345678901:65535@msgr", "100012345678901", "msgr", 65535, 0, NULL},
    {"9-12345678:2@interop", "12345678", "interop", 2, 9, NULL},
    {"12345678:2@interop", "12345678", "interop", 2, 0, "0-12345678:2@interop"},
    {"a-b@interop", "a-b", "interop", 0, 0, "0-a-b@interop"},
    {"1@new.server", "1", "new.server", 0, 0, NULL},
    {LONG64 "@lid", LONG64, JID_LID, 0, 0, NULL},
    {LONG64 "4@lid", NULL, NULL, 0, 0, NULL},
    {"", NULL, NULL, 0, 0, NULL},
    {"15551234567", NULL, NULL, 0, 0, NULL},
    {"new.server", NULL, NULL, 0, 0, NULL},
    {"@new.server", NULL, NULL, 0, 0, NULL},
    {"@", NULL, NULL, 0, 0, NULL},
    {"1@", NULL, NULL, 0, 0, NULL},
    {"1@lid@lid", NULL, NULL, 0, 0, NULL},
    {":5@lid", NULL, NULL, 0, 0, NULL},
    {"1:@lid", NULL, NULL, 0, 0, NULL},
    {"1:5:5@lid", NULL, NULL, 0, 0, NULL},
    {"1:-5@lid", NULL, NULL, 0, 0, NULL},
    {"1: 5@lid", NULL, NULL, 0, 0, NULL},
    {"1:000005@lid", NULL, NULL, 0, 0, NULL},
    {"1:65536@msgr", NULL, NULL, 0, 0, NULL},
    {"1 2@lid", NULL, NULL, 0, 0, NULL},
    {"1/2@lid", NULL, NULL, 0, 0, NULL},
    {"1\n@lid", NULL, NULL, 0, 0, NULL},
    {"1@li d", NULL, NULL, 0, 0, NULL},
    {"1@012345678901234567890123456789012", NULL, NULL, 0, 0, NULL},
};

static void
test_text(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		char text[JID_TEXT_MAX];
		struct jid j, again;

		print_message("\"%s\"\n", r->text);
		assert_int_equal(jid_parse(r->text, &j), r->user != NULL ? 0 : -1);
		if (r->user == NULL)
			continue;
		assert_string_equal(j.user, r->user);
		assert_string_equal(j.server, r->server);
		assert_int_equal(j.device, r->device);
		assert_int_equal(j.integrator, r->integrator);
		assert_ptr_equal(jid_format(&j, text), text);
		assert_string_equal(text, r->printed != NULL ? r->printed : r->text);
		assert_int_equal(jid_parse(text, &again), 0);
		assert_memory_equal(&j, &again, sizeof(j));
	}
}

static void
test_make(void **state)
{
	struct jid j;

	assert_int_equal(jid_make(&j, "15551234567", "c.us", 3), 0);
	assert_string_equal(j.server, JID_PN);
	assert_int_equal(jid_make(&j, "", JID_PN, 0), 0);
	assert_true(jid_is_server(&j));
	assert_int_equal(jid_make(&j, "", JID_PN, 1), -1);
	assert_int_equal(jid_make(&j, "1", "", 0), -1);
	assert_int_equal(jid_make(&j, "1", JID_LID, 256), -1);
	assert_int_equal(jid_make(&j, "1", "msgr", 65536), -1);
	assert_int_equal(jid_make(&j, "1@2", JID_LID, 0), -1);
	assert_int_equal(jid_make(&j, "1:2", JID_LID, 0), -1);
	assert_int_equal(jid_make(&j, LONG64 "x", JID_LID, 0), -1);
}

static void
test_compare(void **state)
{
	struct jid a, b, lid, bare;

	assert_int_equal(jid_parse("155:3@s.whatsapp.net", &a), 0);
	assert_int_equal(jid_parse("155@c.us", &b), 0);
	assert_int_equal(jid_parse("155:3@lid", &lid), 0);
	assert_false(jid_eq(&a, &b));
	assert_true(jid_same_user(&a, &b));
	assert_false(jid_same_user(&a, &lid));
	bare = jid_bare(&a);
	assert_true(jid_eq(&bare, &b));
	b = jid_device(&b, 3);
	assert_true(jid_eq(&a, &b));
	assert_true(jid_is_pn(&a));
	assert_false(jid_is_lid(&a));
	assert_true(jid_is_lid(&lid));
	assert_true(jid_on(&lid, JID_LID));
	assert_false(jid_is_server(&a));
	assert_int_equal(jid_parse("s.whatsapp.net", &a), 0);
	assert_false(jid_is_pn(&a));
}

static void
test_kinds(void **state)
{
	static const struct {
		const char *text;
		int by_number, by_lid, hosted;
	} kinds[] = {
	    {"155:3@s.whatsapp.net", 1, 0, 0},
	    {"155@lid", 0, 1, 0},
	    {"155:99@hosted", 1, 0, 1},
	    {"155:99@hosted.lid", 0, 1, 1},
	    {"155@g.us", 0, 0, 0},
	    {"155@bot", 0, 0, 0},
	    {"s.whatsapp.net", 0, 0, 0},
	    {"lid", 0, 0, 0},
	};
	struct jid j;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		assert_int_equal(jid_parse(kinds[i].text, &j), 0);
		assert_int_equal(jid_by_number(&j), kinds[i].by_number);
		assert_int_equal(jid_by_lid(&j), kinds[i].by_lid);
		assert_int_equal(jid_is_hosted(&j), kinds[i].hosted);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_make),
	    cmocka_unit_test(test_compare),
	    cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
