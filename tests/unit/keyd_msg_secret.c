/* Secrets of messages: kept in a unit, found again, and what is opened with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/unit/keyd_bench.h"
#include "tests/unit/slow.h"

static struct bench b;

#define KEY "01234567890123456789012345678901"
#define ID  "3EB0C767D82B0A7D7B5F12"
#define A   "100000000000001@lid"
#define S   "100000000000002@lid"
#define A_N "15550001111@s.whatsapp.net"
#define S_N "15550002222@s.whatsapp.net"

#define TEXT(s) ((char *)(uintptr_t)(s))

static uint8_t secret[32];

static int
setup(void **state)
{
	Keyd__DeviceCreate q = KEYD__DEVICE_CREATE__INIT;

	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)i;
	bench_start(&b, KEY, 1);
	q.account = TEXT("alice");
	q.unit = ++b.unit;
	assert_non_null(BENCH_ASK(&b, b.apid, DEVICE_CREATE, &q, DEVICE_STATE, device_state));
	assert_int_equal(bench_commit(&b, "alice", b.unit, 1), 1);
	bench_settle(&b);
	return 0;
}

static int
teardown(void **state)
{
	bench_stop(&b);
	return 0;
}

static const Keyd__Staged *
keep(const char *name, const uint8_t *bytes, size_t len, int64_t expires_s, int64_t message_s)
{
	Keyd__SecretsKeep q = KEYD__SECRETS_KEEP__INIT;
	Keyd__Secret one = KEYD__SECRET__INIT, *list[1] = {&one};

	one.name = TEXT(name);
	one.secret = pb_bytes(bytes, len);
	one.expires_s = expires_s;
	one.message_s = message_s;
	q.account = TEXT("alice");
	q.unit = ++b.unit;
	q.secrets = list;
	q.n_secrets = 1;
	return BENCH_ASK(&b, b.apid, SECRETS_KEEP, &q, STAGED, staged);
}

static void
keep_it(const char *name)
{
	const Keyd__Staged *r = keep(name, secret, 32, 2000, 1000);

	assert_non_null(r);
	assert_int_equal(r->stages, 1);
	assert_int_equal(bench_commit(&b, "alice", b.unit, 1), 1);
	bench_settle(&b);
}

/* What is asked; the test changes what it wants to. */
struct ask {
	Keyd__AddonOpen q;
	char *names[16], *authors[8], *senders[8];
	uint8_t iv[12], payload[256];
};

static void
payload(struct ask *k, const char *hex)
{
	size_t n;

	assert_int_equal(
	    sodium_hex2bin(k->payload, sizeof(k->payload), hex, strlen(hex), NULL, &n, NULL), 0);
	k->q.payload = pb_bytes(k->payload, n);
}

static void
ask_begin(struct ask *k, int use, const char *hex)
{
	memset(k, 0, sizeof(*k));
	keyd__addon_open__init(&k->q);
	k->q.account = TEXT("alice");
	k->q.use = (Keyd__AddonOpen__Use)use;
	k->q.id = TEXT(ID);
	k->names[0] = TEXT("m1");
	k->authors[0] = TEXT(A);
	k->senders[0] = TEXT(S);
	k->q.names = k->names;
	k->q.authors = k->authors;
	k->q.senders = k->senders;
	k->q.n_names = k->q.n_authors = k->q.n_senders = 1;
	for (size_t i = 0; i < 12; i++)
		k->iv[i] = (uint8_t)(i + 1);
	k->q.iv = pb_bytes(k->iv, 12);
	payload(k, hex);
}

static const Keyd__AddonOpened *
ask(struct ask *k)
{
	return BENCH_ASK(&b, b.apid, ADDON_OPEN, &k->q, ADDON_OPENED, addon_opened);
}

static void
opens(struct ask *k, const char *text)
{
	const Keyd__AddonOpened *r = ask(k);

	assert_non_null(r);
	assert_int_equal(r->outcome, KEYD__ADDON_OPENED__OUTCOME__DONE);
	assert_int_equal(r->plaintext.len, strlen(text));
	assert_memory_equal(r->plaintext.data, text, strlen(text));
	assert_int_equal(r->message_s, 1000);
}

static void
does_not(struct ask *k, int outcome)
{
	const Keyd__AddonOpened *r = ask(k);

	assert_non_null(r);
	assert_int_equal(r->outcome, outcome);
	assert_false(r->has_plaintext);
	assert_false(r->has_message_s);
}

/* Made with node's crypto: secret 00 01 … 1f, iv 01 … 0c, the text "plaintext" (protocol page 04,
 * 17.1). */
