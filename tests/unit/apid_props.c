/* The switches of the service and its dirty bits: what is asked after a login, kept, and said to be
 * clean only when it is durable. */
#include "tests/unit/apid_engine_rig.h"

#include "apid/session/props.h"

static void
prop(size_t i, const char *code, const char *value)
{
	rig.prop[i][0] = code;
	rig.prop[i][1] = value;
}

static void
server_says_changed(void)
{
	struct node *n = node_new("notification");

	node_set(n, "id", "n1");
	node_set_server(n, "from", JID_PN);
	node_set(n, "type", "server");
	node_child_new(n, "abprops");
	rig_in(n);
}

/* All of them at first; then, with the hash, what changed: merged, not put in place. */
static void
full_then_delta(void **state)
{
	prop(0, "2983", "900");
	prop(1, "20865", "enabled");
	prop(2, "77777", "5"); /* not known here */
	prop(3, "9435", "true");
	prop(4, "865", "junk");
	rig.prop_hash = "h1";
	rig_start();
	assert_int_equal(props_int(rig.a, PROPS_EDIT_WINDOW), 1200);
	rig_connect();
	rig_offline_end();
	rig_until(strcmp(rig.props_hash, "h1") == 0);
	assert_string_equal(rig.props_asked_with, "");
	assert_string_equal(rig.props, "1 2983=900 9435=1 20865=1");
	assert_int_equal(props_int(rig.a, PROPS_EDIT_WINDOW), 900);
	assert_int_equal(props_int(rig.a, PROPS_TOKEN_BUCKET), 604800);
	assert_int_equal(props_int(rig.a, 77777), 0);
	/* another process knows them before it asks */
	rig_crash();
	rig_start();
	assert_int_equal(props_int(rig.a, PROPS_EDIT_WINDOW), 900);
	assert_int_equal(props_int(rig.a, PROPS_LID_MIGRATION), 1);
	memset(rig.prop, 0, sizeof(rig.prop));
	prop(0, "9435", "0");
	prop(1, "909", "6");
	rig.prop_hash = "h2";
	rig.prop_delta = 1;
	rig_connect();
	rig_offline_end();
	rig_until(strcmp(rig.props_hash, "h2") == 0);
	assert_string_equal(rig.props_asked_with, "h1");
	assert_string_equal(rig.props, "1 909=6 2983=900 9435=0 20865=1");
	/* the service says that they changed; a full set takes the place of all */
	memset(rig.prop, 0, sizeof(rig.prop));
	prop(0, "996", "5");
	rig.prop_hash = "h3";
	rig.prop_delta = 0;
	server_says_changed();
	rig_until(strcmp(rig.props_hash, "h3") == 0);
	assert_string_equal(rig.props_asked_with, "h2");
	assert_string_equal(rig.props, "1 996=5");
	assert_int_equal(props_int(rig.a, PROPS_EDIT_WINDOW), 1200);
	assert_true(rig_sent("ack", "n1", "server") == 1);
}

/* What another table wrote, or nobody: asked for in full. */
static void
not_ours(void **state)
{
	static const char *const rows[] = {
	    "", "1", "2 865=1", "x", "1 865", "1 =", "1 865=1x 909", "1  "};

	rig_online();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		props_restore(rig.a, rows[i], "h");
	props_restore(rig.a, "2 865=1", "h");
	assert_int_equal(props_int(rig.a, PROPS_TOKEN_BUCKET), 604800);
	props_fetch(rig.a);
	rig_settle();
	assert_string_equal(rig.props_asked_with, "");
	props_restore(rig.a, "1 865=1", "h");
	assert_int_equal(props_int(rig.a, PROPS_TOKEN_BUCKET), 1);
}

/* No answer, or an error: the login goes on, and nothing is forgotten. */
static void
refused(void **state)
{
	snprintf(rig.props, sizeof(rig.props), "1 865=7");
	snprintf(rig.props_hash, sizeof(rig.props_hash), "h");
	rig.refuse_xmlns = "abt";
	rig_online();
	assert_int_equal(props_int(rig.a, PROPS_TOKEN_BUCKET), 7);
	assert_int_equal(rig.a->state, ACCOUNT_ONLINE);
	assert_string_equal(rig.props_hash, "h");
}

/* ------------------------------------------------------------------ dirty */

static void
dirty(const char *type, const char *t)
{
	struct node *ib = node_new("ib"), *d = node_child_new(ib, "dirty");

	node_set_server(ib, "from", JID_PN);
	node_set(d, "type", type);
	node_set(d, "timestamp", t);
	rig_in(ib);
}

/* Before the end of the backlog: dealt with after it, then cleaned with the time that was said. */
static void
cleaned_after_the_backlog(void **state)
{
	rig_start();
	rig_connect();
	dirty("account_sync", "1700000123");
	rig_settle();
	assert_int_equal(rig.cleans, 0);
	rig_offline_end();
	rig_until(rig.cleans == 1);
	assert_string_equal(rig.clean_type, "account_sync");
	assert_string_equal(rig.clean_t, "1700000123");
	assert_int_equal(rig_events("server.notice"), 0);
	rig_settle();
	/* and while online, at once */
	rig.no_read_receipts = 1;
	dirty("account_sync", "1700000200");
	rig_until(rig.cleans == 2);
	assert_string_equal(rig.clean_t, "1700000200");
	assert_int_equal(rig.a->rec.read_receipts_disabled, 1);
}

/* What cannot be read again, or not be written, stays dirty; so does what is not kept here. */
static void
stays_dirty(void **state)
{
	static const char *const others[] = {
	    "groups", "syncd_app_state", "newsletter_metadata", "communities", "junk"};

	rig_online();
	rig.refuse_xmlns = "privacy";
	dirty("account_sync", "1700000123");
	rig_settle();
	assert_int_equal(rig.cleans, 0);
	rig.refuse_xmlns = "usync";
	dirty("account_sync", "1700000123");
	rig_settle();
	assert_int_equal(rig.cleans, 0);
	rig.refuse_xmlns = NULL;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		dirty(others[i], "1700000123");
	dirty("account_sync", "junk");
	rig_until(rig_events("server.notice") == 6);
	rig_settle();
	assert_int_equal(rig.cleans, 0);
	/* the service says it again at the next login */
	rig_lose();
	rig_connect();
	dirty("account_sync", "1700000123");
	rig_offline_end();
	rig_until(rig.cleans == 1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(full_then_delta),
	    T(not_ours),
	    T(refused),
	    T(cleaned_after_the_backlog),
	    T(stays_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
