/* From a usync answer to a set of devices: who counts (protocol page 04, 8.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/devices.h"
#include "common/pb.h"
#include "common/proto/adv.pb-c.h"

/* ADVSignedKeyIndexList{ADVKeyIndexList{rawId 7, currentIndex, validIndexes}} */
static uint8_t *
index_list(uint32_t current, uint32_t *valid, size_t n, size_t *len)
{
	Adv__ADVKeyIndexList l = ADV__ADVKEY_INDEX_LIST__INIT;
	Adv__ADVSignedKeyIndexList s = ADV__ADVSIGNED_KEY_INDEX_LIST__INIT;
	uint8_t *inner, *out;
	size_t inner_len;

	l.has_raw_id = l.has_current_index = 1;
	l.raw_id = 7;
	l.current_index = current;
	l.valid_indexes = valid;
	l.n_valid_indexes = n;
	inner = pb_pack(&l.base, &inner_len);
	s.has_details = 1;
	s.details.data = inner;
	s.details.len = inner_len;
	out = pb_pack(&s.base, len);
	free(inner);
	return out;
}

/* devices: "0 5/2 6/9h": id, key index, h = hosted */
static struct node *
user_node(const char *devices, uint32_t current, uint32_t *valid, size_t nvalid)
{
	struct node *user = node_new("user"), *d = node_new("devices"),
		    *list = node_new("device-list");
	char text[128], *save = NULL;
	size_t len;
	uint8_t *kl;

	node_set(user, "jid", "15550001111@s.whatsapp.net");
	snprintf(text, sizeof(text), "%s", devices);
	for (char *p = strtok_r(text, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save)) {
		struct node *dev = node_child_new(list, "device");
		char *slash = strchr(p, '/');

		if (strchr(p, 'h') != NULL) {
			*strchr(p, 'h') = '\0';
			node_set(dev, "is_hosted", "true");
		}
		if (slash != NULL) {
			*slash = '\0';
			node_set(dev, "key-index", slash + 1);
		}
		node_set(dev, "id", p);
	}
	node_add(d, list);
	if (valid != NULL) {
		kl = index_list(current, valid, nvalid, &len);
		node_add_bytes(d, "key-index-list", kl, len);
		free(kl);
	}
	return node_add(user, d);
}

static void
filter(void **state)
{
	static uint32_t v[] = {0, 2, 4};
	static const struct {
		const char *devices;
		uint32_t *valid;
		size_t n;
		uint32_t current;
		const char *kept;
		const char *why;
	} rows[] = {
	    {"0", NULL, 0, 0, "0", "the phone alone"},
	    {"0 5/2 6/4", v, 3, 4, "0 5 6", "both valid"},
	    {"0 5/2 6/3", v, 3, 4, "0 5", "an index that is not valid"},
	    {"0 5/2 6/5", v, 3, 4, "0 5 6", "newer than the list"},
	    {"0 5/2 6", v, 3, 4, "0 5", "a companion without index"},
	    {"0 5/2 6/4", NULL, 0, 0, "0", "companions without a list"},
	    {"5/2", v, 3, 4, "5 0", "device 0 is never dropped"},
	    {"0 99/2", v, 3, 4, "0 99h", "device 99 is hosted"},
	    {"0 5/2h", v, 3, 4, "0 5h", "is_hosted"},
	    {"0 5/2 5/2", v, 3, 4, "0 5", "named twice"},
	    {"0 70000/2 x/2 -1/2", v, 3, 4, "0", "no device numbers"},
	    {"", v, 3, 4, "", "the service does not know him"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *user =
		    user_node(rows[i].devices, rows[i].current, rows[i].valid, rows[i].n);
		struct device_list l;
		char got[128] = "";

		assert_int_equal(devices_from_user(user, &l), 0);
		for (size_t k = 0; k < l.n; k++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u%s",
			    k > 0 ? " " : "", l.ids[k], l.hosted[k] ? "h" : "");
		if (strcmp(got, rows[i].kept) != 0)
			fail_msg("%s: wanted %s, got %s", rows[i].why, rows[i].kept, got);
		assert_int_equal(l.known, rows[i].kept[0] != '\0');
		assert_string_equal(l.user, "15550001111@s.whatsapp.net");
		node_free(user);
	}
}

static void
errors(void **state)
{
	static uint32_t v[] = {0};
	struct node *user = node_new("user");
	struct device_list l;

	assert_int_equal(devices_from_user(user, &l), -1); /* no JID */
	node_set(user, "jid", "15550001111@s.whatsapp.net");
	assert_int_equal(devices_from_user(user, &l), -1); /* no devices */
	node_set(node_child_new(node_child_new(user, "devices"), "error"), "code", "404");
	assert_int_equal(devices_from_user(user, &l), -1); /* an error for this user */
	node_free(user);

	user = user_node("0 5/0", 0, v, 1);
	node_set_bytes(node_child(node_child(user, "devices"), "key-index-list"), "junk", 4);
	assert_int_equal(devices_from_user(user, &l), 0);
	assert_int_equal(l.n, 1); /* a list that does not parse vouches for nobody */
	node_free(user);
}

static void
more_than_fit(void **state)
{
	struct node *user = user_node("0", 0, NULL, 0), *list;
	struct device_list l;

	list = node_child(node_child(user, "devices"), "device-list");
	for (int i = 0; i < 1000; i++)
		node_set(node_child_new(list, "device"), "id", "0");
	assert_int_equal(devices_from_user(user, &l), 0);
	assert_int_equal(l.n, 1);
	node_free(user);
}

static void
learns_the_lid(void **state)
{
	struct node *user = user_node("0", 0, NULL, 0);
	struct device_list l;

	node_set(node_child_new(user, "lid"), "val", "100000000000001@lid");
	assert_int_equal(devices_from_user(user, &l), 0);
	assert_string_equal(l.lid, "100000000000001");
	node_free(user);
}

static void
from_the_store(void **state)
{
	Stored__DeviceList s = STORED__DEVICE_LIST__INIT;
	Stored__Device d[2] = {STORED__DEVICE__INIT, STORED__DEVICE__INIT},
		       *ptr[2] = {&d[0], &d[1]};
	char user[] = "15550001111@s.whatsapp.net";
	struct device_list l;

	s.user = user;
	s.devices = ptr;
	assert_int_equal(devices_from_store(NULL, &l), -1);
	assert_int_equal(devices_from_store(&s, &l), -1); /* an empty list is never trusted */
	d[0].id = 5;
	d[1].id = 100000;
	s.n_devices = 2;
	assert_int_equal(devices_from_store(&s, &l), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.ids[0], 5);
	assert_int_equal(l.ids[1], 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(filter),
	    cmocka_unit_test(errors),
	    cmocka_unit_test(more_than_fit),
	    cmocka_unit_test(learns_the_lid),
	    cmocka_unit_test(from_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
