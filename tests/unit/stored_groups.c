/* What stored promises of groups: their metadata, and who has our sender key. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#define G1 "123-456@g.us"
#define G2 "123_456@g.us" /* names are no patterns */

struct mark {
	const char *device;
	int has_key;
};

static void
status(struct rig *g, const char *group, const struct mark *marks, size_t n)
{
	Stored__SenderKeyStatus m = STORED__SENDER_KEY_STATUS__INIT;
	Stored__SenderKeyDevice d[8], *list[8];
	Stored__Write w = STORED__WRITE__INIT;
	size_t i;

	for (i = 0; i < n; i++) {
		stored__sender_key_device__init(&d[i]);
		d[i].device = rig_str(marks[i].device);
		d[i].has_key = marks[i].has_key;
		list[i] = &d[i];
	}
	m.group = rig_str(group);
	m.n_devices = n;
	m.devices = list;
	w.sender_key_status = &m;
	rig_write(g, "a", &w, NULL);
}

static void
metadata(struct rig *g, const char *group, const char *bytes)
{
	Stored__GroupPut p = STORED__GROUP_PUT__INIT;
	Stored__Write w = STORED__WRITE__INIT;

	p.group = rig_str(group);
	p.metadata = rig_bytes(bytes);
	w.group_put = &p;
	rig_write(g, "a", &w, NULL);
}

/* "metadata: device+ device-" of a group, "?" for absent metadata. */
static const char *
look(struct rig *g, const char *group)
{
	static char text[400];
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *groups[1] = {rig_str(group)};
	const Stored__Group *got;
	struct rig_reply r;
	size_t i;

	m.n_groups = 1;
	m.groups = groups;
	assert_non_null(rig_lookup(g, &m, &r));
	got = ((Stored__LookupReply *)r.pb)->groups[0];
	assert_string_equal(got->group, group);
	snprintf(text, sizeof(text), "%.*s:", got->has_metadata ? (int)got->metadata.len : 1,
	    got->has_metadata ? (const char *)got->metadata.data : "?");
	for (i = 0; i < got->n_devices; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s%c",
		    got->devices[i]->device, got->devices[i]->has_key ? '+' : '-');
	rig_reply_clear(&r);
	return text;
}

static void
test_metadata(void **state)
{
	struct rig *g = rig_open(1);
	Stored__Write w = STORED__WRITE__INIT;

	assert_string_equal(look(g, G1), "?:");
	metadata(g, G1, "one");
	metadata(g, G2, "two");
	assert_string_equal(look(g, G1), "one:");
	metadata(g, G1, "another");
	metadata(g, G2, ""); /* empty is not absent */
	rig_free(g);
	g = rig_open(1);
	assert_string_equal(look(g, G1), "another:");
	assert_string_equal(look(g, G2), ":");
	w.group_delete = rig_str(G2);
	rig_write(g, "a", &w, NULL);
	rig_write(g, "a", &w, NULL); /* absent: success */
	assert_string_equal(look(g, G2), "?:");
	assert_string_equal(look(g, G1), "another:");
	rig_free(g);
}