static const struct {
	int use;
	const char *hex;
} made[] = {
    {KEYD__ADDON_OPEN__USE__POLL_VOTE, "2fc0b4aef597f31a65d211da0407453b90949b0b434671819a"},
    {KEYD__ADDON_OPEN__USE__EVENT_RESPONSE, "203a60f28fc10cb55403006e9dbb5ab4ba8b1cc70af7d3bf7b"},
    {KEYD__ADDON_OPEN__USE__REACTION, "e9c4f4538582b43a67bc6f5397f8d7bab80ad932a933e32628"},
    {KEYD__ADDON_OPEN__USE__EVENT_EDIT, "8e7dd94ca732dcafb979d5861857e2610ede3803a1cf9b83a5"},
    {KEYD__ADDON_OPEN__USE__MESSAGE_EDIT, "866bd9a42b815918eb0e1608b1df902b0aeb11285742595344"},
    {KEYD__ADDON_OPEN__USE__POLL_EDIT, "4e60a55ce5dd531b8b7800538094946bbdf50e17524117f621"},
    {KEYD__ADDON_OPEN__USE__POLL_ADD_OPTION, "bed95df7d2cce6c26a92c9019e02362f0e8b7b1f35f340d275"},
};

static void
test_uses(void **state)
{
	struct ask k;

	keep_it("m1");
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		ask_begin(&k, made[i].use, made[i].hex);
		opens(&k, "plaintext");
		k.payload[3] ^= 1;
		does_not(&k, KEYD__ADDON_OPENED__OUTCOME__BAD_TAG);
		/* the key of each is another */
		ask_begin(&k, made[i].use, made[(i + 1) % 7].hex);
		does_not(&k, KEYD__ADDON_OPENED__OUTCOME__BAD_TAG);
	}
	/* a vote for nothing is an empty message */
	ask_begin(&k, KEYD__ADDON_OPEN__USE__POLL_VOTE, "2dd0ba51e8befb9a5ee023fb3238593b");
	opens(&k, "");
}

/* 17.2: whichever names the other side took. */
static void
test_names(void **state)
{
	static const char by_number[] = "4c3cf5d477bc477a4cb897ceb0b5b6023eb23f65e923d87c86";
	struct ask k;

	keep_it("m1");
	ask_begin(&k, KEYD__ADDON_OPEN__USE__REACTION, by_number);
	does_not(&k, KEYD__ADDON_OPENED__OUTCOME__BAD_TAG);
	k.authors[1] = TEXT(A_N);
	k.senders[1] = TEXT(S_N);
	k.q.n_authors = 2;
	does_not(&k, KEYD__ADDON_OPENED__OUTCOME__BAD_TAG);
	k.q.n_senders = 2;
	opens(&k, "plaintext");
	k.names[0] = TEXT("never kept");
	does_not(&k, KEYD__ADDON_OPENED__OUTCOME__NO_SECRET);
	k.names[1] = TEXT("m1");
	k.q.n_names = 2;
	opens(&k, "plaintext");
	/* another secret under one name does not hide the right one under the next */
	secret[0] ^= 1;
	keep_it("never kept");
	secret[0] ^= 1;
	opens(&k, "plaintext");
	k.q.account = TEXT("bob"); /* has no device */
	assert_null(ask(&k));
	assert_string_equal(b.code, "state");
}

/* Only a unit that was committed keeps it; kept again it has the next version; a restart finds it.
 */
static void
test_units(void **state)
{
	const struct bench_record *r;
	struct ask k;

	ask_begin(&k, made[2].use, made[2].hex);
	assert_non_null(keep("m1", secret, 32, 2000, 1000));
	assert_int_equal(bench_commit(&b, "alice", b.unit, 0), 0);
	bench_settle(&b);
	does_not(&k, KEYD__ADDON_OPENED__OUTCOME__NO_SECRET);
	keep_it("m1");
	assert_int_equal(b.expires_s, 2000);
	keep_it("m1");
	opens(&k, "plaintext");
	for (r = b.records; r != NULL && r->domain != STORED__DOMAIN__MSG_SECRET;)
		r = r->next;
	if (r == NULL) {
		fail_msg("no record");
		return;
	}
	assert_int_equal(r->version, 2);
	assert_int_equal(strlen(r->name), 2 + 40); /* "1/" and a hash */
	assert_null(strstr(r->name, "m1"));
	assert_int_equal(r->sealed.len, 40 + VAULT_OVERHEAD);
	bench_restart(&b, KEY, NULL);
	opens(&k, "plaintext");
}

