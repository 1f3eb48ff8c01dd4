/* What is learned of numbers and LIDs: which source counts against what is known (protocol page 12,
 * 9). */
#include "tests/unit/apid_engine_rig.h"

#define PN    "15550002222"
#define LID   "100000000000002"
#define OTHER "100000000000077"

static const struct {
	const char *source;
	int taken, asked;
} sources[] = {
    /* lists, and what is said in passing: of an unknown number only; else the service is asked */
    {"pairing", 0, 1},
    {"other", 0, 1},
    {"device_notification", 0, 1},
    {"blocklist_inactive", 0, 1},
    {"migration_sync_old", 0, 0}, /* older than what is known by its name */
    {"usync", 1, 0},
    {"peer_pn_message", 1, 0},
    {"peer_lid_message", 1, 0},
    {"migration_sync_latest", 1, 0},
};

static struct person
cached(const char *user, const char *server, int want)
{
	struct person p = {0};
	struct jid j;

	assert_int_equal(jid_make(&j, user, server, 0), 0);
	assert_int_equal(contacts_cached(rig.a, &j, &p), want);
	return p;
}

static void
meet_bob(void **state)
{
	rig_teardown(state);
	rig_setup(state);
	rig_online();
	rig_in(rig_message("FIRST", "hello"));
	rig_until(rig_events("message.received") == 1);
	rig_settle();
	assert_string_equal(cached(PN, JID_PN, 0).lid, LID);
}

/* Two LIDs for one number: the one that was said last, by one who may say it. A list that says
 * otherwise has the service asked, once, and what it says counts. */
static void
two_lids(void **state)
{
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		char id[STABLE_ID_LEN + 1];
		uint64_t asked;

		meet_bob(state);
		asked = rig.a->n.device_refreshes;
		memcpy(id, cached(PN, JID_PN, 0).id, sizeof(id));
		contacts_learn_pair(rig.a, PN, OTHER, sources[i].source);
		if (strcmp(cached(PN, JID_PN, 0).lid, sources[i].taken ? OTHER : LID) != 0)
			fail_msg("%s: %s", sources[i].source, cached(PN, JID_PN, 0).lid);
		assert_string_equal(cached(PN, JID_PN, 0).id, id); /* the same person */
		if (sources[i].taken) {
			(void)cached(LID, JID_LID, -1);
			assert_string_equal(cached(OTHER, JID_LID, 0).id, id);
		}
		if (sources[i].asked)
			rig_until(rig.a->n.device_refreshes == asked + 1);
		rig_settle();
		assert_int_equal(rig.a->n.device_refreshes, asked + (uint64_t)sources[i].asked);
		if (sources[i].asked) /* the service stands by the first */
			assert_string_equal(cached(PN, JID_PN, 0).lid, LID);
	}
}

/* The same again is no conflict. */
static void
nothing_new(void **state)
{
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		meet_bob(state);
		contacts_learn_pair(rig.a, PN, LID, sources[i].source);
		rig_settle();
		assert_int_equal(rig.a->n.device_refreshes, 0);
		assert_string_equal(cached(PN, JID_PN, 0).lid, LID);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	    T(two_lids),
	    T(nothing_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