static void
test_sender_keys(void **state)
{
	static const struct mark first[] = {{"200:1@lid", 1}, {"100@lid", 1}, {"100:17@lid", 0}};
	static const struct mark change[] = {
	    {"100:17@lid", 1}, {"200:1@lid", 0}, {"300@lid", 1}, {"300@lid", 0}};
	static const struct mark other[] = {{"100@lid", 1}, {"100_@lid", 1}};
	struct rig *g = rig_open(1);
	Stored__DeviceNames gone = STORED__DEVICE_NAMES__INIT;
	char *names[3] = {rig_str("100@lid"), rig_str("300@lid"), rig_str("nobody@lid")};
	Stored__Write w = STORED__WRITE__INIT;

	status(g, G1, NULL, 0);
	assert_string_equal(look(g, G1), "?:");
	status(g, G1, first, 3);
	status(g, G2, other, 2);
	/* in order of JIDs, as bytes */
	assert_string_equal(look(g, G1), "?: 100:17@lid- 100@lid+ 200:1@lid+");
	/* others stay, the last of one write counts */
	status(g, G1, change, 4);
	assert_string_equal(look(g, G1), "?: 100:17@lid+ 100@lid+ 200:1@lid- 300@lid-");
	/* devices that are gone, in all groups */
	gone.n_devices = 3;
	gone.devices = names;
	w.sender_key_drop = &gone;
	rig_write(g, "a", &w, NULL);
	assert_string_equal(look(g, G1), "?: 100:17@lid+ 200:1@lid-");
	assert_string_equal(look(g, G2), "?: 100_@lid+");
	/* rotation; the metadata stays */
	metadata(g, G1, "meta");
	stored__write__init(&w);
	w.sender_key_clear = rig_str(G1);
	rig_write(g, "a", &w, NULL);
	assert_string_equal(look(g, G1), "meta:");
	assert_string_equal(look(g, G2), "?: 100_@lid+");
	/* a group that is left takes its marks with it, and only its */
	status(g, G1, first, 2);
	stored__write__init(&w);
	w.group_delete = rig_str(G1);
	rig_write(g, "a", &w, NULL);
	assert_string_equal(look(g, G1), "?:");
	assert_string_equal(look(g, G2), "?: 100_@lid+");
	status(g, G1, first, 1);
	stored__write__init(&w);
	w.has_sender_key_clear_all = w.sender_key_clear_all = 1;
	rig_write(g, "a", &w, NULL);
	assert_string_equal(look(g, G1), "?:");
	assert_string_equal(look(g, G2), "?:");
	w.sender_key_clear_all = 0;
	rig_write(g, "a", &w, "bad_request");
	rig_free(g);
}

/* The largest group, and more than one answer may carry. */
static void
test_bounds(void **state)
{
	enum {
		N = 4096
	};
	struct rig *g = rig_open(1);
	Stored__SenderKeyStatus m = STORED__SENDER_KEY_STATUS__INIT;
	Stored__SenderKeyDevice *d = calloc(N + 1, sizeof(*d));
	Stored__SenderKeyDevice **list = calloc(N + 1, sizeof(Stored__SenderKeyDevice *));
	char *names = calloc(N + 1, 32);
	char *big = malloc(524290), *groups[65];
	Stored__Write w = STORED__WRITE__INIT;
	Stored__Lookup l = STORED__LOOKUP__INIT;
	Stored__GroupPut p = STORED__GROUP_PUT__INIT;
	const Stored__LookupReply *got;
	struct rig_reply r;
	size_t i;

	for (i = 0; i <= N; i++) {
		stored__sender_key_device__init(&d[i]);
		snprintf(names + 32 * i, 32, "%zu:1@lid", 100000 + i);
		d[i].device = names + 32 * i;
		d[i].has_key = 1;
		list[i] = &d[i];
	}
	m.group = rig_str(G1);
	m.n_devices = N + 1;
	m.devices = list;
	w.sender_key_status = &m;
	rig_write(g, "a", &w, "bad_request");
	m.n_devices = N;
	rig_write(g, "a", &w, NULL);
	for (i = 0; i < 65; i++)
		groups[i] = rig_str(G1);
	l.n_groups = 1;
	l.groups = groups;
	assert_non_null(got = rig_lookup(g, &l, &r));
	assert_int_equal(got->groups[0]->n_devices, N);
	assert_string_equal(got->groups[0]->devices[N - 1]->device, "104095:1@lid");
	rig_reply_clear(&r);
	l.n_groups = 65;
	assert_null(rig_lookup(g, &l, &r));
	assert_string_equal(r.code, "bad_request");

	memset(big, 'g', 524289);
	p.group = rig_str(G2);
	p.metadata = (ProtobufCBinaryData){524289, (uint8_t *)big};
	stored__write__init(&w);
	w.group_put = &p;
	rig_write(g, "a", &w, "bad_request");
	p.metadata.len = 524288;
	rig_write(g, "a", &w, NULL);
	/* 64 times half a MiB is an error, and the channel lives on */
	for (i = 0; i < 64; i++)
		groups[i] = rig_str(G2);
	l.n_groups = 64;
	assert_null(rig_lookup(g, &l, &r));
	assert_string_equal(r.code, "bad_request");
	l.n_groups = 20;
	assert_non_null(got = rig_lookup(g, &l, &r));
	assert_int_equal(got->groups[19]->metadata.len, 524288);
	rig_reply_clear(&r);
	assert_int_equal(g->lost, 0);
	free(d);
	free(list);
	free(names);
	free(big);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_metadata),
	    T(test_sender_keys),
	    T(test_bounds),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
