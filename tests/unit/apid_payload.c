/* ClientPayload against the worked values of protocol page 01, 5.4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "apid/session/payload.h"

#define COMMON                                                                                     \
	"2a38080e120b080210b81718d7afcdf2031a0330303022033030302a03302e3132003a074465736b746f7042" \
	"03302e3150005a02656e62025553"

static void
compare(const uint8_t *got, size_t len, const char *hex)
{
	char text[1024];

	assert_non_null(got);
	assert_true(2 * len < sizeof(text));
	sodium_bin2hex(text, sizeof(text), got, len);
	assert_string_equal(text, hex);
}

static const struct payload_client client = {.revision = 1045649367,
    .os_version = "0.1",
    .device = "Desktop",
    .language = "en",
    .country = "US",
    .props_version = {0, 1, 0},
    .history_quota_mb = 10240,
    .history_thumbnail_days = 60,
    .history_support = "4 6 7 8 9 10 11 12 14 15 21 22",
    .os = "Linux",
    .display = "Chrome (Linux)",
    .platform = 1};

static void
login(void **state)
{
	struct jid own;
	size_t len;
	uint8_t *p;

	assert_int_equal(jid_parse("15551234567:7@s.whatsapp.net", &own), 0);
	p = payload_login(&client, &own, 1, 1, &len);
	compare(p, len,
	    "088784b4f7391801" COMMON "32022000"
	    "60016801900107c00101880201c80201");
	assert_int_equal(len, 86);
	free(p);
}

static void
login_without_number(void **state)
{
	static const char *const users[] = {"a1", "12x", "-5"};
	struct jid own;
	size_t len;

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(jid_make(&own, users[i], JID_PN, 7), 0);
		assert_null(payload_login(&client, &own, 1, 1, &len));
	}
}

static void
from_hex(uint8_t *to, size_t len, const char *hex)
{
	size_t n;

	assert_int_equal(sodium_hex2bin(to, len, hex, strlen(hex), NULL, &n, NULL), 0);
	assert_int_equal(n, len);
}

static void
registration(void **state)
{
	struct account_device d = {.exists = 1, .registration_id = 12346, .skey_id = 1};
	size_t len;
	uint8_t *p;

	from_hex(
	    d.identity_pub, 32, "4d27bcee3135c4944b28d27dd809b07be10c35160d20131caa7e85575498d07c");
	from_hex(
	    d.skey_pub, 32, "0233f006ef4bed144ea0a5bb46c7067c7c2acec5f8cc811f3df59fdcd5ac7614");
	from_hex(d.skey_sig, 64,
	    "c02b37b0f7e2a59220b5f6d95b7a1749d38e4cf79fb52a73f95bd653f9bf5b2e"
	    "2d984f62e43d671a7036f6224b7f6246f4901b447852222872365e7752fcc482");
	p = payload_registration(&client, &d, &len);
	compare(p, len,
	    "1800" COMMON
	    "32022000600168019a01dd010a040000303a1201051a204d27bcee3135c4944b28d27dd809b07be10c35"
	    "160d20131caa7e85575498d07c22030000012a200233f006ef4bed144ea0a5bb46c7067c7c2acec5f8cc"
	    "811f3df59fdcd5ac76143240c02b37b0f7e2a59220b5f6d95b7a1749d38e4cf79fb52a73f95bd653f9bf"
	    "5b2e2d984f62e43d671a7036f6224b7f6246f4901b447852222872365e7752fcc4823a109fa53af94215"
	    "67b114e33c9bb1ef7db242350a054c696e75781206080010011800180120002a20188050200130013801"
	    "400148015001580160017001780198013ca80101b00101880200");
	assert_int_equal(len, 296);
	free(p);
}

static void
client_types(void **state)
{
	static const struct {
		unsigned platform;
		char type;
	} rows[] = {{1, '1'}, {2, '3'}, {3, '4'}, {4, '5'}, {5, '6'}, {6, '2'}, {7, '7'}, {21, '8'},
	    {0, '9'}, {23, '9'}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(payload_client_type(rows[i].platform), rows[i].type);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(login),
	    cmocka_unit_test(login_without_number),
	    cmocka_unit_test(registration),
	    cmocka_unit_test(client_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
