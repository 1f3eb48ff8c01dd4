/* What the service says of our keys: an answer that is whole is read, any other is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "apid/session/digest.h"

static struct node *
answer(size_t reg, size_t identity, size_t skey_id, size_t sig, size_t hash, size_t id, size_t n,
    const uint8_t *key)
{
	static const uint8_t bytes[64] = {0, 1, 2, 3};
	struct node *iq = node_new("iq"), *d = node_child_new(iq, "digest"), *s, *list;

	node_add_bytes(d, "registration", bytes, reg);
	node_add_bytes(d, "type", "\5", 1);
	node_add_bytes(d, "identity", bytes, identity);
	s = node_child_new(d, "skey");
	node_add_bytes(s, "id", bytes, skey_id);
	node_add_bytes(s, "value", bytes, 32);
	node_add_bytes(s, "signature", bytes, sig);
	list = node_child_new(d, "list");
	for (size_t i = 0; i < n; i++)
		node_add_bytes(list, "id", key != NULL ? key : bytes, id);
	node_add_bytes(d, "hash", bytes, hash);
	return iq;
}

static void
shapes(void **state)
{
	static const struct {
		size_t reg, identity, skey_id, sig, hash, id, n;
		int want;
	} rows[] = {
	    {4, 32, 3, 64, 20, 3, 5, 0},
	    {4, 32, 3, 64, 20, 3, 0, 0}, /* an empty pool */
	    {3, 32, 3, 64, 20, 3, 5, -1},
	    {4, 33, 3, 64, 20, 3, 5, -1},
	    {4, 32, 4, 64, 20, 3, 5, -1},
	    {4, 32, 3, 63, 20, 3, 5, -1},
	    {4, 32, 3, 64, 32, 3, 5, -1},
	    {4, 32, 3, 64, 20, 4, 5, -1},
	    {4, 32, 3, 64, 20, 3, DIGEST_KEYS_MAX + 1, -1},
	};
	struct digest_answer x;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node *n = answer(rows[i].reg, rows[i].identity, rows[i].skey_id, rows[i].sig,
		    rows[i].hash, rows[i].id, rows[i].n, NULL);

		assert_int_equal(digest_parse(n, &x), rows[i].want);
		if (rows[i].want == 0) {
			assert_int_equal(x.registration_id, 0x00010203);
			assert_int_equal(x.skey_id, 0x000102);
			assert_int_equal(x.n, rows[i].n);
			if (x.n > 0)
				assert_int_equal(x.ids[x.n - 1], 0x000102);
		}
		digest_answer_clear(&x);
		node_free(n);
	}
}

static void
odd_ids(void **state)
{
	static const uint8_t none[3] = {0}, last[3] = {0xff, 0xff, 0xff};
	const uint8_t *const ids[2] = {none, last};
	struct digest_answer x;

	for (int i = 0; i < 2; i++) { /* no key of ours can have them */
		struct node *n = answer(4, 32, 3, 64, 20, 3, 1, ids[i]);

		assert_int_equal(digest_parse(n, &x), -1);
		node_free(n);
	}
	struct node *iq = node_new("iq");

	assert_int_equal(digest_parse(iq, &x), -1);
	node_free(iq);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(odd_ids)};

	return cmocka_run_group_tests_name("apid: digest", tests, NULL, NULL);
}