/* With the message that is sent, in the same unit. */
static void
test_encrypt(void **state)
{
	Keyd__Encrypt q = KEYD__ENCRYPT__INIT;
	Keyd__Secret one = KEYD__SECRET__INIT, *list[17];
	const Keyd__EncryptReply *r;
	struct ask k;

	for (size_t i = 0; i < 17; i++)
		list[i] = &one;
	one.name = TEXT("m1");
	one.secret = pb_bytes(secret, 32);
	one.message_s = 1000;
	q.account = TEXT("alice");
	q.unit = ++b.unit;
	q.secrets = list;
	q.n_secrets = 17;
	assert_null(BENCH_ASK(&b, b.apid, ENCRYPT, &q, ENCRYPT_REPLY, encrypt_reply));
	assert_string_equal(b.code, "bad_request");
	q.n_secrets = 1;
	r = BENCH_ASK(&b, b.apid, ENCRYPT, &q, ENCRYPT_REPLY, encrypt_reply);
	assert_non_null(r);
	assert_int_equal(r->stages, 1);
	assert_int_equal(bench_commit(&b, "alice", b.unit, 1), 1);
	bench_settle(&b);
	assert_int_equal(b.expires_s, 0);
	ask_begin(&k, made[2].use, made[2].hex);
	opens(&k, "plaintext");
}

/* The secret of a new message costs no question; if there is one of that name after all, the unit
 * fails, and then it is asked for. */
static void
test_fresh(void **state)
{
	Keyd__SecretsKeep q = KEYD__SECRETS_KEEP__INIT;
	Keyd__Secret one = KEYD__SECRET__INIT, *list[1] = {&one};
	const struct bench_record *r = NULL;
	unsigned asked;

	one.name = TEXT("m1");
	one.secret = pb_bytes(secret, 32);
	one.message_s = 1000;
	one.has_fresh = one.fresh = 1;
	q.account = TEXT("alice");
	q.secrets = list;
	q.n_secrets = 1;
	q.unit = ++b.unit;
	asked = b.fetched;
	assert_non_null(BENCH_ASK(&b, b.apid, SECRETS_KEEP, &q, STAGED, staged));
	assert_int_equal(b.fetched, asked);
	assert_int_equal(bench_commit(&b, "alice", b.unit, 1), 1);
	bench_settle(&b);
	for (int again = 0; again < 2; again++) {
		bench_restart(&b, KEY, NULL);
		one.fresh = !again;
		q.unit = ++b.unit;
		asked = b.fetched;
		assert_non_null(BENCH_ASK(&b, b.apid, SECRETS_KEEP, &q, STAGED, staged));
		assert_int_equal(b.fetched - asked, 1 + again); /* the device; the secret */
		assert_int_equal(bench_commit(&b, "alice", b.unit, 1), again);
		bench_settle(&b);
	}
	for (r = b.records; r != NULL && r->domain != STORED__DOMAIN__MSG_SECRET;)
		r = r->next;
	assert_int_equal(r == NULL ? 0 : r->version, 2);
}

static void
refused(struct ask *k)
{
	assert_null(ask(k));
	assert_string_equal(b.code, "bad_request");
}

static void
test_bounds(void **state)
{
	static char longer[520];
	struct ask k;

	memset(longer, 'x', 513);
	assert_null(keep("", secret, 32, 0, 0));
	assert_string_equal(b.code, "bad_request");
	assert_null(keep(longer, secret, 32, 0, 0));
	assert_string_equal(b.code, "bad_request");
	assert_null(keep("m1", secret, 31, 0, 0));
	assert_string_equal(b.code, "bad_request");
	assert_null(keep("m1", secret, 32, -1, 0));
	assert_string_equal(b.code, "bad_request");
	assert_null(keep("m1", secret, 32, 0, -1));
	assert_string_equal(b.code, "bad_request");
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		ask_begin(&k, made[2].use, made[2].hex);                                           \
		change;                                                                            \
		refused(&k);                                                                       \
	} while (0)
	REFUSED(k.q.n_names = 0);
	REFUSED(k.q.n_names = 9; for (int i = 0; i < 9; i++) k.names[i] = TEXT("m"));
	REFUSED(k.names[0] = longer);
	REFUSED(k.q.id = TEXT(""));
	longer[129] = '\0';
	REFUSED(k.q.id = longer);
	REFUSED(k.authors[0] = longer);
	REFUSED(k.senders[0] = TEXT(""));
	REFUSED(k.q.n_authors = 0);
	REFUSED(k.q.n_senders = 5; for (int i = 0; i < 5; i++) k.senders[i] = TEXT(S));
	REFUSED(k.q.iv.len = 11);
	REFUSED(k.q.payload.len = 15);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_uses, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_units, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_encrypt, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fresh, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
	};

	log_set_level(LOG_LV_ERR);
	(void)core_warm_up();
	alarm(300 * test_slow());
	return cmocka_run_group_tests_name("keyd: message secrets", tests, NULL, NULL);
}
